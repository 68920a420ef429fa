"""A thousand devices of one release through `mvc repack`, killed on its way and run again.

    python -m benchmarks.repack_fleet commit REPOSITORY FOLDER branches|row DEVICES
    python -m benchmarks.repack_fleet check REPOSITORY FOLDER

are the parts that run in processes of their own; `benchmarks.repack` calls them. Devices use the
library and not commands: three processes a version would take longer than all that is measured.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import CommandFailed, Cost, run
from benchmarks.repack_store import Repository, Shape, digest

MODEL = "model.pth"
HEAD = [
    "fleet", "devices", "versions", "raw", "committed", "repacked", "chunks by depth", "repack",
    "peak", "every version",
]  # fmt: skip
KILLED = ((0.3, signal.SIGKILL), (0.6, signal.SIGINT), (0.3, signal.SIGKILL))
"""At which part of its time a run is stopped, and how."""
PATIENCE = 600
TAGS = "refs/tags/"


def rows(files: Sequence[Path], devices: int, work: Path) -> list[list[str]]:
    """Take the fleet through both ways of committing it; return a row for each and the killed."""
    chosen = [file for file in files if file.stem == "release" or int(file.stem[:4]) < devices]
    folder, raw = files[0].parent, sum(file.stat().st_size for file in chosen)
    found = []
    for way, title in (("branches", "a branch each"), ("row", "one after another")):
        repository = Repository(work / way)
        part("commit", repository.folder, folder, way, str(devices))
        before = repository.shape()
        trial = repository.copy(work / f"{way}-killed") if way == "row" else None
        cost = repository.run("repack")
        lines = [(title, repository, cost)]
        if trial is not None:
            lines.append((f"{title}, stopped {len(KILLED)} times", trial, _stopped(trial, cost)))
        for name, one, spent in lines:
            part("check", one.folder, folder)
            one.run("fsck")
            found.append(_row(name, devices, len(chosen), raw, before, one.shape(), spent))
            print(" | ".join(found[-1]), file=sys.stderr)
            one.remove()
    return found


def part(*arguments: str | Path) -> Cost:
    """Run one of the parts in a process of its own."""
    return run([sys.executable, "-m", "benchmarks.repack_fleet", *arguments])


def _stopped(repository: Repository, cost: Cost) -> Cost:
    """Stop repack on its way, look that all is there, and let it end."""
    for share, how in KILLED:
        child = repository.start("repack")
        time.sleep(share * cost.wall)
        child.send_signal(how)
        child.wait(PATIENCE)
        repository.run("fsck")
    return repository.run("repack")


def _row(
    name: str, devices: int, versions: int, raw: int, before: Shape, after: Shape, cost: Cost
) -> list[str]:
    depths = ", ".join(f"{depth}: {count}" for depth, count in sorted(after.depth.items()))
    return [
        name, str(devices), str(versions), f"{raw / 1e6:.0f} MB",
        f"{before.bytes / 1e6:.1f} MB, {before.deepest}, {before.recovery:.2f}x",
        f"{after.bytes / 1e6:.1f} MB, {after.deepest}, {after.recovery:.2f}x",
        depths, f"{cost.wall:.0f} s", f"{cost.peak / 1e6:.0f} MB", "equal",
    ]  # fmt: skip


def commit(root: Path, folder: Path, way: str, devices: int) -> None:
    """Commit a release and what devices made of it."""
    from mvc.ops.add import add
    from mvc.ops.checkout import switch
    from mvc.ops.commit import CommitRequest
    from mvc.ops.commit import commit as record
    from mvc.ops.tag import create
    from mvc.repo.repository import Repository as Inner

    repo = Inner.discover(root)

    def save(name: str) -> None:
        shutil.copyfile(folder / f"{name}.pth", root / MODEL)
        record(repo, CommitRequest(name))
        create(repo, name)

    shutil.copyfile(folder / "release.pth", root / MODEL)
    add(repo, [root / MODEL])
    save("release")
    for device in range(devices):
        if way == "branches":
            switch(repo, f"device-{device}", create=True, start="main")
        for update in sorted(folder.glob(f"{device:04d}-*.pth")):
            save(update.stem)
    repo.close()


def check(root: Path, folder: Path) -> None:
    """Raise CommandFailed unless every version comes back as the file that was committed."""
    from mvc.ops.export import export
    from mvc.repo.repository import Repository as Inner

    repo = Inner.discover(root)
    target = root / "back"
    for ref in repo.refs.all(TAGS):
        name = ref.removeprefix(TAGS)
        export(repo, name, target)
        if digest(target / MODEL) != digest(folder / f"{name}.pth"):
            raise CommandFailed(f"{name} came back as another file")
        shutil.rmtree(target)
    repo.close()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repack_fleet")
    parser.add_argument("part", choices=["commit", "check"])
    parser.add_argument("repository", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("way", choices=["branches", "row"], nargs="?", default="branches")
    parser.add_argument("devices", type=int, nargs="?", default=0)
    args = parser.parse_args(argv)
    try:
        if args.part == "commit":
            commit(args.repository, args.folder, args.way, args.devices)
        else:
            check(args.repository, args.folder)
    except CommandFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

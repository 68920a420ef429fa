"""Takes hostile files through add, commit, show and export, watched and within little memory.

Usage: jail.py FOLDER GROUP. Anything but exact bytes back or a one-sentence error ends it.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from mvc.ops.show import ShownCheckpoint, show
from tests.e2e.world import World, contents
from tests.hostile.corpus import GROUPS, sound

MEMORY = 2 << 30
FORBIDDEN = (
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "webbrowser.open",
)
RUNS_CODE = ("compile", "exec", "import", "marshal.loads")
WRITES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate")


class Guard:
    """An audit hook: no code from anywhere, no process, no connection, no file outside `root`."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.armed = False
        self.found: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in FORBIDDEN or event in RUNS_CODE:
            self._stop(f"{event} {str(args[:1])[:200]}")
        if event == "open" and isinstance(args[0], str | bytes):
            self._check(event, args[0])
        if event in WRITES and args and not any(type(item) is int and item >= 0 for item in args):
            self._check(event, args[0])

    def _check(self, event: str, path: str | bytes) -> None:
        name = path if isinstance(path, str) else path.decode(errors="replace")
        if name.startswith("/") and not f"{name}/".startswith(self.root + "/"):
            self._stop(f"{event} {name}")

    def _stop(self, what: str) -> None:
        self.found.append(what)
        raise RuntimeError(f"not allowed: {what}")


def through(root: Path, files: dict[str, bytes]) -> dict[str, int]:
    """Commit files, look at each, fail unless their bytes come back; count what they became."""
    world = World(root)
    world.save(files)
    kinds = {"checkpoint": 0, "blob": 0}
    for name in files:
        shown = show(world.repo, f"HEAD:{name}")
        kinds["checkpoint" if isinstance(shown, ShownCheckpoint) else "blob"] += 1
    exported = world.exported("HEAD", root.with_name(root.name + "-out"))
    assert exported == files == contents(root)
    world.check()
    assert world.status().clean
    world.repo.close()
    return kinds


def main() -> None:
    folder, group = Path(sys.argv[1]), sys.argv[2]
    cases = dict(GROUPS[group]())
    guard = Guard(folder)
    # Everything that is ever imported or compiled is by the time this has run.
    through(folder / "sound", {f"{name}.bin": data for name, data in sound().items()})
    through(
        folder / "rest",
        {"a": b"\x89HDF\r\n\x1a\n", "b": b"\x08\x08\x3a\x00", "c": b"\x1c\0\0\0TFL3"},
    )
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    guard.armed = True
    files = {f"{number:04}.bin": data for number, data in enumerate(cases.values())}
    kinds = through(folder / "all", files)
    guard.armed = False
    assert not guard.found, guard.found
    print(json.dumps({"cases": len(files), **kinds}))


if __name__ == "__main__":
    main()

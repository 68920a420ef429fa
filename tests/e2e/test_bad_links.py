"""Over connections that break off, stall or lose replies, pushes and clones arrive whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from mvc.repo.repository import Repository
from tests.e2e.relay import WAYS, Relay, Way
from tests.e2e.relayed import CARRIERS, Place, placed
from tests.e2e.ssh_server import lacking
from tests.e2e.world import World, weights

MB = 1_000_000
EVERY = 5 * MB
PATIENCE = 300
BESIDE = 100_000
"""What a connection may carry beside parts: requests, replies, and how ssh greets."""

carried = pytest.mark.parametrize(
    "carrier",
    [
        pytest.param(name, marks=pytest.mark.skipif(name == "ssh" and lacking() is not None,
                                                    reason=lacking() or ""))
        for name in CARRIERS
    ],
)  # fmt: skip


@dataclass(frozen=True)
class Passed:
    """What a command took: bytes through the relay, and connections that failed."""

    needed: int
    passed: int
    failures: int
    connections: int

    @property
    def again(self) -> int:
        """Bytes that were sent more than once, and those beside the parts."""
        return self.passed - self.needed

    def most(self, part_bytes: int) -> int:
        """Return how many bytes may be sent again: a part for each failure."""
        return self.failures * (part_bytes + BESIDE) + self.needed // 500 + BESIDE

    def check(self, part_bytes: int) -> None:
        print(f"{self}: {self.again:,} bytes again, {self.failures} failures")
        assert self.failures > 0
        assert self.again <= self.most(part_bytes)


def pushed(place: Place, world: World, *options: str) -> Passed:
    before = counted(place.relay)
    done = place.json(world.root, "push", "origin", "main", *options)
    assert [row["status"] for row in done["refs"]] == ["new"]
    return passed(done["bytes"], before, counted(place.relay), up=True)


def cloned(place: Place, name: str) -> Passed:
    before = counted(place.relay)
    done = place.json(place.folder, "clone", place.url, name)
    return passed(done["bytes"], before, counted(place.relay), up=False)


def counted(relay: Relay) -> tuple[int, int, int, int]:
    return relay.up, relay.down, relay.failures, relay.connections


def passed(needed: int, before: tuple[int, ...], after: tuple[int, ...], *, up: bool) -> Passed:
    sent, received, failures, connections = (b - a for a, b in zip(before, after, strict=True))
    return Passed(needed, sent if up else received, failures, connections)


@carried
def test_a_connection_that_breaks_off_every_five_megabytes_is_good_enough(
    carrier: str, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    with placed(carrier, tmp_path / "at", EVERY) as place:
        ada = place.device("ada", weights(1, 30 * MB))
        for name, found in (("push", pushed(place, ada)), ("clone", cloned(place, "copy"))):
            record_property(name, str(found))
            found.check(EVERY)
        place.whole(ada.root, place.folder / "copy")


def test_what_is_sent_again_is_less_than_one_part_for_each_failure(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    with placed("http", tmp_path / "at", EVERY, part_bytes=MB) as place:
        ada = place.device("ada", weights(1, 30 * MB))
        for name, found in (("push", pushed(place, ada)), ("clone", cloned(place, "copy"))):
            record_property(name, str(found))
            found.check(MB)
            assert found.failures <= found.needed // (EVERY - MB) + 1
        place.whole(ada.root, place.folder / "copy")


def parts(root: Path) -> dict[str, tuple[int, int]]:
    """Return the parts that wait below a folder, and which files they are."""
    found = {}
    # Unlike a glob, this passes over folders that go away meanwhile.
    for folder, _, names in os.walk(root):
        if not re.search("/incoming/[^/]+/packs$", folder):
            continue
        for path in (Path(folder, name) for name in names if name.endswith(".head")):
            with suppress(FileNotFoundError):
                found[path.name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def killed_every(count: int, root: Path, words: list[str]) -> int:
    """Kill a command whenever so many parts more have come, run it again; return how often."""
    kills = 0
    while True:
        before = parts(root)
        command = [sys.executable, "-m", "tests.e2e.sync_victim", str(MB), *words]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.close()
        while child.poll() is None:
            if len(parts(root)) >= len(before) + count:
                child.kill()
                break
            time.sleep(0.002)
        if child.wait(PATIENCE) != -signal.SIGKILL:
            assert child.returncode == 0
            return kills
        kills += 1
        assert before.items() <= parts(root).items(), "what had come was sent again"


def test_processes_that_are_killed_every_five_megabytes_get_there_by_path(tmp_path: Path) -> None:
    with placed("http", tmp_path / "at") as place:
        ada = place.device("ada", weights(1, 30 * MB))
        push = ["-C", str(ada.root), "push", "-q", str(place.central), "main"]
        clone = ["-C", str(place.folder), "clone", "-q", str(place.central), "copy"]
        for words in (push, clone):
            kills = killed_every(5, place.folder, words)
            print(f"{words[2]}: {kills} kills")
            assert kills >= 4
            assert not parts(place.folder)
        place.whole(ada.root, place.folder / "copy")


@pytest.mark.slow
@carried
def test_two_hundred_megabytes_pass_a_connection_that_breaks_off_every_five(
    carrier: str, tmp_path: Path
) -> None:
    with placed(carrier, tmp_path / "at", EVERY) as place:
        ada = place.device("ada", weights(1, 200 * MB))
        pushed(place, ada).check(EVERY)
        cloned(place, "copy").check(EVERY)
        place.whole(ada.root, place.folder / "copy")


@pytest.mark.parametrize("way", WAYS)
@carried
def test_however_a_connection_fails_the_command_goes_on(
    carrier: str, way: Way, tmp_path: Path
) -> None:
    with placed(carrier, tmp_path / "at", MB, way, times=1, idle=3, part_bytes=MB) as place:
        ada = place.device("ada", weights(1, 3 * MB))
        assert pushed(place, ada).failures == 1
        place.relay.times = 2
        assert cloned(place, "copy").failures == 1
        place.whole(ada.root, place.folder / "copy")


def moved(central: Path) -> bool:
    """Tell whether the server has done what it is about to confirm."""
    return (central / "refs" / "heads" / "main").exists()


@carried
def test_a_lost_reply_to_an_update_that_was_done_is_success(carrier: str, tmp_path: Path) -> None:
    with placed(carrier, tmp_path / "at", lose=moved) as place:
        ada = place.device("ada", weights(1, MB))
        assert pushed(place, ada).failures == 1
        assert cloned(place, "copy").failures == 0
        place.whole(ada.root, place.folder / "copy")
        assert not list(place.central.glob("incoming/**/*.head"))
        log = (place.central / "logs/refs/heads/main").read_text()
        assert len(log.splitlines()) == 1, "the ref moved twice"


@carried
def test_a_lost_reply_is_success_though_others_have_moved_on_meanwhile(
    carrier: str, tmp_path: Path
) -> None:
    others: list[subprocess.CompletedProcess[str]] = []

    def taken_further(central: Path) -> bool:
        if not moved(central):
            return False
        folder = tmp_path / "at"
        others.extend(
            place.run(folder, *words)
            for words in (
                ["clone", "-q", str(central), "bo"],
                ["-C", "bo", "commit", "--allow-empty", "-m", "further"],
                ["-C", "bo", "push"],
            )
        )
        return True

    with placed(carrier, tmp_path / "at", lose=taken_further) as place:
        ada = place.device("ada", weights(1, MB))
        found = pushed(place, ada)
        assert [one.returncode for one in others] == [0, 0, 0], others
        assert found.failures == 1
        cloned(place, "copy")
        place.whole(place.folder / "bo", place.folder / "copy")
        with Repository(place.central, None) as centre:
            main = centre.refs.get("refs/heads/main")
            assert main is not None
            assert centre.commit(main).parents == (ada.repo.head_commit(),)

"""Parts on their way in: sizes, checks, what stays and what goes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import fileio
from mvc.base.errors import (
    FormatError,
    IntegrityError,
    LimitError,
    MvcError,
    NotAllowedError,
    StorageError,
)
from mvc.base.ids import ObjectId
from mvc.objects.tree import Tree
from mvc.ops.gc import GcRequest, gc
from mvc.store.directory import MAX_SECTION, BlockEntry, ChunkEntry
from mvc.sync.limits import MAX_PART, MAX_PIECE
from mvc.sync.messages import PartRequest
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Quarantine, quarantine
from tests.sync.exchange import Sent, bare
from tests.sync.hostile import Forge, blob_of, bytes_of, inline, item, plain

DATA = bytes_of(1, 5000)


def honest() -> Sent:
    forge = Forge()
    chunk = plain(DATA)
    forge.chunk(chunk)
    forge.block([blob_of(chunk.id, 5000), item(Tree(()))])
    return forge.done()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Quarantine]:
    found = Quarantine(tmp_path / "incoming", reserve=0)
    yield found
    found.close()


def files(held: Quarantine) -> list[str]:
    """Return what lies there but locks and the index."""
    return [
        path.name
        for path in held.folder.rglob("*")
        if (path.is_file() and path.suffix in (".head", ".tail")) or "staged" in path.name
    ]


def refuse(held: Quarantine, part: Sent, error: type[MvcError], match: str) -> None:
    with pytest.raises(error, match=match):
        held.take(part.request, part.body())
    assert files(held) == []
    assert not held.has(part.name)


def test_a_part_is_there_with_what_it_holds_for_other_processes_too(held: Quarantine) -> None:
    part = honest()
    held.take(part.request, part.body())
    other = Quarantine(held.folder)
    chunk = plain(DATA).id
    for one in (held, other):
        assert one.has(part.name)
        assert one.parts() == [part.name]
        assert one.holds(chunk)
        assert one.holds(item(Tree(())).id)
        assert not one.holds(ObjectId(b"x" * 32))
    sent = Parts(other, [part.name, ObjectId(b"x" * 32)])
    assert list(sent.records) == [chunk]
    assert sent.read(item(Tree(())).id, "tree") == Tree(()).encode()
    sent.close()
    other.drop([part.name])
    assert not held.has(part.name)
    assert not held.holds(chunk)
    assert files(held) == []
    other.close()


def test_pieces_may_be_cut_anywhere(held: Quarantine) -> None:
    part = honest()
    data = part.head + part.tail
    held.take(part.request, iter([data[at : at + 7] for at in range(0, len(data), 7)]))
    assert held.has(part.name)


def test_a_part_that_is_there_already_changes_nothing(held: Quarantine) -> None:
    part = honest()
    held.take(part.request, part.body())
    before = {path: path.stat().st_mtime_ns for path in held.folder.rglob("*.head")}
    held.take(part.request, part.body())
    held.take(part.request, iter([b"x" * 10]))
    assert {path: path.stat().st_mtime_ns for path in held.folder.rglob("*.head")} == before
    with pytest.raises(LimitError):
        held.take(part.request, iter([part.head, part.tail, b"x"]))


def test_a_body_of_another_length_than_announced_is_refused(held: Quarantine) -> None:
    part = honest()
    refuse(held, replace(part, head=part.head[:-1]), IntegrityError, "damaged")
    with pytest.raises(LimitError, match="longer"):
        held.take(part.request, iter([part.head, part.tail, b"x"]))
    with pytest.raises(FormatError, match="shorter"):
        held.take(part.request, iter([part.head, part.tail[:-1]]))
    assert files(held) == []


def test_an_endless_body_ends_at_what_was_announced(held: Quarantine) -> None:
    drawn = 0

    def endless() -> Iterator[bytes]:
        nonlocal drawn
        while True:
            drawn += 1
            yield bytes(MAX_PIECE)

    with pytest.raises(LimitError, match="longer"):
        held.take(PartRequest(ObjectId(b"x" * 32), 3 * MAX_PIECE, 100), endless())
    assert drawn == 4
    assert files(held) == []


def test_what_is_announced_too_large_is_refused_before_anything_is_read(held: Quarantine) -> None:
    def unread() -> Iterator[bytes]:
        yield pytest.fail("the body was read")

    for head, tail in ((MAX_PART + 1, 0), (MAX_PART, 1), (0, MAX_PART + 1)):
        with pytest.raises(LimitError, match="above the limit"):
            held.take(PartRequest(ObjectId(b"x" * 32), head, tail), unread())


def test_what_is_granted_bounds_what_waits(tmp_path: Path) -> None:
    part = honest()
    small = Quarantine(tmp_path / "incoming", most=len(part.head), reserve=0)
    with pytest.raises(NotAllowedError, match="granted"):
        small.take(part.request, part.body())
    assert files(small) == []


def test_the_disk_keeps_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = honest()
    held = Quarantine(tmp_path / "incoming", reserve=1 << 20)
    monkeypatch.setattr(fileio, "free_bytes", lambda _: (1 << 20) + 100)
    with pytest.raises(StorageError, match="nearly full"):
        held.take(part.request, part.body())
    assert files(held) == []


def test_a_disk_that_is_full_leaves_nothing_behind(
    held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = honest()
    real = fileio.StagedFile.write

    def full(self: fileio.StagedFile, data: bytes) -> None:
        if self.size + len(data) > 100:
            raise StorageError("no space left")
        real(self, data)

    monkeypatch.setattr(fileio.StagedFile, "write", full)
    with pytest.raises(StorageError):
        held.take(part.request, part.body())
    assert files(held) == []
    monkeypatch.undo()
    held.take(part.request, part.body())
    assert held.has(part.name)


def test_a_part_of_another_name_is_refused(held: Quarantine) -> None:
    part = honest()
    refuse(held, replace(part, name=ObjectId(b"x" * 32)), IntegrityError, "damaged")
    other = Forge()
    other.chunk(plain(bytes_of(2, 5000)))
    refuse(held, replace(part, tail=other.done().tail), IntegrityError, "tail")


def test_a_tail_that_the_head_does_not_tell_of_is_refused(held: Quarantine) -> None:
    part = honest()
    refuse(held, replace(part, tail=b""), IntegrityError, "damaged|another tail")
    refuse(held, replace(part, tail=part.tail + b"more"), IntegrityError, "tail")
    forge = Forge()
    forge.block([inline()])
    alone = forge.done()
    refuse(held, replace(alone, tail=b"more"), IntegrityError, "another tail")


def test_every_flipped_bit_is_found_but_those_that_mean_nothing(held: Quarantine) -> None:
    part = honest()
    for at in range(0, len(part.head), 97):
        head = bytearray(part.head)
        head[at] ^= 1
        with pytest.raises(MvcError):
            held.take(part.request, iter([bytes(head), part.tail]))
    for at in range(0, len(part.tail), 997):
        tail = bytearray(part.tail)
        tail[at] ^= 1
        with pytest.raises(MvcError):
            held.take(part.request, iter([part.head, bytes(tail)]))
    assert files(held) == []


def test_records_that_overlap_are_refused(held: Quarantine) -> None:
    forge = Forge()
    chunk = plain(DATA)
    sections = [forge.section(chunk.sections[0])]
    sections += [forge.section(chunk.sections[1], lower=chunk.digests[1])]
    for number in range(200):
        name = ObjectId(number.to_bytes(32, "big"))
        forge.enter(ChunkEntry(name, 4, chunk.words, chunk.transform, None, 0, tuple(sections)))
    refuse(held, forge.done(), FormatError, "overlap")


def test_a_section_outside_of_its_file_is_refused(held: Quarantine) -> None:
    for at, length in ((10**9, 100), (8, MAX_SECTION), (1 << 62, 1)):
        forge = Forge()
        chunk = plain(DATA, 1)
        top = replace(forge.section(chunk.sections[0]), at=at, length=length)
        forge.enter(ChunkEntry(chunk.id, 1, chunk.words, chunk.transform, None, 0, (top,)))
        part = forge.done()
        with pytest.raises(MvcError):
            held.take(part.request, part.body())
    assert files(held) == []


def test_bombs_are_refused_before_they_are_unpacked(
    held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvc.sync.inspect_part.MAX_UNPACKED", 1000)
    monkeypatch.setattr("mvc.sync.inspect_part.read_rows", lambda *_: pytest.fail("unpacked"))
    forge = Forge()
    frame = forge.section(b"a frame that says it is large")
    for _ in range(2):
        forge.enter(BlockEntry(frame.at, 10, frame.check, 600, 1))
    refuse(held, forge.done(), LimitError, "more objects")


def test_too_many_objects_are_refused_before_they_are_unpacked(
    held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvc.sync.inspect_part.read_rows", lambda *_: pytest.fail("unpacked"))
    forge = Forge()
    frame = forge.section(b"a frame")
    forge.enter(BlockEntry(frame.at, 7, frame.check, 1 << 17, 1 << 17))
    refuse(held, forge.done(), LimitError, "more objects")


def test_a_directory_that_miscounts_or_repeats_is_refused(held: Quarantine) -> None:
    forge = Forge()
    forge.block([inline()])
    refuse(held, forge.done(entries=2), FormatError, "as many entries")
    forge.block([inline()])
    refuse(held, forge.done(), FormatError, "twice")


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_bytes_are_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes
) -> None:
    held = Quarantine(tmp_path_factory.getbasetemp() / "any", reserve=0)
    with pytest.raises(MvcError) as caught:
        held.take(PartRequest(ObjectId(b"x" * 32), len(head), len(tail)), iter([head, tail]))
    assert "\n" not in caught.value.message
    held.close()


def test_everything_is_forgotten_when_nothing_came_for_long_and_nothing_before(
    held: Quarantine,
) -> None:
    first, forge = honest(), Forge()
    forge.chunk(plain(bytes_of(2, 5000)))
    second = forge.done()
    for part in (first, second):
        held.take(part.request, part.body())
    old = held.folder / "packs" / f"pack-{first.name.hex()}.head"
    os.utime(old, (1, 1))
    held.forget_old()
    assert len(held.parts()) == 2
    for path in (held.folder / "packs").iterdir():
        os.utime(path, (1, 1))
    held.forget_old()
    assert (held.parts(), files(held)) == ([], [])


def test_a_collection_removes_what_nobody_went_on_with(tmp_path: Path) -> None:
    repo = bare(tmp_path / "repo")
    part = honest()
    for who in ("old", "new"):
        held = quarantine(repo, who)
        held.take(part.request, part.body())
        held.close()
    incoming = repo.folder / "incoming"
    gone, *_ = (path for path in incoming.iterdir() if path == quarantine(repo, "old").folder)
    for path in gone.rglob("*"):
        os.utime(path, (1, 1))
    gc(repo, GcRequest(dry_run=True))
    assert len(list(incoming.iterdir())) == 2
    gc(repo)
    # Dropping parts wrote to the index: the rest goes some days later.
    assert quarantine(repo, "old").parts() == []
    os.utime(gone / "index.sqlite", (1, 1))
    gc(repo)
    assert [path.name for path in incoming.iterdir()] == [quarantine(repo, "new").folder.name]
    assert quarantine(repo, "new").parts() == [part.name]


def test_a_process_that_dies_while_it_takes_a_part_leaves_nothing_that_stays(
    held: Quarantine,
) -> None:
    code = """
import sys
from pathlib import Path
from mvc.base.ids import ObjectId
from mvc.sync.messages import PartRequest
from mvc.sync.quarantine import Quarantine, quarantine

def body():
    yield bytes(1000)
    print("half", flush=True)
    sys.stdin.read()
    yield b""

Quarantine(Path(sys.argv[1]), reserve=0).take(PartRequest(ObjectId(b"x" * 32), 5000, 0), body())
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(held.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"half\n"
    assert files(held) != []
    child.kill()
    child.wait()
    child.stdout.close()
    child.stdin.close()
    part = honest()
    held.take(part.request, part.body())
    assert [name for name in files(held) if "staged" in name] == []
    assert held.parts() == [part.name]

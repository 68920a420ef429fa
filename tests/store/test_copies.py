"""Chunks in several packs: a whole copy is found whatever is damaged, and that copy is named."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, StorageError, TailAwayError
from mvc.base.ids import ObjectId
from mvc.codec.chunk import Transform
from mvc.codec.segments import Segments, join, split
from mvc.storage import keys
from mvc.storage.memory import MemoryStorage
from mvc.store import chunks, copies
from mvc.store.chunks import Words
from mvc.store.copies import faults
from mvc.store.decode import load, load_top
from mvc.store.directory import MAX_DEPTH
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk, PackWriter
from mvc.store.rewrite import Rewriter
from mvc.store.tails import Offloaded, OffloadingStorage, Tails
from tests.storage.faulty import FaultyStorage
from tests.store.samples import nudged, weights

OLD, NEW = weights(1, 5000), nudged(weights(1, 5000), 2)
ORDER = itertools.count()


def coded(store: ObjectStore, data: bytes, *bases: ObjectId) -> NewChunk:
    return chunks.record(store, Words(data, 4, "float", bases))


def put(store: ObjectStore, root: Path, *records: NewChunk) -> str:
    """Publish a pack of some records and return its name."""
    with fileio.Workspace(root / "tmp") as space:
        writer = PackWriter(space)
        for item in records:
            writer.add_chunk(item)
        # No two packs are the same.
        writer.add_chunk(coded(store, np.int32(next(ORDER)).tobytes() * 600))
        written = writer.publish(store.storage)
    store.joined(written)
    return written.name


class Family:
    """A store with a base and a difference, each in two packs: `base` and `delta`, oldest first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = FaultyStorage(MemoryStorage())
        self.store = ObjectStore(self.storage, None)
        old = coded(self.store, OLD)
        self.base = [put(self.store, root, old) for _ in range(2)]
        new = coded(self.store, NEW, old.id)
        assert new.base == old.id
        self.delta = [put(self.store, root, new) for _ in range(2)]
        self.old, self.new = old, new

    def spoil(self, pack: str, name: ObjectId, number: int) -> None:
        """Change a byte in a section of a chunk in one pack."""
        ((reader, entry),) = (found for found in self.store.records(name) if found[0].name == pack)
        assert reader.name == pack
        key = keys.pack_tail(pack) if number else keys.pack_head(pack)
        data = bytearray(self.storage.read(key))
        part = entry.sections[number]
        data[part.at + part.length // 2] ^= 0x40
        self.storage.delete(key)
        self.storage.write_new(key, bytes(data))

    def check(self) -> None:
        assert bytes(join(load(self.store, self.new.id), 4)) == NEW
        assert load_top(self.store, self.new.id)[0].tobytes() == split(NEW, 4)[0].tobytes()


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


@pytest.mark.parametrize("number", [0, 1], ids=["head", "tail"])
@pytest.mark.parametrize("which", ["itself", "base", "both"])
@pytest.mark.parametrize("copy", [0, 1], ids=["older", "newer"])
def test_a_damaged_section_is_read_from_another_pack(
    family: Family, number: int, which: str, copy: int
) -> None:
    if which != "base":
        family.spoil(family.delta[copy], family.new.id, number)
    if which != "itself":
        family.spoil(family.base[copy], family.old.id, number)
    family.check()
    family.store.rebuild()
    family.check()


@pytest.mark.parametrize("gone", [["head"], ["tail"], ["head", "tail"]], ids="+".join)
def test_a_pack_that_was_deleted_underneath_hides_no_other(family: Family, gone: list[str]) -> None:
    for pack in (family.base[1], family.delta[1]):
        for suffix in gone:
            family.storage.delete(f"packs/pack-{pack}.{suffix}")
    family.check()


def test_a_disk_that_fails_under_one_pack_hides_no_other(family: Family) -> None:
    family.storage.fails = lambda call, key: (
        call == "read_range"
        and key
        in {
            keys.pack_tail(family.delta[1]),
            keys.pack_tail(family.base[1]),
        }
    )
    family.check()
    family.storage.fails = lambda call, key: call == "read_range" and key.endswith(".tail")
    with pytest.raises(StorageError):
        load(family.store, family.new.id)
    assert load_top(family.store, family.new.id)


def test_a_record_that_lies_hides_no_true_one(family: Family) -> None:
    lies = replace(family.new, transform=Transform.INTEGER_DELTA)
    liar = put(family.store, family.root, lies)
    family.check()
    assert [*faults(family.store, family.new.id)] == [liar]
    false_base = replace(coded(family.store, weights(9, 5000)), id=family.old.id)
    put(family.store, family.root, false_base)
    family.check()


def test_another_way_to_code_it_will_do(family: Family) -> None:
    alone = put(family.store, family.root, coded(family.store, NEW))
    put(family.store, family.root, family.new)
    for pack in family.base:
        family.spoil(pack, family.old.id, 1)
    family.check()
    assert {*faults(family.store, family.new.id)}.isdisjoint({alone})
    assert len(faults(family.store, family.new.id)) == 3


@pytest.mark.parametrize("number", [0, 1], ids=["head", "tail"])
def test_without_a_whole_copy_the_first_fault_is_told(family: Family, number: int) -> None:
    for pack in family.delta:
        family.spoil(pack, family.new.id, number)
    with pytest.raises(IntegrityError, match=f"pack-{family.delta[1]}.* is damaged at byte"):
        load(family.store, family.new.id)
    assert {*faults(family.store, family.new.id)} == {*family.delta}
    if number:
        assert load_top(family.store, family.new.id)


@pytest.mark.parametrize("number", [0, 1], ids=["head", "tail"])
def test_the_damaged_copy_is_the_one_that_is_named(family: Family, number: int) -> None:
    assert faults(family.store, family.new.id) == faults(family.store, family.old.id) == {}
    family.spoil(family.base[0], family.old.id, number)
    (found,) = faults(family.store, family.old.id).items()
    assert found[0] == family.base[0]
    assert "damaged at byte" in found[1]
    # What stands on it is whole: the other copy of its base is.
    assert faults(family.store, family.new.id) == {}


def test_a_base_is_taken_from_records_of_less_depth_alone(tmp_path: Path) -> None:
    """Two packs may hold two chunks as differences to each other."""
    store = ObjectStore(MemoryStorage(), None)
    one, two = coded(store, OLD), coded(store, NEW)
    put(store, tmp_path, one, two)
    forth = coded(store, NEW, one.id)
    back = coded(store, OLD, two.id)
    put(store, tmp_path, forth)
    put(store, tmp_path, back)
    family = Family.__new__(Family)
    family.store, family.storage = store, FaultyStorage(store.storage)
    first = next(reader.name for reader, entry in store.records(one.id) if not entry.depth)
    family.spoil(first, one.id, 1)
    assert bytes(join(load(store, one.id), 4)) == OLD
    assert bytes(join(load(store, two.id), 4)) == NEW
    family.spoil(first, two.id, 1)
    for name in (one.id, two.id):
        with pytest.raises(IntegrityError):
            load(store, name)
        assert len(faults(store, name)) == 2


def test_lies_end_the_search_after_some_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(MemoryStorage(), None)
    names = [coded(store, weights(seed)).id for seed in range(MAX_DEPTH)]
    true = coded(store, weights(0))
    lie = replace(true, transform=Transform.INTEGER_DELTA)
    for _ in range(4):
        steps = [
            replace(lie, id=name, base=names[depth - 1], depth=depth)
            for depth, name in enumerate(names)
            if depth
        ]
        put(store, tmp_path, true, *steps)
    tried = []
    decode = copies.codec.decode

    def counted(*arguments: object) -> Segments:
        tried.append(1)
        return decode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(copies.codec, "decode", counted)
    with pytest.raises(IntegrityError):
        load(store, names[-1])
    assert len(tried) < copies.ATTEMPTS + 3 * MAX_DEPTH


def test_a_copy_that_is_here_is_read_where_the_other_side_cannot_be_reached(
    tmp_path: Path,
) -> None:
    inner = MemoryStorage()
    offloaded = Offloaded(tmp_path / "offloaded", tmp_path / "staging")
    asked: list[str] = []

    def connect(where: str) -> object:
        asked.append(where)
        raise StorageError("no answer")

    tails = Tails(offloaded, connect)  # type: ignore[arg-type]
    store = ObjectStore(OffloadingStorage(inner, offloaded.packs), None, tails)
    record = coded(store, OLD)
    packs = [put(store, tmp_path, record) for _ in range(2)]
    offloaded.add(packs[1:], "/elsewhere")
    inner.delete(keys.pack_tail(packs[1]))
    assert bytes(join(load(store, record.id), 4)) == OLD
    assert faults(store, record.id) == {}
    offloaded.add(packs[:1], "/elsewhere")
    inner.delete(keys.pack_tail(packs[0]))
    asked.clear()
    with pytest.raises(TailAwayError, match="cannot be reached: no answer"):
        load(store, record.id)
    assert asked == ["/elsewhere"]
    assert faults(store, record.id) == {}


def test_what_is_written_anew_is_held_to_its_own_record(family: Family) -> None:
    """A whole copy elsewhere is about to be deleted and must not vouch for a bad new one."""
    bad = replace(family.new, transform=Transform.INTEGER_DELTA)
    with Rewriter(family.store, family.root / "scratch") as writer:
        writer.add(bad)
        with pytest.raises(IntegrityError):
            writer.publish()
    assert family.store.staged == {}
    family.check()


def factor_of(store: ObjectStore, root: Path, edit: Callable[[NewChunk], NewChunk]) -> ObjectId:
    """Store bytes twice: alone, and as a record that needs itself or others; return their id."""
    plain = chunks.record(store, Words(bytes(range(200)) * 6, 1, "opaque"))
    put(store, root, plain)
    put(store, root, edit(plain))
    return plain.id


def test_factors_that_need_factors_send_no_reader_in_circles(tmp_path: Path) -> None:
    store = ObjectStore(MemoryStorage(), None)
    base = chunks.record(store, Words(bytes(1200), 1, "opaque"))
    other = chunks.record(store, Words(bytes(range(100)) * 12, 1, "opaque"))
    put(store, tmp_path, base, other)

    def needing(factors: ObjectId) -> Callable[[NewChunk], NewChunk]:
        return lambda chunk: replace(
            chunk, transform=Transform.LOW_RANK, base=base.id, depth=1, factors=factors
        )

    first = factor_of(store, tmp_path, needing(other.id))
    put(store, tmp_path, needing(first)(other))
    for name in (first, other.id):
        assert len(load(store, name)[0]) == 1200

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import fileio
from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId, object_id
from mvc.codec import zstd
from mvc.storage import keys
from mvc.storage.memory import MemoryStorage
from mvc.store import block
from mvc.store.block import Item
from mvc.store.directory import MAX_BLOCK, BlockEntry, ChunkEntry
from mvc.store.pack import NewChunk, PackWriter
from mvc.store.pack_reader import PackReader, _Chunks, open_pack, parse, read_rows
from tests import memory

KINDS = ("tensor", "blob", "layout", "checkpoint", "tree", "commit", "tag")
MARK = b"\xc4\x20"
ID = ObjectId(bytes(32))


def made(content: bytes, kind: str = "blob") -> Item:
    return Item(object_id(kind, content), kind, content)


@st.composite
def families(draw: st.DrawFn) -> tuple[list[Item], list[ObjectId]]:
    """Objects that hold ids of chunks, of each other, of nothing, and parts of ids."""
    chunks = draw(st.lists(st.binary(min_size=32, max_size=32).map(ObjectId), max_size=5))
    items: list[Item] = []
    marks = st.sampled_from([MARK, b"\xc4", b"\x20", b"\xc4\xc4\x20", b"\xc4\x20\x20"])
    for _ in range(draw(st.integers(1, 8))):
        known = [*chunks, *(item.id for item in items)] or [ObjectId(MARK * 16)]
        ids = st.sampled_from(known)
        cut = st.builds(lambda name, size: bytes(name[:size]), ids, st.integers(0, 32))
        piece = marks | ids.map(lambda name: MARK + name) | cut | st.binary(max_size=40)
        content = b"".join(draw(st.lists(piece, min_size=1, max_size=8))) or b"x"
        items.append(made(content, draw(st.sampled_from(KINDS))))
    return items, chunks


def entry_of(plain: bytes, count: int, frame: bytes = b"") -> BlockEntry:
    return BlockEntry(8, len(frame), 0, len(plain), count)


@given(families())
def test_objects_come_back_whatever_ids_they_hold(
    family: tuple[list[Item], list[ObjectId]],
) -> None:
    items, chunks = family
    packed = block.pack_items(items, chunks)
    assert packed.reach <= len(chunks)
    near = chunks[len(chunks) - packed.reach :]
    for held in (chunks, near, [ObjectId(bytes(32)), *near]):
        frame, size, reach = block.compress(items, chunks)
        assert reach == packed.reach
        assert block.unpack_items(entry_of(packed.data, len(items), frame), frame, held) == items
        assert size == len(packed.data)
    longer = sum(len(item.content) for item in items) + 12 * len(items)
    assert len(packed.data) <= longer + sum(item.content.count(MARK) for item in items)


@given(families(), st.data())
def test_a_changed_block_is_refused_or_holds_objects_of_other_ids(
    family: tuple[list[Item], list[ObjectId]], data: st.DataObject
) -> None:
    items, chunks = family
    plain = bytearray(block.pack_items(items, chunks).data)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(plain) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "insert"]))
        byte = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255, 0xC4, 0x20]))
        plain[at : at + (change != "insert")] = b"" if change == "cut" else bytes([byte])
        if not plain:
            return
    frame = zstd.compress(bytes(plain), 1)
    with contextlib.suppress(FormatError):
        for item in block.unpack_items(entry_of(plain, len(items)), frame, chunks):
            assert item.id == object_id(item.kind, item.content)


@given(st.binary(max_size=60), st.integers(1, 9))
def test_a_block_of_random_bytes_raises_only_format_errors(plain: bytes, count: int) -> None:
    with contextlib.suppress(FormatError):
        block.unpack_items(entry_of(plain, count), zstd.compress(plain, 1), [ID])


def test_ids_of_earlier_objects_and_of_chunks_take_no_room() -> None:
    chunks = [ObjectId(bytes([n]) * 32) for n in range(50)]
    tensors = [made(b"tensor" + MARK + name, "tensor") for name in chunks]
    tree = made(b"".join(b"name" + MARK + item.id for item in tensors), "tree")
    items = [*tensors, tree, made(b"commit" + MARK + tree.id, "commit")]
    packed = block.pack_items(items, chunks)
    assert (
        len(packed.data) == sum(len(item.content) for item in items) - 100 * 32 + 2 * 52 + 100 + 1
    )
    assert packed.reach == 50
    entry = entry_of(packed.data, len(items))
    assert block.unpack_items(entry, zstd.compress(packed.data, 1), chunks) == items


@given(families())
def test_history_is_read_without_its_neighbours(
    family: tuple[list[Item], list[ObjectId]],
) -> None:
    items, chunks = family
    frame, size, _ = block.compress(items, chunks)
    entry = BlockEntry(8, len(frame), 0, size, len(items))
    history = [item for item in items if item.kind in ("commit", "tag")]
    assert block.unpack_history(entry, frame) == history


def test_only_what_stands_before_an_object_is_left_out_of_it() -> None:
    child = made(b"child")
    parent = made(b"parent" + MARK + child.id)
    assert child.id not in block.pack_items([child, parent]).data
    assert child.id in block.pack_items([parent, child]).data
    assert child.id in block.pack_items([parent]).data


def test_after_the_last_reference_nothing_is_said_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = made(b"child")
    other = (MARK + bytes(32)) * 10
    items = [child, made(MARK + child.id + other), made(other + other)]
    plain = block.pack_items(items).data
    assert len(plain) == 3 + 5 + 1 + sum(len(item.content) for item in items) - 32
    monkeypatch.setattr(block, "MAX_REFERENCES", 4)
    many = [child, made((MARK + child.id) * 9), made(MARK + child.id)]
    plain = block.pack_items(many).data
    assert len(plain) == 3 + 4 + 4 + sum(len(item.content) for item in many) - 4 * 32
    frame = zstd.compress(plain, 1)
    assert block.unpack_items(entry_of(plain, 3), frame) == many
    monkeypatch.setattr(block, "MAX_REFERENCES", 3)
    with pytest.raises(FormatError, match="too many"):
        block.unpack_items(entry_of(plain, 3), frame)


def test_chunks_that_a_block_does_not_need_are_out_of_its_reach() -> None:
    chunks = [ObjectId(bytes([n]) * 32) for n in range(9)]
    item = made(MARK + chunks[6] + MARK + chunks[8])
    assert block.pack_items([item], chunks).reach == 3
    assert block.pack_items([made(b"x")], chunks).reach == 0


@pytest.mark.parametrize(
    ("plain", "count"),
    [
        (b"", 1),
        (b"\x02", 1),
        (b"\x02\x01", 1),
        (b"\x00\x01a", 1),
        (b"\x08\x01a", 1),
        (b"\x02\x00", 1),
        (b"\x02\x00a", 1),
        (b"\x02\x02a", 1),
        (b"\x02\x01aa", 1),
        (b"\x02\x01a", 2),
        (b"\x02\x02\x01\x01aa", 1),
        (b"\x02\x80\x80\x80\x80\x80\x01a", 1),
        (b"\x02\xff\xff\xff\xff\x0fa", 1),
        (b"\x02\x81", 1),
        (b"\x02\x02\x02\xc4\x20", 1),
        (b"\x02\x02\x80\xc4\x20", 1),
        (b"\x02\x02\x01\x01\xc4\x20", 1),
        (b"\x02\x02\x01\xc4\x21", 1),
        (b"\x02\x02\x02\x01\x03\xc4\x20a", 2),
    ],
    ids=str,
)
def test_a_malformed_block_is_refused(plain: bytes, count: int) -> None:
    frame = zstd.compress(plain, 1)
    with pytest.raises(FormatError):
        block.unpack_items(entry_of(plain, count), frame, [ID])


def test_a_small_block_is_read() -> None:
    plain = b"\x02\x02\x02\x02\x01\x00\xc4\x20\xc4\x20"
    one, two = block.unpack_items(
        entry_of(plain, 2), zstd.compress(plain, 1), [ObjectId(b"i" * 32)]
    )
    assert (one.content, two.content) == (MARK + b"i" * 32, MARK)


@pytest.mark.parametrize(
    ("plain", "count"),
    [
        (b"\x02\x01\x00\x00\x00a", 2),
        (b"\x02\x01\x00\x00\x00a" * 2, 1),
        (b"\x02\x02\x00\x00\x00a", 1),
        (b"\x02\xff\xff\xff\xffa", 1),
        (b"\x02\x00\x00\x00\x00", 1),
        (b"\x00\x01\x00\x00\x00a", 1),
        (b"\x08\x01\x00\x00\x00a", 1),
        (b"\x02\x01\x00\x00", 1),
        (b"", 1),
    ],
    ids=str,
)
def test_a_malformed_block_of_version_1_is_refused(plain: bytes, count: int) -> None:
    entry = BlockEntry(8, 99, 0, len(plain), count, version=1)
    with pytest.raises(FormatError):
        block.unpack_items(entry, zstd.compress(plain, 1))


def test_references_cannot_make_a_small_block_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = block._varint(len(MARK) * (1 << 17))
    plain = b"\x02" * 100 + large * 100 + b"\x01" * (1 << 17) + MARK * (100 << 17)
    frame = zstd.compress(plain, 1)
    assert len(frame) < 1 << 14
    before = memory.restart()
    assert len(block.unpack_items(entry_of(plain, 100), frame, [ID])) == 100
    twice = b"\x02" * 100 + large * 100 + b"\x01" * (1 << 18) + MARK * (100 << 17)
    with pytest.raises(FormatError, match="too many"):
        block.unpack_items(entry_of(twice, 100), zstd.compress(twice, 1), [ID])
    monkeypatch.setattr(block, "MAX_REFERENCES", 1 << 30)
    for count in (1, 100):
        greedy = large * count + b"\x01" * (count << 17) + MARK * (count << 17)
        greedy = b"\x02" * count + greedy
        with contextlib.suppress(FormatError):
            held = block.unpack_items(entry_of(greedy, count), zstd.compress(greedy, 1), [ID])
            assert sum(len(item.content) for item in held) <= MAX_BLOCK
    assert memory.peak() - before < 400 << 20


def pack_of(root: Path, chunks: int, items: list[Item]) -> tuple[MemoryStorage, str, int]:
    storage = MemoryStorage()
    with fileio.Workspace(root / "tmp") as space:
        writer = PackWriter(space)
        for number in range(chunks):
            name = ObjectId(number.to_bytes(32, "big"))
            writer.add_chunk(NewChunk(name, 1, 9, 0, None, 0, (b"x" * 10,), (bytes(32),)))
        for item in items:
            writer.add_object(item)
        writer.publish(storage)
    (head,) = storage.list("packs/")
    return storage, str(keys.pack_of(head.key)), head.size


def test_a_block_finds_the_ids_of_chunks_in_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvc.store.pack.MAX_SPAN", 1000)
    items = [made(MARK + ObjectId(number.to_bytes(32, "big"))) for number in range(100)]
    storage, name, size = pack_of(tmp_path, 100, items)
    written = read_rows(storage, name, size)
    assert {row.id for row in written.rows if row.kind == "blob"} == {item.id for item in items}
    reader, directory = open_pack(storage, name, size)
    *_, (_, entry) = parse(directory, whole=True)
    assert isinstance(entry, BlockEntry)
    assert 900 < entry.span <= 1000
    assert reader.items(entry) == items


@pytest.mark.parametrize("change", ["first", "span", "far", "late"])
def test_a_block_that_lies_about_the_directory_is_refused(tmp_path: Path, change: str) -> None:
    items = [made(MARK + ObjectId(number.to_bytes(32, "big"))) for number in range(5)]
    storage, name, size = pack_of(tmp_path, 5, items)
    reader, directory = open_pack(storage, name, size)
    *_, (at, entry) = parse(directory, whole=True)
    assert isinstance(entry, BlockEntry)
    first, span = {
        "first": (entry.first + 1, entry.span - 1),
        "span": (entry.first, entry.span - 1),
        "far": (10**9, 100),
        "late": (at, len(directory) - at),
    }[change]
    parts = (entry.at, entry.length, entry.check, entry.size, entry.count, first, span)
    with contextlib.suppress(FormatError, IntegrityError):
        assert reader.items(BlockEntry(*parts)) != items
    chunks = _Chunks()
    for where, found in parse(directory, whole=True):
        if isinstance(found, ChunkEntry):
            chunks.add(where, found.id)
    with pytest.raises(FormatError):
        chunks.before(BlockEntry(*parts), at)


def test_a_pack_of_version_1_has_no_entries_of_version_2(tmp_path: Path) -> None:
    storage, name, size = pack_of(tmp_path, 1, [made(b"x")])
    key = keys.pack_head(name)
    head = storage.read(key)
    assert head[7] == 2
    storage.delete(key)
    storage.write_new(key, head[:7] + b"\x01" + head[8:])
    assert isinstance(open_pack(storage, name, size)[0], PackReader)
    with pytest.raises(FormatError, match="version 1"):
        read_rows(storage, name, size)

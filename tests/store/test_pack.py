from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import fileio
from mvc.base.errors import FormatError, IntegrityError, LimitError, MvcError
from mvc.base.ids import ObjectId, digest, object_id
from mvc.codec.chunk import Transform
from mvc.codec.segments import split
from mvc.objects.model import chunk_id
from mvc.storage import keys
from mvc.storage.memory import MemoryStorage
from mvc.store import block, chunks
from mvc.store.block import Item
from mvc.store.directory import (
    CHECK_BITS,
    MAX_ENTRY,
    BlockEntry,
    ChunkEntry,
    Section,
    build_entry,
    decode_entry,
)
from mvc.store.object_store import ObjectStore
from mvc.store.pack import END_MAGIC, FOOTER, HEAD_MAGIC, NewChunk, PackWriter, pack_name
from mvc.store.pack_reader import PackReader, open_pack, parse, read_rows
from mvc.store.transaction import Transaction
from tests.store.samples import Saved, nudged, open_store, save, weights

ids = st.binary(min_size=32, max_size=32).map(ObjectId)
naturals = st.integers(0, 2**63 - 1)


@st.composite
def chunk_entries(draw: st.DrawFn) -> ChunkEntry:
    word, lower = draw(st.sampled_from([(1, 0), (2, 0), (4, 1), (8, 2)]))
    version = draw(st.sampled_from([1, 2]))
    name, base, factors = draw(st.lists(ids, min_size=3, max_size=3, unique=True))
    references = draw(st.integers(0, version))
    lengths = st.integers(0, 64 << 20)
    checks = st.integers(0, 2 ** CHECK_BITS[version] - 1)
    sections = [Section(draw(naturals), draw(lengths), draw(checks), b"")]
    sections += [
        Section(draw(naturals), draw(lengths), draw(checks), draw(ids)) for _ in range(lower)
    ]
    return ChunkEntry(
        name,
        word,
        draw(st.integers(1, 1 << 20)),
        draw(st.integers(0, 255)),
        base if references else None,
        draw(st.integers(1, 32)) if references else 0,
        tuple(sections),
        factors if references > 1 else None,
        version,
    )


old_blocks = st.builds(
    BlockEntry,
    naturals,
    st.integers(0, 64 << 20),
    st.integers(0, 2**64 - 1),
    st.integers(0, 64 << 20),
    st.integers(0, 1 << 17),
    version=st.just(1),
)
new_blocks = st.builds(
    BlockEntry,
    naturals,
    st.integers(0, 64 << 20),
    st.integers(0, 2**32 - 1),
    st.integers(0, 64 << 20),
    st.integers(1, 1 << 17),
    naturals,
    st.integers(0, 1 << 20),
)
block_entries = old_blocks | new_blocks


@given(chunk_entries() | block_entries)
def test_a_directory_entry_comes_back(entry: ChunkEntry | BlockEntry) -> None:
    data = entry.encode()
    assert len(data) <= 1024
    assert decode_entry(data) == entry
    assert list(parse(data * 2, whole=True)) == [(0, entry), (len(data), entry)]


@given(chunk_entries() | block_entries, st.data())
def test_a_changed_entry_is_refused_or_another(
    entry: ChunkEntry | BlockEntry, data: st.DataObject
) -> None:
    raw = bytearray(entry.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(FormatError):
        assert decode_entry(bytes(raw)).encode() == raw
    with contextlib.suppress(FormatError):
        list(parse(bytes(raw), whole=True))


@given(st.lists(chunk_entries() | block_entries, max_size=20), st.integers(0, 2000))
def test_a_directory_is_read_in_one_piece_and_up_to_where_it_is_cut(
    entries: list[ChunkEntry | BlockEntry], cut: int
) -> None:
    parts = [entry.encode() for entry in entries] * 40
    data = b"".join(parts)
    assert [entry for _, entry in parse(data, whole=True)] == entries * 40
    part = data[: len(data) - cut]
    found = list(parse(part, whole=False))
    assert [entry for _, entry in found] == (entries * 40)[: len(found)]
    assert all(data[at:].startswith(entry.encode()) for at, entry in found[-20:])
    whole = sum(len(part) for part in parts[: len(found)])
    assert whole <= len(part) < whole + 300 or not part
    if whole != len(part):
        with pytest.raises(FormatError):
            list(parse(part, whole=True))


@given(st.binary(max_size=100))
def test_a_directory_of_random_bytes_raises_only_format_errors(data: bytes) -> None:
    for whole in (False, True):
        with contextlib.suppress(FormatError):
            list(parse(data, whole=whole))


OLD = [0, bytes(32), 4, 8, 1, None, 0, [8, 9, 0], [[8, 9, 0, bytes(32)]]]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 2),
        (0, 4),
        (0, False),
        (1, b"short"),
        (2, 3),
        (2, 8),
        (2, 16),
        (3, 0),
        (3, (1 << 20) + 1),
        (4, 256),
        (4, -1),
        (5, bytes(32)),
        (5, b"x" * 32),
        (6, 1),
        (6, 33),
        (7, []),
        (7, [8, (64 << 20) + 1, 0]),
        (7, [-1, 9, 0]),
        (7, [8, 9, 2**64]),
        (8, []),
        (8, [[8, 9, 0, b"short"]]),
        (8, [[8, 9, 0]]),
        (8, [[8, 9, 0, bytes(32)]] * 2),
    ],
)
def test_a_lying_entry_of_version_1_is_refused(at: int, value: object) -> None:
    assert isinstance(build_entry(OLD), ChunkEntry)
    with pytest.raises(FormatError):
        build_entry([*OLD[:at], value, *OLD[at + 1 :]])


GOOD = [2, bytes(32), 4, 8, 1, 2, [b"b" * 32, b"f" * 32], 8, 9, 0, 8, 9, 0, bytes(32)]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 0),
        (0, 1),
        (0, 3),
        (0, True),
        (1, b"short"),
        (2, 3),
        (2, 2),
        (2, 8),
        (3, 0),
        (3, (1 << 20) + 1),
        (4, 256),
        (5, 0),
        (5, 33),
        (6, []),
        (6, None),
        (6, [bytes(32)]),
        (6, [b"b" * 32] * 2),
        (6, [b"b" * 32, bytes(32)]),
        (6, [b"b" * 32, None]),
        (6, [b"a" * 32, b"b" * 32, b"c" * 32]),
        (7, -1),
        (7, 2**63),
        (8, (64 << 20) + 1),
        (9, 2**32),
        (12, 2**32),
        (13, b"short"),
        (13, 0),
    ],
)
def test_a_lying_entry_is_refused(at: int, value: object) -> None:
    assert isinstance(build_entry(GOOD), ChunkEntry)
    with pytest.raises(FormatError):
        build_entry([*GOOD[:at], value, *GOOD[at + 1 :]])


@pytest.mark.parametrize("length", [*range(14), 15, 16, 17, 18, 19])
def test_an_entry_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(FormatError):
        build_entry([*GOOD, *GOOD[10:], 0][:length])


@pytest.mark.parametrize(
    "items",
    [
        [3, 8, 9, 0, 1, 0, 0, 0],
        [3, 8, 9, 2**32, 1, 1, 0, 0],
        [3, 8, 9, 0, 1, 1, 0, (1 << 20) + 1],
        [3, 8, 9, 0, 1, 1, -1, 0],
        [3, 8, 9, 0, 1, 1, 0],
        [3, 8, 9, 0, 1, 1],
        [1, 8, 9, 0, 1, 1, 0, 0],
    ],
    ids=str,
)
def test_a_lying_entry_of_a_block_is_refused(items: list[object]) -> None:
    assert isinstance(build_entry([3, 8, 9, 0, 1, 1, 0, 0]), BlockEntry)
    with pytest.raises(FormatError):
        build_entry(items)


def test_nested_arrays_in_a_directory_are_refused_in_little_memory() -> None:
    program = (
        "import resource\n"
        "from mvc.base.errors import FormatError\n"
        "from mvc.store.pack_reader import parse\n"
        "data = (b'\\x92' * 200 + b'\\x90' * 201) * (64 << 10)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "for bad in (data, b'\\x9f' * len(data), b'\\x92' + b'\\x90' * len(data)):\n"
        "    try:\n        list(parse(bad, whole=True))\n"
        "    except FormatError:\n        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "refused\n" * 3, done.stderr


def test_an_entry_longer_than_an_entry_may_be_is_refused() -> None:
    nested = b"\x90"
    for _ in range(4):
        nested = b"\x9f" + nested * 15
    assert len(nested) > MAX_ENTRY
    for data in (nested, nested[:2000]):
        with pytest.raises(FormatError, match=r"no known kind|too long"):
            list(parse(data, whole=False))


def test_an_entry_that_announces_a_huge_array_allocates_nothing() -> None:
    with pytest.raises(FormatError):
        list(parse(b"\xdd\x00\xff\xff\xff" + bytes(1 << 20), whole=True))


def written(root: Path, records: list[NewChunk], items: list[Item]) -> MemoryStorage:
    storage = MemoryStorage()
    with fileio.Workspace(root / "tmp") as space:
        writer = PackWriter(space)
        for record in records:
            writer.add_chunk(record)
        for item in items:
            writer.add_object(item)
        writer.publish(storage)
    return storage


def record(data: bytes, **lies: object) -> NewChunk:
    segments = split(data, 4)
    digests = tuple(digest(part.data) for part in segments)
    truth: dict[str, object] = {
        "id": chunk_id(4, len(segments[0]), digests),
        "word": 4,
        "words": len(segments[0]),
        "transform": Transform.PLAIN,
        "base": None,
        "depth": 0,
        "sections": tuple(b"\x01" + part.tobytes() for part in segments),
        "digests": digests,
    }
    return NewChunk(**truth | lies)  # type: ignore[arg-type]


def test_a_pack_says_what_it_holds(tmp_path: Path) -> None:
    data = weights(1)
    items = [Item(object_id("blob", b"%d" % n), "blob", b"%d" % n) for n in range(5)]
    storage = written(tmp_path, [record(data)], items)
    store = ObjectStore(storage, None)
    store.refresh()
    assert bytes(chunks.load_bytes(store, record(data).id, 4, len(data))) == data
    assert [store.read(item.id, "blob") for item in items] == [item.content for item in items]
    assert store.index.counts() == {"chunk": 1, "blob": 5}
    names = [keys.pack_of(item.key) for item in storage.list("packs/")]
    assert len(names) == 2


def test_heads_alone_give_the_top_segments(tmp_path: Path) -> None:
    data = weights(1)
    storage = written(tmp_path, [record(data)], [])
    store = ObjectStore(storage, None)
    store.refresh()
    tail = next(item.key for item in storage.list("packs/") if item.key.endswith(".tail"))
    storage.delete(tail)
    (top,) = chunks.load_top(store, record(data).id)
    assert top.tobytes() == split(data, 4)[0].tobytes()
    with pytest.raises(IntegrityError):
        chunks.load(store, record(data).id)


@pytest.mark.parametrize(
    "lie",
    [
        {"sections": (b"\x01" + bytes(1200), b"\x01" + bytes(1200))},
        {"sections": (b"\x00\x00\x00", b"\x00\x00\x00")},
        {"words": 599, "sections": (b"\x01" + bytes(1198), b"\x01" + bytes(1198))},
        {"transform": Transform.ROTATED},
        {"transform": 9},
        {"sections": (b"", b"\x01")},
        {"sections": (b"\x07", b"\x01")},
        {"digests": (bytes(32), bytes(32))},
    ],
    ids=lambda lie: "-".join(lie),
)
def test_a_lying_record_gives_no_wrong_bytes(tmp_path: Path, lie: dict[str, object]) -> None:
    lying = record(weights(1), **lie)
    store = ObjectStore(written(tmp_path, [lying], []), None)
    store.refresh()
    if "digests" in lie:
        with pytest.raises(IntegrityError):
            chunks.load_top(store, lying.id)
        assert chunks.load(store, lying.id)
        return
    for read in (chunks.load, chunks.load_top):
        with pytest.raises(IntegrityError):
            read(store, lying.id)


ONE, TWO = ObjectId(b"\x01" * 32), ObjectId(b"\x02" * 32)


@pytest.mark.parametrize(
    "records",
    [
        [record(weights(1), id=ONE, base=TWO, depth=1, transform=3)],
        [
            record(weights(1), id=ONE, base=TWO, depth=1, transform=3),
            record(weights(1), id=TWO, base=ONE, depth=1, transform=3),
        ],
        [
            record(weights(1), id=ONE, base=TWO, depth=32, transform=3),
            record(weights(1), id=TWO, base=ONE, depth=8, transform=3),
        ],
        [
            record(weights(1), id=ONE, base=TWO, depth=9, transform=3),
            record(weights(1), id=TWO, base=ONE, depth=9, transform=3),
        ],
        [
            record(weights(1), id=ONE, base=TWO, depth=1, transform=3),
            record(weights(2, 400), id=TWO),
        ],
    ],
    ids=["missing base", "cycle", "falling cycle", "deep cycle", "base of another size"],
)
def test_an_impossible_chain_of_bases_ends(tmp_path: Path, records: list[NewChunk]) -> None:
    store = ObjectStore(written(tmp_path, records, []), None)
    store.refresh()
    with pytest.raises(IntegrityError):
        chunks.load(store, ONE)
    words = chunks.Words(weights(5), 4, "float", (ONE,))
    prepared = chunks.prepare(store, words)
    assert prepared.new is not None
    assert prepared.new.base is None


def test_a_base_with_other_words_is_refused(tmp_path: Path) -> None:
    wide = NewChunk(TWO, 2, 600, 0, None, 0, (b"\x01" + bytes(1200),), (bytes(32),))
    narrow = record(weights(1), id=ONE, base=TWO, depth=1, transform=3)
    store = ObjectStore(written(tmp_path, [narrow, wide], []), None)
    store.refresh()
    with pytest.raises(IntegrityError, match="impossible chain"):
        chunks.load(store, ONE)


def test_chains_of_bases_stay_short(tmp_path: Path) -> None:
    store, saved = open_store(tmp_path), Saved()
    for seed in range(4):
        save(store, tmp_path, seed, saved)
    depths = [store.chunk_entry(name)[1].depth for name in saved.chunks]
    assert max(depths) <= chunks.CHAIN_LIMIT
    base, data = next(iter(saved.chunks.items()))

    for seed in range(2 * chunks.CHAIN_LIMIT):
        data = nudged(data, seed)
        with Transaction(store, tmp_path / "tmp") as tx:
            (base,) = tx.put_chunks([chunks.Words(data, 4, "float", (base,))])
            tx.commit()
        saved.chunks[base] = data
        depths.append(store.chunk_entry(base)[1].depth)
    assert max(depths) == chunks.CHAIN_LIMIT
    saved.check(store)
    store.close()


def test_a_pack_that_holds_an_object_twice_is_refused(tmp_path: Path) -> None:
    item = Item(object_id("blob", b"x"), "blob", b"x")
    storage = written(tmp_path, [], [item, item])
    (head,) = storage.list("packs/")
    with pytest.raises(FormatError, match="twice"):
        read_rows(storage, str(keys.pack_of(head.key)), head.size)


@pytest.mark.parametrize("version", [0, 3, 255])
def test_a_pack_of_another_version_says_so_and_hurts_no_other(tmp_path: Path, version: int) -> None:
    storage = written(tmp_path, [record(weights(1))], [])
    (head,) = (item for item in storage.list("packs/") if item.key.endswith(".head"))
    value = bytearray(storage.read(head.key))
    value[7] = version
    storage.delete(head.key)
    storage.write_new(head.key, bytes(value))
    other = written(tmp_path, [record(weights(2))], [])
    for item in other.list("packs/"):
        storage.write_new(item.key, other.read(item.key))
    store = ObjectStore(storage, None)
    store.refresh()
    assert chunks.load(store, record(weights(2)).id)
    (why,) = store.damaged.values()
    assert f"version {version}" in why
    assert storage.read(head.key) == value


def test_a_directory_above_the_limit_is_never_read(tmp_path: Path) -> None:
    class Huge(MemoryStorage):
        def read_range(self, key: str, offset: int, length: int) -> bytes:
            assert length < 1000
            return HEAD_MAGIC if offset == 0 else footer

    footer = FOOTER.pack(8, 5 << 30, 1, 0, 0, END_MAGIC)
    with pytest.raises(IntegrityError, match="too large"):
        open_pack(Huge(), "ab" * 32, 8 + (5 << 30) + FOOTER.size)


def test_an_entry_outside_the_directory_is_an_error(tmp_path: Path) -> None:
    storage = written(tmp_path, [record(weights(1))], [])
    (head,) = (item for item in storage.list("packs/") if item.key.endswith(".head"))
    reader, directory = open_pack(storage, str(keys.pack_of(head.key)), head.size)
    for at in (1, len(directory), 10**6):
        with pytest.raises(MvcError):
            reader.entry(at)


def small_store(root: Path) -> Saved:
    store, saved = open_store(root), Saved()
    save(store, root, 1, saved)
    store.close()
    return saved


def survives(root: Path, saved: Saved) -> tuple[int, int]:
    """Return how many objects were read and how many refused; wrong bytes fail the test."""
    store = open_store(root)
    good = bad = 0
    for name, data in saved.chunks.items():
        try:
            assert bytes(chunks.load_bytes(store, name, 4, len(data))) == data
            good += 1
        except IntegrityError:
            bad += 1
        try:
            (top,) = chunks.load_top(store, name)
            assert top.tobytes() == split(data, 4)[0].tobytes()
        except IntegrityError:
            pass
    for name, (kind, content) in saved.objects.items():
        try:
            assert store.read(name, kind) == content
            good += 1
        except IntegrityError:
            bad += 1
    store.close()
    return good, bad


@pytest.mark.parametrize("end", ["head", "tail"])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_flipped_byte_anywhere_never_gives_wrong_bytes(
    tmp_path: Path, end: str, indexed: bool
) -> None:
    root = tmp_path / "root"
    saved = small_store(root)
    (path,) = (root / "packs").glob(f"*.{end}")
    whole = path.read_bytes()
    assert survives(root, saved)[1] == 0
    index = (root / "index.sqlite").read_bytes()
    structure = {
        *range(8),
        *range(len(whole) - 600, len(whole), 3),
        *range(len(whole) - 48, len(whole)),
    }
    hurt = 0
    for at in sorted({*range(0, len(whole), 211), *structure} if end == "head" else structure):
        broken = bytearray(whole)
        broken[at] ^= 1 << (at % 8)
        path.write_bytes(broken)
        if indexed:
            (root / "index.sqlite").write_bytes(index)
        else:
            (root / "index.sqlite").unlink(missing_ok=True)
        hurt += survives(root, saved)[1] > 0
    assert hurt > 20


@pytest.mark.parametrize("end", ["head", "tail"])
def test_a_torn_pack_is_damaged_and_others_stay_readable(tmp_path: Path, end: str) -> None:
    root = tmp_path / "root"
    saved = small_store(root)
    (path,) = (root / "packs").glob(f"*.{end}")
    store, other = open_store(root), Saved()
    save(store, root, 2, other)
    store.close()
    whole = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 512, len(whole) - 48, len(whole) - 1]:
        path.write_bytes(whole[:size])
        (root / "index.sqlite").unlink(missing_ok=True)
        assert survives(root, saved)[0] == 0
        assert survives(root, other)[1] == 0
        path.write_bytes(whole[:size] + bytes(len(whole) - size))
        (root / "index.sqlite").unlink(missing_ok=True)
        assert survives(root, saved)[0] == 0
    path.unlink()
    (root / "index.sqlite").unlink()
    assert survives(root, saved)[0] == 0
    assert survives(root, other)[1] == 0
    path.write_bytes(whole)
    assert survives(root, saved)[1] == 0


def test_the_head_of_one_pack_does_not_go_with_the_tail_of_another(tmp_path: Path) -> None:
    root = tmp_path / "root"
    saved = small_store(root)
    store, other = open_store(root), Saved()
    save(store, root, 2, other)
    store.close()
    one, two = (root / "packs").glob("*.tail")
    shutil.copy(one, two)
    (root / "index.sqlite").unlink()
    assert {survives(root, saved)[1] > 0, survives(root, other)[1] > 0} == {True, False}


def test_a_pack_renamed_is_not_the_pack_of_that_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    saved = small_store(root)
    for path in list((root / "packs").iterdir()):
        path.rename(path.with_name("pack-" + "0" * 64 + path.suffix))
    (root / "index.sqlite").unlink()
    assert survives(root, saved)[0] == 0


def test_the_name_depends_on_the_directory_and_the_tail() -> None:
    assert len({pack_name(b"", 0), pack_name(b"", 1), pack_name(b"\x00", 0)}) == 3


def test_a_wrong_count_of_entries_is_noticed(tmp_path: Path) -> None:
    storage = written(tmp_path, [record(weights(1))], [])
    (head,) = (item for item in storage.list("packs/") if item.key.endswith(".head"))
    value = bytearray(storage.read(head.key))
    fields = list(FOOTER.unpack(value[-FOOTER.size :]))
    fields[2] += 1
    value[-FOOTER.size :] = FOOTER.pack(*fields)
    storage.delete(head.key)
    storage.write_new(head.key, bytes(value))
    with pytest.raises(FormatError, match="as many entries"):
        read_rows(storage, str(keys.pack_of(head.key)), head.size)


def test_a_hostile_block_is_checked_before_it_is_unpacked() -> None:
    claim = msgpack.packb([1, 8, 16, 0, (64 << 20) + 4097, 1])
    with pytest.raises(FormatError):
        decode_entry(claim)
    with pytest.raises(FormatError):
        build_entry([1] * 10)
    with pytest.raises(LimitError):
        build_entry([1] * 20)
    frame = b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\x00\x00"
    with pytest.raises(FormatError):
        block.unpack_items(BlockEntry(8, len(frame), 0, 1 << 20, 1), frame)


def test_a_section_is_checked_before_it_is_decoded(tmp_path: Path) -> None:
    storage = MemoryStorage()
    storage.write_new(keys.pack_head("ab" * 32), b"0123456789")
    reader = PackReader(storage, "ab" * 32, 8, 58)
    whole = xxhash.xxh3_64_intdigest(b"234")
    good = whole & 0xFFFFFFFF
    section = ChunkEntry(ONE, 1, 3, 0, None, 0, (Section(2, 3, good, b""),))
    assert reader.sections(section, 1) == (b"234",)
    old = ChunkEntry(ONE, 1, 3, 0, None, 0, (Section(2, 3, whole, b""),), version=1)
    assert reader.sections(old, 1) == (b"234",)
    for broken in (Section(2, 3, good, b""), Section(2, 3, whole ^ (1 << 63), b"")):
        with pytest.raises(IntegrityError):
            reader.sections(ChunkEntry(ONE, 1, 3, 0, None, 0, (broken,), version=1), 1)
    for broken in (Section(3, 3, good, b""), Section(2, 30, good, b""), Section(2, 3, 0, b"")):
        with pytest.raises(IntegrityError):
            reader.sections(ChunkEntry(ONE, 1, 3, 0, None, 0, (broken,)), 1)

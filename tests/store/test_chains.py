"""decode(encode(x)) is x through the store: chains of records, packs, and a repository reopened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.base.ids import ObjectId
from mvc.codec import merged
from mvc.codec.chunk import EFFORTS, Transform
from mvc.codec.segments import join, split
from mvc.store.chunks import CHAIN_LIMIT, Words, load, load_bytes, load_top, record
from mvc.store.decode import check_latest
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.rewrite import Rewriter
from mvc.store.transaction import Transaction
from tests.codec.material import AGAINST, ALONE, DTYPES, FAMILIES, LENGTHS, WORDS, resized
from tests.codec.test_lowrank_fit import KINDS, TYPES, low_rank
from tests.codec.test_lowrank_fit import matrix as values
from tests.codec.test_merged import factor
from tests.store.samples import open_store

COUNTS = [1, 2, 63, 64, 65, 127, 128, 1023, 4097, 8192, 20_000]


def entry_of(store: ObjectStore, name: ObjectId) -> ChunkEntry:
    return store.chunk_entry(name)[1]


def put(store: ObjectStore, root: Path, words: Sequence[Words], effort: str) -> list[ObjectId]:
    with Transaction(store, root / "tmp", effort) as tx:
        names = list(tx.put_chunks(words))
        tx.commit()
    return names


def check(store: ObjectStore, held: dict[ObjectId, tuple[int, bytes]]) -> None:
    """Fail unless each chunk comes back whole, and its top from what is in heads."""
    for name, (word, data) in held.items():
        assert bytes(load_bytes(store, name, word, len(data))) == data
        (top,) = load_top(store, name)
        assert top.tobytes() == split(data, word)[0].tobytes()


def reopened(store: ObjectStore, root: Path, *, anew: bool = False) -> ObjectStore:
    store.close()
    if anew:
        (root / "index.sqlite").unlink()
    fresh = open_store(root)
    fresh.refresh()
    return fresh


@dataclass(frozen=True)
class Line:
    """Versions of a chunk, each with how it is stored and which of those before it may resemble."""

    words: tuple[Words, ...]
    candidates: tuple[tuple[int, ...], ...]
    efforts: tuple[str, ...]


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """Return a history of chunks of one word: changed, replaced, grown, cut, of any family."""
    word = draw(st.sampled_from(WORDS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    versions = [
        ALONE[draw(st.sampled_from(sorted(ALONE)))](rng, draw(st.sampled_from(COUNTS)), word)
    ]
    for _ in range(draw(st.integers(1, 9))):
        parent = versions[draw(st.integers(max(0, len(versions) - 3), len(versions) - 1))]
        how = draw(st.sampled_from(["stepped", "hardly", "trained", *AGAINST]))
        changed = AGAINST[how](rng, parent)
        versions.append(resized(rng, changed, draw(st.sampled_from(["same", "same", *LENGTHS]))))
    families = st.sampled_from(["float", "float", *FAMILIES])
    words, candidates = [], []
    for number, version in enumerate(versions):
        columns = draw(st.sampled_from([0, 1, 16, 100]))
        words.append(
            Words(
                version.tobytes(),
                word,
                draw(families),
                dtype=draw(st.sampled_from(DTYPES[word])) if columns else "",
                columns=columns,
                start=draw(st.integers(0, 1 << 22)),
                stride=draw(st.sampled_from([0, 2, 18, 256])),
            )
        )
        recent = list(range(number))[::-1][:4]
        candidates.append(tuple(draw(st.permutations(recent))[:3]) if recent else ())
    efforts = tuple(draw(st.sampled_from(sorted(EFFORTS))) for _ in versions)
    return Line(tuple(words), tuple(candidates), efforts)


@given(line=lines(), anew=st.booleans())
@settings(max_examples=40)
def test_every_chunk_of_any_history_comes_back_from_packs(
    line: Line, anew: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("store")
    store = open_store(root)
    names: list[ObjectId] = []
    held: dict[ObjectId, tuple[int, bytes]] = {}
    for item, near, effort in zip(line.words, line.candidates, line.efforts, strict=True):
        bases = tuple(names[number] for number in near)
        words = Words(
            item.data,
            item.word,
            item.family,
            bases,
            item.dtype,
            item.columns,
            item.start,
            item.stride,
        )
        names += put(store, root, [words], effort)
        held[names[-1]] = (item.word, bytes(item.data))
    store = reopened(store, root, anew=anew)
    check(store, held)
    with Rewriter(store, root / "tmp") as writer:
        for name in held:
            reader, entry = store.chunk_entry(name)
            writer.copy(reader, entry, entry.depth)
        writer.publish()
    check(store, held)
    store.close()


def steps(word: int, count: int, number: int) -> list[bytes]:
    """Return versions each a few steps from the one before, so that every delta pays."""
    rng = np.random.default_rng(word)
    versions = [ALONE["weights"](rng, count, word)]
    while len(versions) < number:
        versions.append(AGAINST["stepped"](rng, versions[-1]))
    return [version.tobytes() for version in versions]


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("family", ["float", "int"])
@pytest.mark.parametrize("word", WORDS)
def test_chains_come_back_at_every_depth(
    word: int, family: str, effort: str, tmp_path: Path
) -> None:
    store = open_store(tmp_path)
    held: dict[ObjectId, tuple[int, bytes]] = {}
    last: tuple[ObjectId, ...] = ()
    for data in steps(word, 5000, CHAIN_LIMIT + 4):
        last = tuple(put(store, tmp_path, [Words(data, word, family, last)], effort))  # type: ignore[arg-type]
        held[last[0]] = (word, data)
    depths = [entry_of(store, name).depth for name in held]
    assert depths[: CHAIN_LIMIT + 1] == list(range(CHAIN_LIMIT + 1))
    assert max(depths) == CHAIN_LIMIT
    check(reopened(store, tmp_path, anew=True), held)


def test_the_deepest_chain_that_may_be_comes_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    held: dict[ObjectId, tuple[int, bytes]] = {}
    last: tuple[ObjectId, ...] = ()
    for data in steps(4, 3000, MAX_DEPTH + 3):
        with Rewriter(store, tmp_path / "tmp") as writer:
            new = record(store, Words(data, 4, "float", last), MAX_DEPTH)
            writer.add(new)
            writer.publish()
        last = (new.id,)
        held[new.id] = (4, data)
    depths = [entry_of(store, name).depth for name in held]
    assert depths[: MAX_DEPTH + 1] == list(range(MAX_DEPTH + 1))
    assert max(depths) == MAX_DEPTH
    check(reopened(store, tmp_path), held)


def merges(kind: str, number: int, rows: int = 160, columns: int = 192) -> list[bytes]:
    """Return a matrix and what it is after one adapter after another was merged into it."""
    current = values(rows, columns).astype(TYPES[kind])
    versions = [current.tobytes()]
    for seed in range(1, number):
        added = low_rank(rows, columns, 1 + seed % 4, seed)
        current = (current.astype(np.float64) + added).astype(TYPES[kind])
        versions.append(current.tobytes())
    return versions


@pytest.mark.parametrize("anew", [False, True], ids=["index", "no index"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in merged.DTYPES])
def test_chains_of_merged_adapters_come_back(kind: str, anew: bool, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    held: dict[ObjectId, tuple[int, bytes]] = {}
    last: tuple[ObjectId, ...] = ()
    word = TYPES[kind](0).itemsize
    for data in merges(kind, 6):
        words = Words(data, word, "float", last, kind, 192)
        last = tuple(put(store, tmp_path, [words], "default"))
        held[last[0]] = (word, data)
    entries = [entry_of(store, name) for name in held]
    assert [entry.depth for entry in entries] == list(range(6))
    assert {entry.transform for entry in entries[1:]} == {Transform.LOW_RANK}
    assert all(entry.factors is not None for entry in entries[1:])
    store = reopened(store, tmp_path, anew=anew)
    check(store, held)
    for name in held:
        check_latest(store, name)


@pytest.mark.parametrize("kind", merged.DTYPES)
def test_a_matrix_of_several_chunks_comes_back(kind: str, tmp_path: Path) -> None:
    """Chunks that begin and end inside a row, against others that do."""
    store = open_store(tmp_path)
    word = TYPES[kind](0).itemsize
    old, new = merges(kind, 2)
    held: dict[ObjectId, tuple[int, bytes]] = {}
    cut = 7001 * word
    bases: list[ObjectId] = []
    for version, data in enumerate((old, new)):
        for number, at in enumerate(range(0, len(data), cut)):
            near = (bases[number],) if version else ()
            words = Words(data[at : at + cut], word, "float", near, kind, 192, at // word)
            (name,) = put(store, tmp_path, [words], "default")
            held[name] = (word, data[at : at + cut])
            bases.append(name)
    assert any(entry_of(store, name).transform == Transform.LOW_RANK for name in held)
    check(reopened(store, tmp_path), held)


def test_a_factor_larger_than_a_chunk_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns, rank = 16_384, 40
    right = factor(rank, columns, 0.02, 1)
    assert len(merged.encode_right(right)) > 1 << 20
    monkeypatch.setattr(merged, "find_right", lambda *_, **__: right)
    rng = np.random.default_rng(1)
    old = rng.normal(0, 0.05, (60, columns)).astype("<f4")
    new = (old + rng.normal(0, 0.02, (60, rank)) @ right).astype("<f4")
    store = open_store(tmp_path)
    (base,) = put(store, tmp_path, [Words(old.tobytes(), 4, "float")], "default")
    words = Words(new.tobytes(), 4, "float", (base,), "float32", columns)
    (name,) = put(store, tmp_path, [words], "default")
    store = reopened(store, tmp_path, anew=True)
    assert store.damaged == {}
    assert bytes(join(load(store, name), 4)) == new.tobytes()


def test_the_fast_codec_makes_no_low_rank_deltas(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    old, new = merges("float32", 2)
    (base,) = put(store, tmp_path, [Words(old, 4, "float", (), "float32", 192)], "fast")
    (name,) = put(store, tmp_path, [Words(new, 4, "float", (base,), "float32", 192)], "fast")
    assert entry_of(store, name).transform == Transform.FLOAT_DELTA
    check(reopened(store, tmp_path), {base: (4, old), name: (4, new)})

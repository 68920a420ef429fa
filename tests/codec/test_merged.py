"""Low-rank deltas of any words come back bit for bit, whole and in part, or are refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import chunk, lowrank, merged
from mvc.codec.chunk import Coded, Transform
from mvc.codec.lowrank_bytes import encode_right
from mvc.codec.lowrank_fit import on_grid
from mvc.codec.lowrank_words import FLOATS
from mvc.codec.matrix import Matrix, Rights
from mvc.codec.segments import Segments, join, split
from tests.codec.material import same
from tests.codec.test_lowrank_fit import TYPES, hows, low_rank, odd_words, seeds, sides
from tests.codec.test_lowrank_fit import matrix as values

KINDS = list(merged.DTYPES)


@dataclass(frozen=True)
class Change:
    """A chunk of a matrix, and what it might be a low-rank delta to."""

    kind: str
    columns: int
    start: int
    new: Segments
    base: Segments

    @property
    def word(self) -> int:
        return FLOATS[self.kind].word

    @property
    def matrix(self) -> Matrix:
        return Matrix(self.kind, self.columns, self.start)

    def encode(self) -> Coded:
        return chunk.encode(self.new, "float", self.base, matrix=self.matrix, low_rank=True)

    def decode(self, coded: Coded, some: int | None = None) -> Segments:
        base = self.base if coded.transform.needs_base else None
        # A reader of top segments has no more of the base.
        part = base and base[:some]
        count = len(self.new[0])
        return chunk.decode(
            coded.transform, coded.sections[:some], self.word, count, part, coded.right
        )

    def check(self, coded: Coded) -> None:
        assert bytes(join(self.decode(coded), self.word)) == bytes(join(self.new, self.word))
        for some in range(1, len(self.new)):
            assert same(self.decode(coded, some), self.new[:some])


def merge(kind: str, rows: int = 200, columns: int = 192, rank: int = 4, start: int = 0) -> Change:
    """Return a merged adapter of `rows` whole rows and what begins before them."""
    lines = rows + (start > 0)
    new, base = sides(values(lines, columns), low_rank(lines, columns, rank), kind)
    count = rows * columns + (columns - start if start else 0)
    new, base = (tuple(part[-count:] for part in side) for side in (new, base))
    return Change(kind, columns, start, new, base)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Return merges with odd words in them, and words that no merge made."""
    kind = draw(st.sampled_from(KINDS))
    word = FLOATS[kind].word
    columns = draw(st.sampled_from([16, 48, 100]))
    start = draw(st.integers(0, columns - 1) | st.just(0))
    change = merge(kind, draw(st.integers(1, 150)), columns, draw(st.integers(1, 6)), start)
    count = len(change.new[0])
    new, base = (
        np.frombuffer(join(side, word), f"<u{word}").copy() for side in (change.new, change.base)
    )
    for side in (new, base):
        share = draw(st.sampled_from([0.0, 0.0, 0.01, 0.5, 1.0]))
        seed = draw(seeds)
        odd = np.frombuffer(odd_words(kind, count, draw(hows), seed), f"<u{word}")
        there = np.random.default_rng(seed).random(count) < share
        side[there] = odd[there]
    start += columns * draw(st.integers(0, 3))
    return Change(kind, columns, start, split(new.tobytes(), word), split(base.tobytes(), word))


def factor(rank: int, columns: int, scale: float, seed: int) -> lowrank.Factor:
    return on_grid(values(rank, columns, seed, scale), np.full(rank, np.floor(np.log2(scale)) - 12))


@given(changes())
@settings(max_examples=60)
def test_any_words_come_back_whichever_way_they_are_coded(change: Change) -> None:
    change.check(change.encode())


@given(changes(), st.integers(1, 5), st.sampled_from([2.0**-60, 0.02, 2.0**60]), seeds)
@settings(max_examples=60)
def test_any_factor_gives_words_back(change: Change, rank: int, scale: float, seed: int) -> None:
    """A fit may be bad; only what it leaves to be stored depends on it."""
    right = factor(rank, change.columns, scale, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merged, "find_right", lambda *_, **__: right)
        found = merged.encode(
            change.new, change.base, Matrix(change.kind, change.columns, change.start)
        )
    assert found is not None
    change.check(Coded(Transform.LOW_RANK, found.sections, found.right))


def chunks_of(change: Change, rows: int, rights: Rights | None) -> list[Coded]:
    """Return a matrix coded in chunks of so many rows."""
    size, total = rows * change.columns, len(change.new[0]) // change.columns
    found = []
    for at in range(0, len(change.new[0]), size):
        new, base = (
            tuple(part[at : at + size] for part in side) for side in (change.new, change.base)
        )
        matrix = Matrix(change.kind, change.columns, at, total if rights else 0, rights)
        coded = chunk.encode(new, "float", base, matrix=matrix, low_rank=True)
        Change(change.kind, change.columns, at, new, base).check(coded)
        found.append(coded)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_one_matrix_share_the_factor_of_the_first(kind: str) -> None:
    change = merge(kind, rows=400, columns=512)
    apart, together = chunks_of(change, 100, None), chunks_of(change, 100, Rights())
    assert len({coded.right for coded in apart}) == 4
    assert {coded.transform for coded in together} == {Transform.LOW_RANK}
    (right,) = {coded.right for coded in together}
    assert right is not None
    stored = sum(coded.size - len(right) for coded in together) + len(right)
    assert stored < 0.8 * sum(coded.size for coded in apart)


def test_a_chunk_that_the_factor_of_another_does_not_suit_finds_its_own() -> None:
    one, other = merge("float32", rows=100, rank=3), merge("float32", rows=100, rank=6)
    rights = Rights()
    found = []
    for change in (one, other):
        matrix = Matrix("float32", change.columns, 0, 200, rights)
        coded = chunk.encode(change.new, "float", change.base, matrix=matrix, low_rank=True)
        change.check(coded)
        found.append(coded)
    assert [coded.transform for coded in found] == [Transform.LOW_RANK] * 2
    assert found[0].right != found[1].right


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_merge_is_found_and_takes_much_less(kind: str, start: int) -> None:
    change = merge(kind, start=start)
    coded = change.encode()
    assert coded.transform is Transform.LOW_RANK
    change.check(coded)
    plain = chunk.encode(change.new, "float", change.base, matrix=change.matrix)
    assert plain.right is None
    assert coded.size < {"float32": 0.3, "bfloat16": 0.6, "float16": 0.6}[kind] * plain.size


def test_the_top_is_restored_from_the_top_of_the_base_alone() -> None:
    change = merge("float32")
    coded = change.encode()
    (top,) = chunk.decode(
        coded.transform, coded.sections[:1], 4, len(change.new[0]), change.base[:1], coded.right
    )
    assert top.tobytes() == change.new[0].tobytes()
    with pytest.raises(FormatError, match="lacks segments"):
        chunk.decode(coded.transform, coded.sections, 4, len(top), change.base[:1], coded.right)


@pytest.mark.parametrize("how", ["longer", "shorter"])
def test_a_base_of_another_length_counts_as_cut_or_repeated(how: str) -> None:
    whole = merge("float32", 300)
    rows = 200 * whole.columns
    if how == "longer":
        new = tuple(part[:rows] for part in whole.new)
        change = Change("float32", whole.columns, 0, new, whole.base)
    else:
        base = tuple(part[:rows] for part in whole.base)
        change = Change("float32", whole.columns, 0, whole.new, base)
    coded = change.encode()
    assert coded.transform.needs_base
    change.check(coded)


def test_only_floats_whose_rows_are_known_have_low_rank_deltas() -> None:
    change = merge("float32")
    for dtype, columns in (("float64", 192), ("int32", 192), ("", 192), ("float32", 0)):
        assert merged.encode(change.new, change.base, Matrix(dtype, columns, 0)) is None
    assert chunk.encode(change.new, "float", change.base, low_rank=True).right is None
    for family in ("int", "opaque"):
        coded = chunk.encode(change.new, family, change.base, matrix=change.matrix, low_rank=True)
        assert coded.right is None


def test_the_same_merge_gives_the_same_bytes_again() -> None:
    change = merge("bfloat16")
    assert change.encode() == change.encode()


@given(changes(), st.integers(1, 3), st.data())
@settings(max_examples=80)
def test_changed_records_give_segments_or_a_format_error(
    change: Change, rank: int, data: st.DataObject
) -> None:
    right = factor(rank, change.columns, 0.02, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merged, "find_right", lambda *_, **__: right)
        found = merged.encode(
            change.new, change.base, Matrix(change.kind, change.columns, change.start)
        )
    assert found is not None
    parts = [bytearray(part) for part in (*found.sections, found.right)]
    target = data.draw(st.sampled_from(parts))
    for _ in range(data.draw(st.integers(1, 3))):
        # The head and the factors behind it say the most.
        at = data.draw(st.integers(0, min(60, len(target) - 1)) | st.integers(0, len(target) - 1))
        target[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del target[data.draw(st.integers(0, len(target))) :]
    *sections, changed = map(bytes, parts)
    count = len(change.new[0])
    try:
        again = chunk.decode(4, tuple(sections), change.word, count, change.base, changed)
    except FormatError:
        return
    assert [len(part) for part in again] == [count] * len(change.new)
    assert [part.dtype for part in again] == [part.dtype for part in change.new]


def test_a_record_and_its_factors_must_fit_each_other() -> None:
    change = merge("float32", rows=60, columns=64, rank=2)
    right = factor(2, 64, 0.02, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merged, "find_right", lambda *_, **__: right)
        found = merged.encode(change.new, change.base, Matrix("float32", 64, 0))
    assert found is not None
    count = len(change.new[0])

    def refused(
        transform: int, sections: tuple[bytes, ...], base: Segments | None, factor: bytes | None
    ) -> None:
        with pytest.raises(FormatError):
            chunk.decode(transform, sections, 4, count, base, factor)

    refused(4, found.sections, change.base, None)
    refused(4, found.sections, None, found.right)
    refused(3, found.sections, change.base, found.right)
    refused(4, found.sections, change.base, encode_right(factor_of(1, 64)))
    refused(4, found.sections, change.base, encode_right(factor_of(2, 63)))
    first, *rest = found.sections
    for number in (1, 2, 3, 255):
        refused(4, (bytes([number]) + first[1:], *rest), change.base, found.right)
    for short in range(14):
        refused(4, (first[:short], *rest), change.base, found.right)
    # Of another word, with factors that would fit.
    halves = tuple(part[:count] for part in split(bytes(count * 2), 2))
    with pytest.raises(FormatError):
        chunk.decode(4, found.sections[:1], 2, count, halves, found.right)


def factor_of(rank: int, columns: int) -> NDArray[np.float64]:
    return factor(rank, columns, 0.02, 3)


def test_all_types_are_there() -> None:
    assert {*KINDS} < {*TYPES}

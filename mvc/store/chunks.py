"""Chunks on their way into the store: named, compared with relatives, encoded."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mvc.base.dtypes import Family
from mvc.base.ids import ObjectId, digest
from mvc.codec import chunk as codec
from mvc.codec.chunk import DEFAULT, Effort
from mvc.codec.matrix import Matrix, Rights
from mvc.codec.section import MAX_STRIDE, Columns
from mvc.codec.segments import Segments, split
from mvc.objects.model import chunk_id
from mvc.store.decode import load, load_both, load_bytes, load_bytes_of_both, load_top
from mvc.store.kin import Kin, Sketch, sketch
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk
from mvc.store.resemblance import Trial, choose, usable

__all__ = [
    "Prepared",
    "Words",
    "code",
    "load",
    "load_both",
    "load_bytes",
    "load_bytes_of_both",
    "load_top",
    "prepare",
    "record",
]

CHAIN_LIMIT = 24
"""Deltas in a row at commit time; beyond it a chunk goes against the start of the chain."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one chunk on their way into the store.

    `data` is little-endian and a whole number of words; `bases` are chunks that it may resemble,
    the most likely first. Where the words are those of a matrix, `dtype` is its element type,
    `columns` the words of a row and `start` the place of the first word in the tensor; `stride` is
    the bytes of a block of quantised elements. `trial` is shared by the chunks of a file, and
    `rights` by those of a matrix of `rows` rows.
    """

    data: bytes | memoryview
    word: int
    family: Family
    bases: tuple[ObjectId, ...] = ()
    dtype: str = ""
    columns: int = 0
    start: int = 0
    stride: int = 0
    trial: Trial | None = None
    rows: int = 0
    rights: Rights | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk's id, and its record unless the store has it already."""

    id: ObjectId
    new: NewChunk | None
    # A chunk that the record needs and that is stored before it.
    factor: NewChunk | None = None
    # What others may be compared with.
    sketch: Sketch | None = None


def prepare(
    store: ObjectStore, words: Words, effort: Effort = DEFAULT, kin: Kin | None = None
) -> Prepared:
    """Hash a chunk and, if it is not stored yet, encode it. Safe in worker threads.

    A chunk of `kin` may be its base beside those that `words` names.
    """
    named = _name(words)
    drawn = None
    if kin is not None:
        top = named.segments[0]
        drawn = sketch(top, words.family, words.dtype, words.columns, words.start)
    if store.has_chunk(named.id):
        return Prepared(named.id, None, sketch=drawn)
    if kin is not None and drawn is not None:
        words = replace(words, bases=_with_kin(words.bases, kin, drawn))
    return Prepared(named.id, *_whole(store, words, named, effort, CHAIN_LIMIT), drawn)


def _with_kin(bases: tuple[ObjectId, ...], kin: Kin, drawn: Sketch) -> tuple[ObjectId, ...]:
    """Return the bases with the nearest kin: first, unless the first is from the past."""
    near = kin.nearest(drawn)
    if near is None:
        return bases
    if not bases or kin.knows(bases[0], drawn):
        return tuple(dict.fromkeys((near, *bases)))
    return tuple(dict.fromkeys((bases[0], near, *bases[1:])))


def code(
    store: ObjectStore, words: Words, limit: int = CHAIN_LIMIT, effort: Effort = DEFAULT
) -> tuple[NewChunk, NewChunk | None]:
    """Encode a chunk that may be stored already; return its record and the factor it needs."""
    return _whole(store, words, _name(words), effort, limit)


def record(
    store: ObjectStore, words: Words, limit: int = CHAIN_LIMIT, effort: Effort = DEFAULT
) -> NewChunk:
    """Encode a chunk that may be stored already into a record that needs no factor."""
    return _record(store, words, _name(words), effort, limit, low_rank=False)[0]


@dataclass(frozen=True, slots=True)
class _Named:
    id: ObjectId
    segments: Segments
    digests: tuple[bytes, ...]


def _name(words: Words) -> _Named:
    segments = split(words.data, words.word)
    digests = tuple(digest(part.data) for part in segments)
    return _Named(chunk_id(words.word, len(segments[0]), digests), segments, digests)


def _record(
    store: ObjectStore, words: Words, named: _Named, effort: Effort, limit: int, *, low_rank: bool
) -> tuple[NewChunk, bytes | None]:
    """Return the record of a chunk, and the right factor if it is a low-rank delta."""
    count = len(named.segments[0])
    trial = words.trial or Trial()
    wanted = choose(store, words.bases, named.segments[0], words.family, trial)
    base = usable(store, wanted, words.word, limit) if wanted else None
    coded = codec.encode(
        named.segments,
        words.family,
        base[1] if base else None,
        effort=effort,
        columns=_columns(words),
        matrix=_matrix(words),
        low_rank=low_rank,
        plans=trial.plans,
    )
    entry = base[0] if base and coded.transform.needs_base else None
    if base and trial.trusts() and entry is None:
        trial.note(first=True, paid=False)
    new = NewChunk(
        named.id,
        words.word,
        count,
        coded.transform,
        entry.id if entry else None,
        entry.depth + 1 if entry else 0,
        coded.sections,
        named.digests,
    )
    return new, coded.right


def _whole(
    store: ObjectStore, words: Words, named: _Named, effort: Effort, limit: int
) -> tuple[NewChunk, NewChunk | None]:
    new, right = _record(store, words, named, effort, limit, low_rank=effort.entropy)
    if right is None:
        return new, None
    factor = record(store, Words(right, 1, "opaque"))
    return replace(new, factors=factor.id), factor


def _matrix(words: Words) -> Matrix | None:
    if not words.columns:
        return None
    return Matrix(words.dtype, words.columns, words.start, words.rows, words.rights)


def _columns(words: Words) -> Columns | None:
    """Return the columns of quantised blocks, whose scales are unlike their other bytes."""
    if not 2 <= words.stride <= MAX_STRIDE:
        return None
    return Columns(words.stride, words.start * words.word % words.stride)

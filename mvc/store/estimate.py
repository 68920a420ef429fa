"""How many bytes a chunk would take alone or against another, told from a few of its words."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base.dtypes import Family
from mvc.base.ids import ObjectId
from mvc.codec import merged as low_rank
from mvc.codec import zstd
from mvc.codec.matrix import Matrix
from mvc.codec.segments import UNITS, join
from mvc.store.decode import load
from mvc.store.lineage import Member
from mvc.store.object_store import ObjectStore

SAMPLE_WORDS = 1 << 13
SLICES = 16
CACHE_BYTES = 64 << 20

Sample: TypeAlias = NDArray[np.unsignedinteger]


class Samples:
    """Samples of chunks, the recently used ones kept; equal places of equally long chunks.

    Safe from several threads.
    """

    def __init__(self, store: ObjectStore, limit: int = CACHE_BYTES) -> None:
        self._store = store
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[ObjectId, Sample] = OrderedDict()
        self._guard = Lock()

    def get(self, wanted: ObjectId) -> Sample:
        """Return the sample of a chunk, or raise IntegrityError."""
        with self._guard:
            found = self._held.get(wanted)
            if found is not None:
                self._held.move_to_end(wanted)
                return found
        sample = take(self._store, wanted)
        with self._guard:
            if wanted not in self._held:
                self._held[wanted] = sample
                self._size += sample.nbytes
            while self._size > self._limit and len(self._held) > 1:
                self._size -= self._held.popitem(last=False)[1].nbytes
        return sample


def take(store: ObjectStore, wanted: ObjectId) -> Sample:
    """Read a chunk and return its sample."""
    segments = load(store, wanted)
    word = sum(part.itemsize for part in segments)
    count = len(segments[0])
    if count > SAMPLE_WORDS:
        width = SAMPLE_WORDS // SLICES
        starts = np.linspace(0, count - width, SLICES).astype(np.int64)
        segments = tuple(
            np.concatenate([part[start : start + width] for start in starts]) for part in segments
        )
    return np.frombuffer(join(segments, word), UNITS[word]).copy()


def alone(sample: Sample, family: Family) -> float:
    """Return about how many bytes a word takes without a base."""
    planes = sample.view(np.uint8).reshape(len(sample), sample.itemsize)
    if family == "float":
        # The sign apart, so that the exponent is in one byte, as codecs see it.
        bits = sample.itemsize * 8
        turned = (sample << sample.dtype.type(1)) | (sample >> sample.dtype.type(bits - 1))
        planes = turned.view(np.uint8).reshape(len(sample), sample.itemsize)
        return sum(_entropy(planes[:, lane]) for lane in range(sample.itemsize)) / 8
    return _packed(sample, planes)


def against(sample: Sample, base: Sample, family: Family) -> float:
    """Return about how many bytes a word takes as a difference from the word of a base."""
    if family == "float":
        sample, base = _ordered(sample), _ordered(base)
    bits = sample.itemsize * 8
    step = sample - base
    coded = (step << step.dtype.type(1)) ^ _sign(step)
    if family == "float":
        lengths = np.frexp(coded.astype(np.float64))[1].clip(0, bits)
        return (_entropy(lengths) + float(np.maximum(lengths - 1, 0).mean())) / 8
    return _packed(coded, coded.view(np.uint8).reshape(len(coded), coded.itemsize))


def merged(store: ObjectStore, new: Member, base: Member) -> int | None:
    """Return the bytes of a low-rank delta with its factor, None where there is none that pays."""
    segments, held = load(store, new.id), load(store, base.id)
    found = low_rank.encode(segments, held, Matrix(new.kind.dtype, new.kind.columns, new.start))
    return None if found is None else found.size


def _packed(words: Sample, planes: NDArray[np.uint8]) -> float:
    entropy = sum(_entropy(planes[:, lane]) for lane in range(planes.shape[1])) / 8
    return min(entropy, len(zstd.compress(np.ascontiguousarray(words).data, 1)) / len(words))


def _entropy(symbols: NDArray[np.integer]) -> float:
    """Return the bits a symbol takes that is coded on its own."""
    counts = np.bincount(symbols)
    shares = counts[counts > 0] / len(symbols)
    return float(-(shares * np.log2(shares)).sum())


def _ordered(words: Sample) -> Sample:
    """Map floats to integers in the same order."""
    high = words.dtype.type(1 << (words.itemsize * 8 - 1))
    return words ^ (_sign(words) | high)


def _sign(words: Sample) -> Sample:
    bits = words.itemsize * 8
    return (words.view(f"<i{words.itemsize}") >> (bits - 1)).view(words.dtype)

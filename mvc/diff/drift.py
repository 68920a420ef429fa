"""How far the tensors of many versions are from those of one base, part by part.

Of every part that differs anywhere, the base's is loaded once and each of the others once, however
many versions share it. Sums are float64 in a fixed order, the same on every machine. Memory is
bounded by the size of a chunk and the number of processors, whatever the number of versions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

import numpy as np

from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import Segments
from mvc.diff.kinds import Floats, Kind, Uints, kind_of
from mvc.diff.values import dot
from mvc.objects.model import Tensor
from mvc.store.decode import joined, load, load_beside
from mvc.store.object_store import ObjectStore

BLOCK_WORDS = 1 << 14
"""Words compared at a time: the float64 arrays of one block stay in the processor's cache."""


@dataclass(slots=True)
class Distance:
    """Sums of how far elements are from those of the base; they add up over parts and tensors.

    `squares` is the sum of squared differences, `base` and `own` those of both sides' elements,
    over elements that are finite on both. `nonfinite` counts elements of the version that are not.
    """

    elements: int = 0
    changed: int = 0
    nonfinite: int = 0
    squares: float = 0.0
    base: float = 0.0
    own: float = 0.0

    def add(self, other: Distance) -> None:
        """Add the sums of another part or tensor."""
        self.elements += other.elements
        self.changed += other.changed
        self.nonfinite += other.nonfinite
        self.squares += other.squares
        self.base += other.base
        self.own += other.own

    @property
    def l2(self) -> float | None:
        """The norm of the difference."""
        return _finite(math.sqrt(self.squares))

    @property
    def relative(self) -> float | None:
        """The norm of the difference relative to that of the base, None if the base is zero."""
        if not self.base:
            return None if self.squares else 0.0
        return _finite(math.sqrt(self.squares / self.base))

    @property
    def cosine(self) -> float | None:
        """One minus the cosine of the angle between both, None if one of them is zero.

        From the difference and not from the product, which would round small angles away.
        """
        if not self.squares:
            return 0.0
        if not self.base or not self.own:
            return None
        base, own = math.sqrt(self.base), math.sqrt(self.own)
        turned = self.squares - (own - base) ** 2
        found = _finite(turned / (2 * base * own))
        return None if found is None else min(2.0, max(0.0, found))

    @property
    def share(self) -> float:
        """The share of the elements that differ."""
        return self.changed / self.elements if self.elements else 0.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Task:
    """A tensor of the base, and the different tensors that versions have in its place.

    All have its shape; dtypes may differ.
    """

    base: Tensor
    others: tuple[Tensor, ...]


def comparable(base: Tensor, other: Tensor) -> bool:
    """Tell whether elements lie opposite each other and can be compared."""
    if base.shape != other.shape:
        return False
    if base.dtype == other.dtype:
        return (base.content.size, base.content.word) == (other.content.size, other.content.word)
    kinds = _kind(base), _kind(other)
    if kinds[0].lanes != kinds[1].lanes or any(kind.values is None for kind in kinds):
        return False
    words = [one.content.size // one.content.word for one in (base, other)]
    return words[0] == words[1]


def measure(
    store: ObjectStore, tasks: Sequence[Task], progress: Progress = SILENT
) -> Iterator[tuple[Distance, tuple[Distance, ...]]]:
    """Yield for each task the distance of the base to itself, and those of the others to it."""
    plans = [_Plan.of(task) for task in tasks]
    progress.start("measuring", sum(plan.bytes for plan in plans))
    results = ordered_map(lambda job: job(), _jobs(store, plans))
    for plan in plans:
        own = Distance()
        sums = [Distance() for _ in plan.task.others]
        for part in plan.parts:
            equal = next(results)
            progress.advance(part.bytes)
            own.add(equal)
            found: dict[ObjectId | int, Distance] = {}
            for number, key in part.others:
                found[key] = next(results)
                progress.advance(plan.part_bytes(plan.task.others[number], part.number))
            for number, distance in enumerate(sums):
                distance.add(found.get(part.keys[number], equal))
        yield own, tuple(sums)
    progress.finish()


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a task: which of the others have one of their own, each once.

    `keys` tell what each of the others has there: the id of a chunk, or its own number where
    tensors are kept inline.
    """

    number: int
    bytes: int
    keys: tuple[ObjectId | int, ...]
    others: tuple[tuple[int, ObjectId | int], ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    task: Task
    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, task: Task) -> _Plan:
        base = task.base.content
        parts = []
        for number in range(max(1, len(base.chunks))):
            keys = tuple(
                other.content.chunks[number] if other.content.chunks else place
                for place, other in enumerate(task.others)
            )
            mine = base.chunks[number] if base.chunks else None
            first: dict[ObjectId | int, int] = {}
            for place, key in enumerate(keys):
                if key != mine:
                    first.setdefault(key, place)
            others = tuple((place, key) for key, place in first.items())
            parts.append(_Part(number, cls.part_bytes(task.base, number), keys, others))
        return cls(task, tuple(parts))

    @staticmethod
    def part_bytes(tensor: Tensor, number: int) -> int:
        content = tensor.content
        return content.chunk_bytes(number) if content.chunks else content.size

    @property
    def bytes(self) -> int:
        return sum(
            part.bytes
            + sum(self.part_bytes(self.task.others[place], part.number) for place, _ in part.others)
            for part in self.parts
        )


def _jobs(store: ObjectStore, plans: Sequence[_Plan]) -> Iterator[Callable[[], Distance]]:
    for plan in plans:
        for part in plan.parts:
            base = _BasePart(store, plan.task.base, part.number)
            yield base.itself
            for number, _ in part.others:
                yield partial(base.to, plan.task.others[number])


@dataclass(slots=True)
class _BasePart:
    """A part of the base, loaded by the first worker that needs it and gone after the last."""

    store: ObjectStore
    tensor: Tensor
    number: int
    lock: Lock = field(default_factory=Lock)
    segments: Segments | None = None
    held: Uints | None = None

    def words(self) -> Uints:
        with self.lock:
            if self.held is None:
                content = self.tensor.content
                held: bytes | memoryview = content.inline
                if content.chunks:
                    wanted, size = content.chunks[self.number], content.chunk_bytes(self.number)
                    self.segments = load(self.store, wanted)
                    held = joined(wanted, self.segments, content.word, size)
                self.held = np.frombuffer(held, _kind(self.tensor).word)
            return self.held

    def itself(self) -> Distance:
        """Return the distance of what is equal: nothing but the norms."""
        kind = _kind(self.tensor)
        return _compare(kind, self.words(), kind, None)

    def to(self, other: Tensor) -> Distance:
        """Return the distance of the same part of another tensor."""
        words, kind, content = self.words(), _kind(other), other.content
        held: bytes | memoryview = content.inline
        if content.chunks:
            wanted, size = content.chunks[self.number], content.chunk_bytes(self.number)
            held = joined(wanted, self._load(wanted, content.word), content.word, size)
        return _compare(_kind(self.tensor), words, kind, np.frombuffer(held, kind.word))

    def _load(self, wanted: ObjectId, word: int) -> Segments:
        if self.segments is None or word != self.tensor.content.word:
            return load(self.store, wanted)
        known = self.tensor.content.chunks[self.number]
        return load_beside(self.store, wanted, known, self.segments)


def _kind(tensor: Tensor) -> Kind:
    return kind_of(tensor.dtype, tensor.content.word)


def _compare(kind: Kind, base: Uints, own: Kind, other: Uints | None) -> Distance:
    """Return the distance of words to those of the base; None stands for equal ones."""
    total = Distance()
    space = np.empty((3, min(len(base), BLOCK_WORDS)))
    with np.errstate(all="ignore"):
        for start in range(0, len(base), BLOCK_WORDS):
            here = base[start : start + BLOCK_WORDS]
            there = None if other is None else other[start : start + BLOCK_WORDS]
            total.add(_block(kind, here, own, there, space[:, : len(here)]))
    return total


def _block(kind: Kind, here: Uints, own: Kind, there: Uints | None, space: Floats) -> Distance:
    found = Distance(elements=len(here) // kind.lanes)
    before, after, change = space
    if kind.values is not None:
        kind.values(here, before)
    if there is None:
        after = before
    else:
        if own.values is not None:
            own.values(there, after)
        differs = np.not_equal(here, there) if kind is own else np.not_equal(before, after)
        if kind.lanes > 1:
            differs = differs.reshape(-1, kind.lanes).any(axis=1)
        found.changed = int(np.count_nonzero(differs))
    if kind.values is None:
        return found
    found.base, found.own = dot(before, before), dot(after, after)
    if not (math.isfinite(found.base) and math.isfinite(found.own)):
        return _only_finite(found, kind.lanes, before, after)
    if found.changed:
        np.subtract(after, before, out=change)
        found.squares = dot(change, change)
    return found


def _only_finite(found: Distance, lanes: int, before: Floats, after: Floats) -> Distance:
    """Count the elements that are not finite, and sum over the others."""
    fine = [np.isfinite(side).reshape(-1, lanes).all(axis=1) for side in (before, after)]
    found.nonfinite = int(np.count_nonzero(~fine[1]))
    chosen = np.repeat(fine[0] & fine[1], lanes)
    before, after = before[chosen], after[chosen]
    found.base, found.own = dot(before, before), dot(after, after)
    change = after - before
    found.squares = dot(change, change)
    return found

"""One tensor of several: strategies applied part by part, never a whole model in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import numpy as np

from mvc.base.errors import UsageError
from mvc.base.parallel import ordered_map
from mvc.merge import deltas, integers, linear, order
from mvc.merge.numbers import Words, numbers
from mvc.merge.strategies import Strategy
from mvc.merge.strategies import strategy as named
from mvc.merge.work import MEMORY, Part, Work, ahead
from mvc.objects.model import Tensor
from mvc.repo.tensors import Held

ALGORITHMS: dict[str, Callable[[Work], Part]] = {
    "average": linear.average,
    "slerp": linear.slerp,
    "task-arithmetic": deltas.task_arithmetic,
    "ties": deltas.ties,
    "dare": deltas.dare,
    "dare-ties": deltas.dare_ties,
    "median": order.median,
    "trimmed-mean": order.trimmed_mean,
}
"""What computes floats; integers and booleans are the business of `mvc.merge.integers`."""


class Merged:
    """A tensor that is made of others. Nothing is read before a part of it is asked for.

    Attributes:
        dtype, shape: Those of all sides.
        size: Its bytes.
        count: Its parts, cut as those of the sides are.
        step: The bytes of each but the last.
        room: Bytes that making one part takes, beside what reading the store does.
    """

    def __init__(self, like: Tensor, count: int, room: int, begin: Callable[[], Part]) -> None:
        self.dtype = like.dtype
        self.shape = like.shape
        self.size = like.content.size
        self.word = like.content.word
        self.count = count
        self.step = like.content.size if count == 1 else like.content.chunk_bytes(0)
        self.room = room
        self._begin = begin
        self._part: Part | None = None
        self._lock = Lock()

    @property
    def heavy(self) -> bool:
        """Whether two parts at a time would take too much memory."""
        return self.room * 2 > MEMORY

    def prepare(self) -> None:
        """Find what depends on the whole tensor: an angle, a threshold. Reads it, at most thrice.

        `part` does this by itself; called outside the pool of threads, it uses all of them.
        """
        with self._lock:
            if self._part is None:
                self._part = self._begin()

    def part(self, number: int) -> memoryview:
        """Return the little-endian words of a part. Safe in worker threads."""
        self.prepare()
        assert self._part is not None  # noqa: S101
        return self._part(number).view("u1").data

    def parts(self) -> Iterator[memoryview]:
        """Yield all parts in order, computing few of them ahead."""
        self.prepare()
        if self.heavy:
            # In this thread; reading and sorting use the others.
            yield from map(self.part, range(self.count))
            return
        yield from ordered_map(self.part, range(self.count), ahead=ahead(self.room))


def supports(dtype: str, name: str) -> bool:
    """Tell whether a strategy applies to a dtype.

    `ours`, `theirs` and `base` apply to all. The others need numbers: they refuse types packed
    below a byte (`int4`), quantised blocks (`ggml_q4_1`), the shared exponents of blocks
    (`float8_e8m0fnu`), and types that mvc does not know.
    """
    return not named(name).kind.computes or numbers(dtype) is not None


def merged(
    base: Held | None,
    sides: Sequence[Held],
    strategy: Strategy,
    weights: Sequence[float] | None = None,
    *,
    name: str = "",
) -> Merged:
    """Return the tensor that a strategy makes of several.

    Args:
        base: What the sides come from; None for strategies that need none.
        sides: The tensors in the order of the parents, the first is ours. All have one dtype
            and shape, which is also that of the base.
        strategy: What to do, with its parameters.
        weights: One for each side, finite; default 1 each. Sides of weight 0 are not read.
        name: The tensor's name, on which the random draws of `dare` depend.

    Returns:
        The result, the same on every machine and with any number of threads: sums in float64 in
        the order of the sides, rounded once to the dtype, NaN with one pattern. Elements that
        all sides have with the same bits keep them (slerp and the strategies that add up changes:
        that equal the base on all sides).

    Raises:
        UsageError: The strategy cannot merge so many sides, needs a base, takes no weights, or
            does not apply to the dtype; or the tensors have other dtypes or shapes.
    """
    given = tuple(1.0 for _ in sides) if weights is None else tuple(float(one) for one in weights)
    strategy.check(len(sides), base=base is not None)
    _check_weights(strategy, given, len(sides))
    _check_alike([*sides, base] if base is not None else sides)
    if not strategy.kind.computes:
        return _copied(_taken(base, sides, strategy))
    found = numbers(sides[0].tensor.dtype)
    if found is None:
        label = sides[0].tensor.dtype
        raise UsageError(
            f"strategy {strategy.name} does not apply to tensors of {label}",
            hint="take ours, theirs or base for it",
        )
    counts = strategy.kind.weighted
    kept = [place for place, weight in enumerate(given) if weight or not counts]
    work = Work(
        base if strategy.kind.base else None,
        tuple(sides[place] for place in kept),
        tuple(given[place] for place in kept),
        tuple(kept),
        found,
        strategy,
        name,
    )
    return _made(work, sides[0].tensor)


def shifted(ours: Held, start: Held, end: Held, scale: float = 1.0) -> Merged:
    """Return ours + scale * (end - start): a change applied to another version.

    With scale 1, elements where ours equals `start` get the bits of `end`; elements where `end`
    equals `start` keep ours. Shifting from `end` to `start` takes the change back.
    """
    return merged(start, (ours, end), named("task-arithmetic"), (1.0, scale))


def _made(work: Work, like: Tensor) -> Merged:
    whole = work.numbers.integer is not None
    begin = (integers.ALGORITHMS if whole else ALGORITHMS)[work.strategy.name]
    return Merged(like, work.first.parts, _room(work), lambda: begin(work))


def _room(work: Work) -> int:
    width = work.numbers.word.itemsize
    sides = len(work.sides) if work.strategy.name in order.NAMES or work.numbers.integer else 4
    return work.words(0) * (40 + width * sides)


def _copied(held: Held) -> Merged:
    def part(number: int) -> Words:
        return np.frombuffer(held.load(number), np.uint8)

    return Merged(held.tensor, held.parts, 2 * held.part_bytes(0), lambda: part)


def _taken(base: Held | None, sides: Sequence[Held], strategy: Strategy) -> Held:
    if strategy.name == "base" and base is not None:
        return base
    return sides[1] if strategy.name == "theirs" else sides[0]


def _check_weights(strategy: Strategy, weights: Sequence[float], sides: int) -> None:
    if len(weights) != sides:
        raise UsageError(f"{len(weights)} weights were given for {sides} sides")
    if not all(math.isfinite(weight) for weight in weights):
        raise UsageError("a weight is not a finite number")
    if not strategy.kind.weighted:
        if any(weight != weights[0] for weight in weights):
            raise UsageError(
                f"strategy {strategy.name} takes no weights", hint="average does, for example"
            )
    elif strategy.name == "average" and min(weights) < 0:
        raise UsageError("a weight of an average is negative", hint="task-arithmetic subtracts")
    elif not any(weights):
        raise UsageError("the weights of all sides are 0")


def _check_alike(held: Sequence[Held]) -> None:
    kinds = {(one.tensor.dtype, one.tensor.shape, one.tensor.content.word) for one in held}
    if len(kinds) > 1:
        raise UsageError("tensors of other dtypes or shapes cannot be merged into one")

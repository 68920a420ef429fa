"""How a chunk is best coded: a sample of its words tells.

Neither the samples nor what follows from them is part of the format.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from mvc.base.dtypes import Family
from mvc.codec import pco, plain, sizes, transform, zstd
from mvc.codec.gain import Field, saving, savings
from mvc.codec.grouping import MAX_GROUPS
from mvc.codec.matrix import Matrix
from mvc.codec.plain import Coding, Mode
from mvc.codec.section import BaseBits, Columns, Rule
from mvc.codec.segments import Segment, Segments
from mvc.codec.sizes import Sizes
from mvc.codec.transform import Transform, fit

SAMPLE_UNITS = 1 << 14
SAMPLE_SHARE = 16
"""A sample is this part of a chunk, from a quarter of the units above up to all of them."""
QUICK_UNITS = 1 << 13
QUICK_MARGIN = 0.9
GAIN = 0.97
"""A delta must be so much smaller than no delta: it costs whoever reads it another chunk."""
GROUP_GAIN = 0.99
LEVEL_BYTES = 0.7
"""About what the level of a row takes when it is stored."""
FLOOR = 10
"""Logarithm of the words of the smallest group, unless there would be too many groups."""
SERVED_WORDS = 4 << FLOOR
"""Words of the smallest chunk for which looking for a plan takes longer than comparing it."""
APART_UNITS = 1 << 11
NEAR_BITS = 0.5
LEVELS: dict[Family, int] = {"float": 1, "int": 3, "opaque": 3}
"""Levels of zstd for words without a base."""
FIELDS: dict[tuple[Family, int], tuple[Field, ...]] = {
    ("float", 8): (Field(12), Field(11, signed=False)),
    ("float", 4): (Field(10), Field(12), Field(7, signed=False), Field(8, signed=False)),
    ("float", 2): (Field(9), Field(5, signed=False), Field(8, signed=False)),
    ("float", 1): (Field(5), Field(4, signed=False)),
    ("int", 1): (Field(6),),
}
"""Bits of a base word that may form groups; which ones pay is seen from a sample."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much time coding may take.

    With `entropy`, groups and pcodec are tried beside zstd. If `thorough`, the words of a delta
    are restored on its base and compared; if not, its sections are decoded and compared.
    """

    name: str
    entropy: bool
    thorough: bool


DEFAULT = Effort("default", entropy=True, thorough=True)
FAST = Effort("fast", entropy=False, thorough=False)
EFFORTS = {effort.name: effort for effort in (DEFAULT, FAST)}


@dataclass(frozen=True, slots=True)
class Plan:
    """How the segments of a chunk would be coded, and the bytes that a sample takes so."""

    transform: Transform
    codings: tuple[Coding, ...]
    cost: float
    entropy: bool
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a chunk that is to be coded; `base` has as many words as it."""

    segments: Segments
    family: Family
    base: Segments | None
    effort: Effort = DEFAULT
    columns: Columns | None = None
    matrix: Matrix | None = None

    @property
    def count(self) -> int:
        """Words of the chunk."""
        return len(self.segments[0])


class Plans:
    """The plans of the last chunks of a file, for others like them. Safe from several threads.

    The layers of a model are much alike, and finding out how to code a small matrix takes as long
    as coding it. A plan serves again where as many words, in rows of the same length, differ from
    their base by about as much.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._held: dict[Hashable, tuple[tuple[float, ...], Plan]] = {}

    def choose(self, job: Job) -> Plan:
        """Return a plan that served a chunk like this one, or a new one."""
        if job.base is None or job.count < SERVED_WORDS:
            return choose(job)
        widths = tuple(part.itemsize for part in job.segments)
        rows = (job.matrix.dtype, job.matrix.columns) if job.matrix else None
        kind = (job.family, widths, job.count, rows, job.columns, job.effort)
        apart = _apart(job, job.base)
        with self._guard:
            known = self._held.get(kind)
        if known is not None and _near(apart, known[0]):
            again = _renewed(job, known[1])
            if again is not None:
                return again
        plan = choose(job)
        with self._guard:
            self._held[kind] = (apart, plan)
        return plan


def _apart(job: Job, base: Segments) -> tuple[float, ...]:
    """Return how far a few words are from their base: for each segment, in bits."""
    taken, other = (
        tuple(plain.sample(part, APART_UNITS) for part in side) for side in (job.segments, base)
    )
    residual = transform.against(job.family).apply(taken, other)
    return tuple(
        float(np.log2(part.astype(np.float32) + np.float32(1)).mean()) for part in residual
    )


def _near(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    return all(abs(left - right) < NEAR_BITS for left, right in zip(one, two, strict=True))


def _renewed(job: Job, plan: Plan) -> Plan | None:
    """Return a plan of another chunk for this one, None if its groups cannot be made here."""
    if not isinstance(plan.rule, Sizes) or job.base is None:
        return plan
    rule = _row_sizes(job, job.base, plan.rule.floor)
    return None if rule is None else replace(plan, rule=rule)


def choose(job: Job) -> Plan:
    """Return the plan that promises the fewest bytes."""
    segments, base, effort = job.segments, job.base, job.effort
    if base is None:
        return _alone(job)
    units = _units(job.count)
    taken = tuple(plain.sample(part, units) for part in segments)
    other = tuple(plain.sample(part, units) for part in base)
    kind = transform.against(job.family)
    residual = kind.apply(taken, other)
    against = Plan(kind, *_estimate(residual, zstd.DIFFERENCES, effort), effort.entropy)
    if effort.entropy and job.count >= 2 << FLOOR:
        against = _grouped(against, residual, job, base)
    plainly = transform.alone(job.family).apply(taken, None)
    if against.cost < GAIN * _quick(plainly, effort):
        return against
    alone = _alone(job)
    share = len(taken[0]) / min(job.count, SAMPLE_UNITS)
    return against if against.cost < GAIN * alone.cost * share else alone


def resemblance(top: Segment, base_top: Segment, family: Family) -> float:
    """Return the size of a delta relative to none, estimated from a sample of top segments."""
    (near,) = fit((base_top,), len(top))
    taken, other = (plain.sample(part, SAMPLE_UNITS) for part in (top, near))
    (delta_part,) = transform.against(family).apply((taken,), (other,))
    (alone,) = transform.alone(family).apply((taken,), None)
    return len(pco.compress(delta_part)) / min(len(pco.compress(alone)), alone.nbytes)


def _units(count: int) -> int:
    """Return the size of the sample that tells whether a delta pays, and how to code it."""
    return min(SAMPLE_UNITS, max(SAMPLE_UNITS // 4, count // SAMPLE_SHARE))


def _alone(job: Job) -> Plan:
    kind = transform.alone(job.family)
    taken = tuple(plain.sample(part, SAMPLE_UNITS) for part in job.segments)
    estimated = _estimate(kind.apply(taken, None), LEVELS[job.family], job.effort)
    plan = Plan(kind, *estimated, job.effort.entropy)
    if job.columns is not None and job.effort.entropy:
        return replace(plan, rule=job.columns, codings=(Coding(Mode.PCO),) * len(taken))
    return plan


def _quick(prepared: Segments, effort: Effort) -> float:
    """Return about what a sample takes, from few of its words and one coder."""
    total = 0.0
    for part in prepared:
        few = plain.sample(part, QUICK_UNITS)
        size = len(pco.compress(few)) if effort.entropy else len(zstd.compress(few.data, 1))
        total += min(size, few.nbytes) * len(part) / len(few)
    return QUICK_MARGIN * total


def _grouped(plan: Plan, residual: Segments, job: Job, base: Segments) -> Plan:
    """Return the plan with groups if a sample says that they pay."""
    fields = FIELDS.get((job.family, sum(part.itemsize for part in residual)))
    if not fields:
        return plan
    count, taken = job.count, len(residual[0])
    floor = max(FLOOR, (count // MAX_GROUPS - 1).bit_length())
    tops = plain.sample(base[0], _units(count))
    least, share = max(16, (taken << floor) // count), taken / count
    saved = savings(tops, residual, fields, least, share)
    best = max(saved, key=lambda item: sum(saved[item]))
    rule: Rule = BaseBits(best.bits, floor, best.signed)
    gains, told = saved[best], 0.0
    held = _row_sizes(job, base, floor)
    if held is not None:
        keys = held.keys_at(tops, plain.sampled(count, _units(count)))
        others = saving(keys, residual, least, share)
        levels = LEVEL_BYTES * len(held.levels) * share
        if sum(others) - levels > sum(gains):
            rule, gains, told = held, others, levels
    gained = sum(gains) - told
    if gained <= (1 - GROUP_GAIN) * plan.cost:
        return plan
    codings = tuple(
        Coding(Mode.PCO) if gain > (1 - GROUP_GAIN) * part.nbytes else coding
        for part, coding, gain in zip(residual, plan.codings, gains, strict=True)
    )
    return replace(plan, rule=rule, cost=plan.cost - gained, codings=codings)


def _row_sizes(job: Job, base: Segments, floor: int) -> Sizes | None:
    matrix = job.matrix
    if matrix is None:
        return None
    return sizes.measure(job.segments, base, matrix.dtype, matrix.columns, matrix.start, floor)


def _estimate(prepared: Segments, level: int, effort: Effort) -> tuple[tuple[Coding, ...], float]:
    chosen = [plain.choose(part, level, entropy=effort.entropy) for part in prepared]
    return tuple(coding for coding, _ in chosen), float(sum(cost for _, cost in chosen))

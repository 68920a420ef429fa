"""A chunk as sections: choose a transform, code each segment, decode (docs/format.md, "Records").

`encode` and `decode` take and give segments; beside its sections a record needs the number of its
transform, its base and, for a low-rank delta, the factor that chunks of one matrix share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from mvc.base.dtypes import SEGMENTS, Family
from mvc.base.errors import FormatError, IntegrityError
from mvc.codec import delta, merged, pco, plain, repeats, section, sizes, sparse, zstd
from mvc.codec.gain import Field, saving, savings
from mvc.codec.grouping import MAX_GROUPS
from mvc.codec.matrix import Matrix
from mvc.codec.plain import Coding, Mode, Plane
from mvc.codec.section import BaseBits, Columns, Context, Rule
from mvc.codec.segments import Segment, Segments
from mvc.codec.sizes import Sizes

SAMPLE_UNITS = 1 << 14
SAMPLE_SHARE = 16
"""A sample is this part of a chunk, from a quarter of the units above up to all of them."""
GAIN = 0.97
"""A delta must be so much smaller than no delta: it costs whoever reads it another chunk."""
GROUP_GAIN = 0.99
CLEARLY_SPARSE = 0.01
"""A sparse section that is so much smaller than its segment needs no comparison with groups."""
LEVEL_BYTES = 0.7
"""About what the level of a row takes when it is stored."""
FLOOR = 10
"""Logarithm of the words of the smallest group, unless there would be too many groups."""
MATCHES = 3
"""Level of zstd where rows occur twice."""
LEVELS: dict[Family, int] = {"float": 1, "int": 3, "opaque": 3}
FIELDS: dict[tuple[Family, int], tuple[Field, ...]] = {
    ("float", 8): (Field(12), Field(11, signed=False)),
    ("float", 4): (Field(10), Field(12), Field(7, signed=False), Field(8, signed=False)),
    ("float", 2): (Field(9), Field(5, signed=False), Field(8, signed=False)),
    ("float", 1): (Field(5), Field(4, signed=False)),
    ("int", 1): (Field(6),),
}
"""Bits of a base word that may form groups; which ones pay is seen from a sample."""


class Transform(IntEnum):
    """What is done to the segments before they are coded."""

    PLAIN = 0
    ROTATED = 1
    INTEGER_DELTA = 2
    FLOAT_DELTA = 3
    LOW_RANK = 4

    @property
    def needs_base(self) -> bool:
        """Tell whether decoding takes the segments of a base."""
        return self >= Transform.INTEGER_DELTA


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
class Coded:
    """The sections of one chunk, most significant first."""

    transform: Transform
    sections: tuple[bytes, ...]
    # The right factor of a low-rank delta, which is to be stored as a chunk.
    right: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of all that is to be stored."""
        return sum(map(len, self.sections)) + len(self.right or b"")


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the segments of a chunk would be coded, and the bytes that a sample takes so."""

    transform: Transform
    codings: tuple[Coding, ...]
    cost: float
    entropy: bool
    rule: Rule | None = None


def encode(
    segments: Segments,
    family: Family,
    base: Segments | None,
    *,
    effort: Effort = DEFAULT,
    columns: Columns | None = None,
    matrix: Matrix | None = None,
    low_rank: bool = False,
) -> Coded:
    """Return the smallest coding a sample promises, decoded again and compared.

    `base` holds the segments of a chunk of words of the same size; `columns` says that the units
    are records of so many bytes, `matrix` where its rows are. With
    `low_rank`, a low-rank delta may come out. Raises IntegrityError if what was encoded does not
    decode to the same bits.
    """
    count = len(segments[0])
    held = None if base is None else fit(base, count)
    plan = _choose(segments, family, held, effort, columns, matrix)
    prepared = _apply(plan.transform, segments, held)
    context = _context(plan.transform, count, held)
    coded = Coded(plan.transform, _sections(prepared, plan, segments, context))
    if coded.transform is Transform.FLOAT_DELTA and matrix is not None and low_rank and held:
        coded = _lower(coded, segments, held, matrix)
    if effort.thorough or not plan.transform.needs_base:
        _verify(coded, segments, held, context)
    else:
        _verify_sections(coded, prepared, context)
    return coded


def _lower(coded: Coded, segments: Segments, base: Segments, matrix: Matrix) -> Coded:
    """Return a low-rank delta where there is one and it is smaller."""
    found = merged.encode(segments, base, matrix, coded.size)
    return coded if found is None else Coded(Transform.LOW_RANK, found.sections, found.right)


def decode(
    transform: int,
    sections: tuple[bytes, ...],
    word: int,
    words: int,
    base: Segments | None,
    right: bytes | None = None,
) -> Segments:
    """Return as many segments as there are sections, or raise FormatError.

    Fewer sections than the word has segments give the most significant ones: the chunk at
    reduced precision. A base of another length is cut or repeated from its start; `right` holds
    the bytes of the right factor of a low-rank delta.
    """
    try:
        kind = Transform(transform)
    except ValueError:
        raise FormatError(f"unknown transform {transform}") from None
    widths = SEGMENTS[word]
    if not 1 <= len(sections) <= len(widths) or (kind.needs_base and base is None):
        raise FormatError("a record lacks sections or its base")
    if base is not None and kind.needs_base:
        _check_base(base, widths, len(sections))
    held = fit(base, words) if base is not None and kind.needs_base else None
    if (kind is Transform.LOW_RANK) != (right is not None):
        raise FormatError("a record lacks a factor, or has one for nothing")
    if right is not None and held is not None:
        return merged.decode(sections, widths, held, right)
    return _decode(kind, sections, widths, held, _context(kind, words, held))


def _check_base(base: Segments, widths: tuple[int, ...], needed: int) -> None:
    found = tuple(part.itemsize for part in base)
    if len(found) < needed or found != widths[: len(found)]:
        raise FormatError("a base has words of another size, or lacks segments")
    if not all(len(part) for part in base):
        raise FormatError("a base is empty")


def fit(base: Segments, count: int) -> Segments:
    """Return the segments of a base cut to `count` words, or repeated up to there."""
    if len(base[0]) == count:
        return base
    return tuple(np.resize(part, count) for part in base)


def resemblance(top: Segment, base_top: Segment, family: Family) -> float:
    """Return the size of a delta relative to none, estimated from a sample of top segments."""
    (near,) = fit((base_top,), len(top))
    taken, other = (plain.sample(part, SAMPLE_UNITS) for part in (top, near))
    against = Transform.FLOAT_DELTA if family == "float" else Transform.INTEGER_DELTA
    (delta_part,) = _apply(against, (taken,), (other,))
    (alone,) = _apply(_plain(family), (taken,), None)
    return len(pco.compress(delta_part)) / min(len(pco.compress(alone)), alone.nbytes)


def _plain(family: Family) -> Transform:
    return Transform.ROTATED if family == "float" else Transform.PLAIN


def _context(kind: Transform, count: int, base: Segments | None) -> Context:
    return Context(count, base[0] if kind.needs_base and base is not None else None)


def _decode(
    kind: Transform,
    sections: tuple[bytes, ...],
    widths: tuple[int, ...],
    base: Segments | None,
    context: Context,
) -> Segments:
    parts: list[Segment] = []
    context.above = context.sizes = None
    for data, width in zip(sections, widths, strict=False):
        parts.append(section.decode(data, width, context))
        if not kind.needs_base:
            context.above = delta.unrotate(parts[0]) if kind is Transform.ROTATED else parts[0]
    if kind is Transform.ROTATED and context.above is not None:
        return (context.above, *parts[1:])
    if base is not None:
        return delta.restore(tuple(parts), base, floats=kind is Transform.FLOAT_DELTA)
    return tuple(parts)


def _choose(
    segments: Segments,
    family: Family,
    base: Segments | None,
    effort: Effort,
    columns: Columns | None,
    matrix: Matrix | None,
) -> _Plan:
    if base is None:
        return _alone(segments, family, effort, columns)
    units = _units(len(segments[0]))
    taken = tuple(plain.sample(part, units) for part in segments)
    other = tuple(plain.sample(part, units) for part in base)
    kind = Transform.FLOAT_DELTA if family == "float" else Transform.INTEGER_DELTA
    residual = _apply(kind, taken, other)
    against = _Plan(kind, *_estimate(residual, family, effort), effort.entropy)
    if effort.entropy and len(segments[0]) >= 2 << FLOOR:
        against = _grouped(against, residual, family, segments, base, matrix)
    if against.cost < GAIN * _quick(_apply(_plain(family), taken, None), effort):
        return against
    alone = _alone(segments, family, effort, columns)
    share = len(taken[0]) / min(len(segments[0]), SAMPLE_UNITS)
    return against if against.cost < GAIN * alone.cost * share else alone


def _units(count: int) -> int:
    """Return the size of the sample that tells whether a delta pays, and how to code it."""
    return min(SAMPLE_UNITS, max(SAMPLE_UNITS // 4, count // SAMPLE_SHARE))


def _alone(segments: Segments, family: Family, effort: Effort, columns: Columns | None) -> _Plan:
    kind = _plain(family)
    taken = tuple(plain.sample(part, SAMPLE_UNITS) for part in segments)
    plan = _Plan(kind, *_estimate(_apply(kind, taken, None), family, effort), effort.entropy)
    if columns is not None and effort.entropy:
        return replace(plan, rule=columns, codings=(Coding(Mode.PCO),) * len(taken))
    return plan


def _quick(prepared: Segments, effort: Effort) -> float:
    """Return about what a sample takes, from few of its words and one coder."""
    total = 0.0
    for part in prepared:
        few = plain.sample(part, QUICK_UNITS)
        size = len(pco.compress(few)) if effort.entropy else len(zstd.compress(few.data, 1))
        total += min(size, few.nbytes) * len(part) / len(few)
    return QUICK_MARGIN * total


QUICK_UNITS = 1 << 13
QUICK_MARGIN = 0.9


def _grouped(
    plan: _Plan,
    residual: Segments,
    family: Family,
    segments: Segments,
    base: Segments,
    matrix: Matrix | None,
) -> _Plan:
    """Return the plan with groups if a sample says that they pay."""
    fields = FIELDS.get((family, sum(part.itemsize for part in residual)))
    if not fields:
        return plan
    count, taken = len(segments[0]), len(residual[0])
    floor = max(FLOOR, (count // MAX_GROUPS - 1).bit_length())
    tops = plain.sample(base[0], _units(count))
    least, share = max(16, (taken << floor) // count), taken / count
    saved = savings(tops, residual, fields, least, share)
    best = max(saved, key=lambda item: sum(saved[item]))
    rule: Rule = BaseBits(best.bits, floor, best.signed)
    gains, told = saved[best], 0.0
    held = _row_sizes(segments, base, matrix, floor)
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


def _row_sizes(
    segments: Segments, base: Segments, matrix: Matrix | None, floor: int
) -> Sizes | None:
    if matrix is None:
        return None
    return sizes.measure(segments, base, matrix.dtype, matrix.columns, matrix.start, floor)


def _estimate(
    prepared: Segments, family: Family, effort: Effort
) -> tuple[tuple[Coding, ...], float]:
    chosen = [plain.choose(part, LEVELS[family], entropy=effort.entropy) for part in prepared]
    return tuple(coding for coding, _ in chosen), float(sum(cost for _, cost in chosen))


def _sections(
    prepared: Segments, plan: _Plan, segments: Segments, context: Context
) -> tuple[bytes, ...]:
    sections = []
    repeated = not plan.transform.needs_base and repeats.rows(prepared[-1])
    for number, (part, coding) in enumerate(zip(prepared, plan.codings, strict=True)):
        runs = (
            sparse.encode(part, coding.level, entropy=plan.entropy)
            if plan.transform.needs_base
            else None
        )
        if runs is not None and len(runs) < CLEARLY_SPARSE * part.nbytes:
            if plan.entropy:
                runs = min(runs, plain.encode(part, Coding(Mode.PCO)), key=len)
            sections.append(runs)
            continue
        coded = section.encode(part, coding, context, plan.rule)
        if repeated:
            planes = Coding(Mode.PLANES, (Plane.ZSTD,) * part.itemsize, MATCHES)
            coded = min(coded, plain.encode(part, planes), key=len)
        found = None
        if number == 1 and not plan.transform.needs_base:
            found = repeats.palette(part, segments[0], entropy=plan.entropy)
        if runs is not None and len(runs) < len(coded):
            coded = runs
        elif found is not None and len(found) < len(coded):
            coded = found
        elif isinstance(plan.rule, Sizes) and coded[0] == Mode.GROUPS:
            context.sizes = plan.rule
        sections.append(coded)
    return tuple(sections)


def _apply(transform: Transform, segments: Segments, base: Segments | None) -> Segments:
    if transform is Transform.ROTATED:
        return (delta.rotate(segments[0]), *segments[1:])
    if transform.needs_base and base is not None:
        return delta.residual(segments, base, floats=transform is Transform.FLOAT_DELTA)
    return segments


def _verify(coded: Coded, segments: Segments, base: Segments | None, context: Context) -> None:
    widths = tuple(part.itemsize for part in segments)
    held = base if coded.transform.needs_base else None
    if coded.right is not None and held is not None:
        again = merged.decode(coded.sections, widths, held, coded.right)
    else:
        again = _decode(coded.transform, coded.sections, widths, held, context)
    _compare(again, segments)


def _verify_sections(coded: Coded, prepared: Segments, context: Context) -> None:
    context.above = context.sizes = None
    again = tuple(
        section.decode(data, part.itemsize, context)
        for data, part in zip(coded.sections, prepared, strict=True)
    )
    _compare(again, prepared)


def _compare(again: Segments, segments: Segments) -> None:
    for one, two in zip(again, segments, strict=True):
        if not bool((one == two).all()):
            raise IntegrityError(
                "an encoded chunk does not decode to the same bits",
                hint="nothing was stored; suspect this machine's memory",
            )

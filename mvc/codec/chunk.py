"""A chunk as sections: choose a transform, code each segment, decode (docs/format.md, "Records").

`encode` and `decode` take and give segments; beside its sections a record needs the number of its
transform, its base and, for a low-rank delta, the factor that chunks of one matrix share.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.dtypes import SEGMENTS, Family
from mvc.base.errors import FormatError, IntegrityError
from mvc.codec import choice, delta, merged, plain, repeats, section, sparse
from mvc.codec.choice import DEFAULT, EFFORTS, FAST, GAIN, Effort, Job, Plan, Plans, resemblance
from mvc.codec.matrix import Matrix
from mvc.codec.plain import Coding, Mode, Plane
from mvc.codec.section import Columns, Context
from mvc.codec.segments import Segment, Segments
from mvc.codec.sizes import Sizes
from mvc.codec.transform import Transform, fit

__all__ = [
    "DEFAULT",
    "EFFORTS",
    "FAST",
    "GAIN",
    "Coded",
    "Effort",
    "Plans",
    "Transform",
    "decode",
    "encode",
    "fit",
    "resemblance",
]

CLEARLY_SPARSE = 0.01
"""A sparse section that is so much smaller than its segment needs no comparison with groups."""
MATCHES = 3
"""Level of zstd where rows occur twice."""


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


def encode(
    segments: Segments,
    family: Family,
    base: Segments | None,
    *,
    effort: Effort = DEFAULT,
    columns: Columns | None = None,
    matrix: Matrix | None = None,
    low_rank: bool = False,
    plans: Plans | None = None,
) -> Coded:
    """Return the smallest coding a sample promises, decoded again and compared.

    `base` holds the segments of a chunk of words of the same size; `columns` says that the units
    are records of so many bytes, `matrix` where its rows are. With `low_rank`, a low-rank delta may
    come out; `plans` are those of chunks that may be alike. Raises IntegrityError if what was
    encoded does not decode to the same bits.
    """
    count = len(segments[0])
    held = None if base is None else fit(base, count)
    job = Job(segments, family, held, effort, columns, matrix)
    plan = plans.choose(job) if plans else choice.choose(job)
    prepared = plan.transform.apply(segments, held)
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


def _sections(
    prepared: Segments, plan: Plan, segments: Segments, context: Context
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

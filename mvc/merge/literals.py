"""What two files have beside their tensors: equal, different in what does no harm, or different.

Bytes that follow from the tensors are no difference: a zip has a checksum of every member, which
is mended when a merged file is written.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal as Choice

from mvc.base.errors import FormatError
from mvc.formats import zip_archive, zip_checksums
from mvc.formats.base import Source
from mvc.formats.zip_archive import Member
from mvc.merge.stored import StoredSource
from mvc.objects.model import Checkpoint, Layout, Literal, Placed
from mvc.repo.metadata import read_layout, read_tensor
from mvc.repo.trees import tensors
from mvc.store.object_store import ObjectStore

Difference = Choice["none", "harmless", "literals", "structure"]
"""How two files differ beside the words of their tensors.

none: not at all, but for checksums. harmless: in remarks that no program computes with, such as
the `__metadata__` of safetensors, or the identity and the top folder's name that torch.save gives
a file. literals: in other bytes, with the same tensors in the same order. structure: in which
tensors there are, in their dtypes, shapes, order or views, or in the format.
"""

Span = tuple[int, int]

_ZIPS = frozenset(("pytorch", "torchscript", "npz", "keras"))
_TORCH = frozenset(("pytorch", "torchscript"))
_IDENTITY = ".data/serialization_id"
_STEP = 1 << 20
_HEADER = 100_000_000


def compare(store: ObjectStore, one: Checkpoint, two: Checkpoint) -> Difference:
    """Tell how two stored files differ beside the words of their tensors."""
    if one.format != two.format:
        return "structure"
    first, second = read_layout(store, one.layout), read_layout(store, two.layout)
    if not _same_structure(store, (one, first), (two, second)):
        return "structure"
    spans = list(differing(store, one, two))
    if not spans:
        return "none"
    sides = StoredSource(store, one), StoredSource(store, two)
    if one.format == "safetensors" and _same_tensors_in_header(*sides):
        return "harmless"
    if one.format in _TORCH and _same_members((first, sides[0]), (second, sides[1])):
        return "harmless"
    return "literals"


def differing(store: ObjectStore, one: Checkpoint, two: Checkpoint) -> Iterator[Span]:
    """Yield (start, end) in the first file of bytes beside tensors that differ.

    Both files have the same tensors in the same order. Checksums of zip members do not count. A
    run of bytes that has another length in the second file is yielded as a whole.
    """
    first, second = read_layout(store, one.layout), read_layout(store, two.layout)
    if first == second:
        return
    sides = StoredSource(store, one), StoredSource(store, two)
    masks = tuple(
        list(_checksums(checkpoint, side))
        for checkpoint, side in zip((one, two), sides, strict=True)
    )
    runs = zip(_runs(first, sides[0]), _runs(second, sides[1]), strict=True)
    for (start, end), (other, other_end) in runs:
        if end - start != other_end - other:
            yield start, end
            continue
        for at in range(start, end, _STEP):
            stop = min(end, at + _STEP)
            shift = other - start
            mine = _masked(sides[0], at, stop, masks[0])
            its = _masked(sides[1], at + shift, stop + shift, masks[1])
            if mine != its:
                yield from _spans(mine, its, at)


def _same_structure(
    store: ObjectStore, one: tuple[Checkpoint, Layout], two: tuple[Checkpoint, Layout]
) -> bool:
    """Tell whether two files have the same tensors in the same places in between."""
    if one[1].views != two[1].views:
        return False
    shapes = [_outline(layout) for _, layout in (one, two)]
    if shapes[0] != shapes[1]:
        return False
    held = [tensors(store, checkpoint.tensors) for checkpoint, _ in (one, two)]
    for name, entry in held[0].items():
        other = held[1].get(name)
        if other is None:
            return False
        if other.id != entry.id:
            mine, its = read_tensor(store, entry.id), read_tensor(store, other.id)
            if (mine.dtype, mine.shape) != (its.dtype, its.shape):
                return False
    return True


def _outline(layout: Layout) -> list[Placed | None]:
    """Return the tensors of a file and None for each run of bytes between them."""
    found: list[Placed | None] = []
    for part in layout.extents:
        if isinstance(part, Placed):
            found.append(part)
        elif part.content.size:
            found.append(None)
    return found


def _runs(layout: Layout, source: StoredSource) -> Iterator[Span]:
    for place, part in enumerate(layout.extents):
        if isinstance(part, Literal) and part.content.size:
            yield source.starts[place], source.starts[place + 1]


def _checksums(checkpoint: Checkpoint, source: Source) -> Iterator[Span]:
    if checkpoint.format in _ZIPS:
        try:
            yield from zip_checksums.places(source)
        except FormatError:
            return


def _masked(source: Source, start: int, end: int, masks: Sequence[Span]) -> bytes:
    data = bytearray(source.read_at(start, end - start))
    for begin, stop in masks:
        if begin < end and stop > start:
            inside = max(begin, start) - start, min(stop, end) - start
            data[inside[0] : inside[1]] = bytes(inside[1] - inside[0])
    return bytes(data)


def _spans(one: bytes, two: bytes, offset: int) -> Iterator[Span]:
    """Yield where two pieces of one length differ; runs with small gaps count as one."""
    import numpy as np

    places = np.flatnonzero(np.frombuffer(one, np.uint8) != np.frombuffer(two, np.uint8))
    for run in np.split(places, np.flatnonzero(np.diff(places) > 16) + 1):
        yield offset + int(run[0]), offset + int(run[-1]) + 1


def _same_tensors_in_header(*sides: StoredSource) -> bool:
    """Tell whether the headers of two safetensors files say the same but for `__metadata__`."""
    found: list[Mapping[str, object]] = []
    for side in sides:
        length = int.from_bytes(side.read_at(0, 8), "little")
        if length > _HEADER:
            return False
        try:
            header = json.loads(side.read_at(8, length))
        except (ValueError, RecursionError):
            return False
        if not isinstance(header, dict):
            return False
        found.append({name: entry for name, entry in header.items() if name != "__metadata__"})
    return found[0] == found[1]


def _same_members(*files: tuple[Layout, StoredSource]) -> bool:
    """Tell whether two files of torch.save say the same to who loads them.

    The name of their top folder is that of the file they were saved as, and their identity is
    drawn; places of members follow from the former.
    """
    try:
        members = [zip_archive.members(source) for _, source in files]
    except FormatError:
        return False
    names = [[_below_top(member) for member in found] for found in members]
    if names[0] != names[1]:
        return False
    spans = [_tensor_spans(layout, source) for layout, source in files]
    sources = [source for _, source in files]
    return all(
        _below_top(one) == _IDENTITY or _same_content((one, two), sources, spans)
        for one, two in zip(*members, strict=True)
    )


def _same_content(
    pair: tuple[Member, Member], sources: Sequence[Source], spans: Sequence[Sequence[Span]]
) -> bool:
    """Tell whether members are equal beside tensors: each is full of them, or has none."""
    if (pair[0].size, pair[0].stored) != (pair[1].size, pair[1].stored):
        return False
    held = [_inside(member, found) for member, found in zip(pair, spans, strict=True)]
    if held[0] == held[1] == pair[0].size:
        return True
    if held != [0, 0]:
        return False
    return all(
        sources[0].read_at(pair[0].data_offset + at, size)
        == sources[1].read_at(pair[1].data_offset + at, size)
        for at in range(0, pair[0].size, _STEP)
        for size in (min(_STEP, pair[0].size - at),)
    )


def _inside(member: Member, spans: Sequence[Span]) -> int:
    """Return how many bytes of a member are tensors."""
    end = member.data_offset + member.size
    first = bisect_left(spans, (member.data_offset, 0))
    found = 0
    for start, stop in spans[first:]:
        if start >= end:
            break
        found += stop - start
    return found


def _tensor_spans(layout: Layout, source: StoredSource) -> list[Span]:
    return [
        (source.starts[place], source.starts[place + 1])
        for place, part in enumerate(layout.extents)
        if isinstance(part, Placed)
    ]


def _below_top(member: Member) -> str:
    return member.name.partition("/")[2]

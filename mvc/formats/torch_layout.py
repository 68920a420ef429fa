"""Lays the tensors of a PyTorch checkpoint out over its storages, as extents and views.

A storage is a run of bytes that several tensors may share. A tensor whose bytes are all its own
and in C order is an extent; of tensors that share bytes, one extent holds them and the others are
views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mvc.base import dtypes
from mvc.formats.base import Extent, View

MAX_NOTES = 5
# One byte holds two of these; shapes and strides count bytes.
PAIRS = ("float4_e2m1fn_x2",)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the pickle describes it; offset and strides count elements in the storage."""

    name: str
    storage: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    def span(self) -> tuple[int, int]:
        """Return the elements from the first to after the last; equal when there are none."""
        if 0 in self.shape:
            return self.offset, self.offset
        last = sum((dim - 1) * step for dim, step in zip(self.shape, self.strides, strict=True))
        return self.offset, self.offset + last + 1

    def is_contiguous(self) -> bool:
        """Tell whether the elements lie in C order without gaps."""
        return self.strides == packed(self.shape)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a storage lie in the file."""

    offset: int
    length: int
    dtype: str = "uint8"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Extents in file order, views, and notes."""

    extents: tuple[Extent, ...]
    views: tuple[View, ...]
    notes: tuple[str, ...]


def item_size(label: str) -> int:
    """Return the bytes of one element as PyTorch counts them."""
    return 1 if label in PAIRS else dtypes.dtype(label).bits // 8


def arrange(
    tensors: Iterable[Tensor],
    places: Mapping[str, Place],
    taken: set[str],
    *,
    big_endian: bool = False,
) -> Arrangement:
    """Lay tensors out over the storages of a file.

    Args:
        tensors: What `collect` found, in order.
        places: Where each storage lies, by key.
        taken: The names in use, to which those of shared storages are added.
        big_endian: Whether the storages were written on a big-endian machine.

    Returns:
        Extents that do not overlap, and views for every further name of their elements.
    """
    groups: dict[str, list[Tensor]] = {key: [] for key in places}
    problems: list[str] = []
    for tensor in tensors:
        place = places.get(tensor.storage)
        if place is None or tensor.span()[1] * item_size(tensor.dtype) > place.length:
            problems.append(f"Tensor {tensor.name[:80]!r} has no storage that holds all of it.")
            continue
        groups[tensor.storage].append(tensor)
    layout = _Layout(taken, big_endian=big_endian)
    for key, group in groups.items():
        layout.add(key, places[key], group)
    problems += layout.problems
    # An empty extent sorts before a full one at the same offset, so that order is kept.
    extents = sorted(layout.extents, key=lambda extent: (extent.offset, extent.length))
    return Arrangement(tuple(extents), tuple(layout.views), tuple(summary(problems)))


def summary(problems: list[str]) -> list[str]:
    """Return the first few notes and the number of the others."""
    shown = problems[:MAX_NOTES]
    if len(problems) > MAX_NOTES:
        shown.append(f"{len(problems) - MAX_NOTES} more tensors stay literal for like reasons.")
    return shown


def packed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a shape in C order, in elements."""
    strides, step = [], 1
    for dim in reversed(shape):
        strides.append(step)
        step *= dim
    return tuple(reversed(strides))


def unique(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    taken.add(candidate)
    return candidate


class _Layout:
    """Extents and views of one file, storage by storage."""

    def __init__(self, taken: set[str], *, big_endian: bool) -> None:
        self.extents: list[Extent] = []
        self.views: list[View] = []
        self.problems: list[str] = []
        self._names = taken
        self._big_endian = big_endian

    def add(self, key: str, place: Place, tensors: list[Tensor]) -> None:
        """Lay out one storage."""
        filled = []
        for tensor in tensors:
            if 0 in tensor.shape:
                self._extent(tensor.name, tensor.dtype, tensor.shape, place.offset, 0)
            else:
                filled.append((_byte_span(tensor), tensor))
        if not filled and place.length:
            name = unique(f"storage.{key.removeprefix('data/')}", self._names)
            self._whole(name, place.dtype, place.offset, place.length)
        clusters = _clusters(filled)
        for (start, end), members in clusters:
            lone = len(clusters) == 1
            self._cluster(place, members, (0, place.length) if lone else (start, end), (start, end))

    def _cluster(
        self,
        place: Place,
        members: list[Tensor],
        room: tuple[int, int],
        span: tuple[int, int],
    ) -> None:
        cover = next((t for t in members if _byte_span(t) == span and t.is_contiguous()), None)
        if cover is not None:
            source, label, start = cover.name, cover.dtype, span[0]
            self._extent(source, label, cover.shape, place.offset + start, span[1] - start)
        else:
            label, start = members[0].dtype, room[0]
            source = unique(f"{members[0].name}.storage", self._names)
            size = item_size(label)
            if start % size or (room[1] - start) % size:
                start, room = span[0], span
            if start % size or (room[1] - start) % size:
                label = "uint8"
            self._whole(source, label, place.offset + start, room[1] - start)
        size = item_size(label)
        for tensor in members:
            if tensor is cover:
                continue
            begin = tensor.offset * size - start
            if tensor.dtype != label or begin % size:
                self.problems.append(f"Tensor {tensor.name[:80]!r} shares bytes of another type.")
                continue
            self.views.append(
                View(tensor.name, source, tensor.shape, begin // size, tensor.strides)
            )

    def _whole(self, name: str, label: str, offset: int, length: int) -> None:
        size = item_size(label)
        if length % size:
            label, size = "uint8", 1
        self._extent(name, label, (length // size,), offset, length)

    def _extent(
        self, name: str, label: str, shape: tuple[int, ...], offset: int, length: int
    ) -> None:
        swapped = self._big_endian and dtypes.dtype(label).word > 1
        self.extents.append(Extent(name, label, shape, offset, length, swapped))


def _byte_span(tensor: Tensor) -> tuple[int, int]:
    size = item_size(tensor.dtype)
    start, end = tensor.span()
    return start * size, end * size


def _clusters(
    filled: list[tuple[tuple[int, int], Tensor]],
) -> list[tuple[tuple[int, int], list[Tensor]]]:
    """Group tensors that share bytes; members keep their order in the checkpoint."""
    order = sorted(range(len(filled)), key=lambda index: filled[index][0])
    groups: list[tuple[tuple[int, int], list[int]]] = []
    for index in order:
        start, end = filled[index][0]
        if groups and start < groups[-1][0][1]:
            (first, last), members = groups[-1]
            members.append(index)
            groups[-1] = ((first, max(last, end)), members)
        else:
            groups.append(((start, end), [index]))
    return [(span, [filled[index][1] for index in sorted(members)]) for span, members in groups]

"""What a format reader takes and gives.

A reader locates tensors in a file and never changes a byte: it returns typed byte ranges, and
whatever it leaves out stays literal. A file that breaks the rules of its format raises
FormatError; the caller then keeps the whole file as bytes. Nothing here executes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mvc.base import dtypes
from mvc.base.errors import FormatError, LimitError

MAX_TENSORS = 1_000_000
MAX_HEADER = 100_000_000
MAX_NAME = 4096
MAX_RANK = 64
MAX_DIM = 2**62


class Source(Protocol):
    """Random access to the bytes of one file."""

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raise FormatError when the file is shorter."""
        ...


class BytesSource:
    """A source over bytes in memory."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)

    @property
    def size(self) -> int:
        """See Source."""
        return len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        check_range(offset, length, self.size)
        return bytes(self._data[offset : offset + length])


class SubSource:
    """A window of another source, for a file that lies uncompressed inside a container."""

    def __init__(self, outer: Source, offset: int, length: int) -> None:
        check_range(offset, length, outer.size)
        self._outer, self._offset, self._length = outer, offset, length

    @property
    def size(self) -> int:
        """See Source."""
        return self._length

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        check_range(offset, length, self._length)
        return self._outer.read_at(self._offset + offset, length)


@dataclass(frozen=True, slots=True)
class Extent:
    """A byte range of the file that holds one tensor.

    `shape` is the shape of the bytes as they lie in the file, in C order: a Fortran-ordered
    array appears with its shape reversed and `transposed` set. `word` matters only for labels
    that `mvc.base.dtypes` does not know: bytes of the words the tensor is made of.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int
    big_endian: bool = False
    transposed: bool = False
    word: int = 1


@dataclass(frozen=True, slots=True)
class View:
    """A second name for elements of an extent: tied weights, slices, transposes.

    `offset` and `strides` count elements from the start of the tensor called `source`.
    """

    name: str
    source: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Located:
    """What a reader found: extents in file order without overlap, views, and remarks.

    `notes` are full sentences for people, for example why part of a file stays literal.
    """

    format: str
    extents: tuple[Extent, ...]
    views: tuple[View, ...] = ()
    notes: tuple[str, ...] = field(default=())


class Reader(Protocol):
    """One format. Both calls are pure functions of the bytes of the source."""

    def matches(self, head: bytes, source: Source) -> bool:
        """Tell from the first bytes (at most 512) and cheap look-ups whether to call `locate`."""
        ...

    def locate(self, source: Source) -> Located:
        """Find the tensors, or raise FormatError."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """An entry of the registry. `requires` names the extra that must be installed, if any."""

    name: str
    matches: Callable[[bytes, Source], bool]
    locate: Callable[[Source], Located]
    requires: str | None = None


def check_range(offset: int, length: int, size: int) -> None:
    """Raise FormatError unless [offset, offset + length) lies in a file of `size` bytes."""
    if offset < 0 or length < 0 or offset + length > size:
        raise FormatError(f"bytes {offset} to {offset + length} are outside the file of {size}")


def check_name(name: str) -> str:
    """Return a tensor name if it can be kept (any text of at most 4096 UTF-8 bytes)."""
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatError("a tensor name is not valid Unicode") from None
    if len(encoded) > MAX_NAME:
        raise LimitError(f"a tensor name of {len(encoded)} bytes is above the limit of {MAX_NAME}")
    return name


def check_shape(shape: tuple[object, ...]) -> tuple[int, ...]:
    """Return a shape if every dimension is a plain integer in range and the rank is at most 64."""
    if len(shape) > MAX_RANK:
        raise LimitError(f"a tensor of rank {len(shape)} is above the limit of {MAX_RANK}")
    dims: list[int] = []
    for dim in shape:
        if type(dim) is not int or not 0 <= dim <= MAX_DIM:
            raise FormatError(f"not a dimension: {str(dim)[:40]}")
        dims.append(dim)
    return tuple(dims)


def checked(located: Located, size: int) -> Located:
    """Return `located` if it is sound for a file of `size` bytes, or raise FormatError.

    Sound means: unique names, ranges inside the file, in order, without overlap, whole words,
    lengths that agree with dtype and shape, and views that stay inside their source. Readers
    need not check these; the registry calls this on whatever they return.
    """
    if len(located.extents) + len(located.views) > MAX_TENSORS:
        raise LimitError(f"more than {MAX_TENSORS} tensors in one file")
    counts: dict[str, int] = {}
    end = 0
    for extent in located.extents:
        _check_extent(extent, size)
        if extent.offset < end:
            raise FormatError(f"tensor {extent.name[:80]!r} overlaps the one before it")
        end = extent.offset + extent.length
        if extent.name in counts:
            raise FormatError(f"two tensors are called {extent.name[:80]!r}")
        counts[extent.name] = _elements(extent.shape)
    for view in located.views:
        if view.source not in counts or view.name in counts:
            raise FormatError(f"view {view.name[:80]!r} is ambiguous")
        _check_view(view, counts[view.source])
    if len({view.name for view in located.views}) != len(located.views):
        raise FormatError("two views have one name")
    return located


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count


def _check_extent(extent: Extent, size: int) -> None:
    check_name(extent.name)
    check_shape(extent.shape)
    check_range(extent.offset, extent.length, size)
    kind = dtypes.dtype(extent.dtype, extent.word)
    if kind.word not in dtypes.WORD_SIZES or extent.length % kind.word:
        raise FormatError(f"tensor {extent.name[:80]!r} does not end on a whole word")
    expected = dtypes.nbytes(extent.dtype, extent.shape)
    if expected is not None and expected != extent.length:
        raise FormatError(
            f"tensor {extent.name[:80]!r} has {extent.length} bytes, its shape {expected}"
        )


def _check_view(view: View, elements: int) -> None:
    check_name(view.name)
    check_shape(view.shape)
    if len(view.strides) != len(view.shape) or view.offset < 0 or min(view.strides, default=0) < 0:
        raise FormatError(f"view {view.name[:80]!r} has impossible strides")
    if 0 in view.shape:
        return
    last = view.offset + sum(
        (dim - 1) * stride for dim, stride in zip(view.shape, view.strides, strict=True)
    )
    if last >= elements:
        raise FormatError(f"view {view.name[:80]!r} reaches outside its source")

"""HDF5 files, among them the weights of Keras: datasets whose bytes lie plainly in the file.

Owns the walk over groups and the choice of what is plain: contiguous datasets and chunks without
filters, of standard numbers. The parsing is that of the HDF5 library, through h5py, which is
imported only here and only when needed. Specification: the HDF5 File Format Specification 3.0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from mvc.base import dtypes
from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import MAX_HEADER, MAX_NAME, MAX_TENSORS, Extent, Located, Source
from mvc.formats.stream import SourceStream

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_USER_BLOCK = 1 << 24

# What h5py raises when the library meets malformed bytes.
_FAILURES = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    MemoryError,
)


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the HDF5 signature stands at 0 or after a user block of 512, 1024, ... bytes."""
    if head.startswith(SIGNATURE):
        return True
    offset = 512
    while offset + len(SIGNATURE) <= min(source.size, MAX_USER_BLOCK):
        if source.read_at(offset, len(SIGNATURE)) == SIGNATURE:
            return True
        offset *= 2
    return False


def locate(source: Source) -> Located:
    """Find the datasets of an HDF5 file whose bytes are neither compressed nor converted.

    Raises:
        FormatError: the HDF5 library cannot read the file.
        ImportError: h5py is not installed.
    """
    import h5py

    walk = _Walk(h5py)
    try:
        with h5py.File(_Stream(source), "r") as file:
            h5py.h5o.visit(file.id, walk.visitor(file.id))
            if walk.failure is not None:
                raise walk.failure
    except _FAILURES as error:
        reason = " ".join(str(error).split())[:80]
        raise FormatError(f"the HDF5 library cannot read it: {reason!r}") from None
    extents = sorted(walk.extents, key=lambda extent: (extent.offset, extent.length))
    return Located("hdf5", tuple(extents), notes=walk.notes())


class _Stream(SourceStream):
    """Bytes past the end are simply missing, as the library expects."""

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        length = min(len(room), max(self._source.size - self._position, 0))
        room[:length] = self._source.read_at(self._position, length)
        # The library may use the whole buffer, which must not hold old memory.
        room[length:] = bytes(len(room) - length)
        self._position += length
        return length


class _Walk:
    """Collects extents while the library visits every object once."""

    def __init__(self, h5py: Any) -> None:
        self._h5 = h5py
        self._types = _standard_types(h5py)
        self._literal: Counter[str] = Counter()
        self._room = MAX_HEADER
        self.extents: list[Extent] = []
        self.failure: Exception | None = None

    def visitor(self, file: Any) -> Callable[[bytes], bool | None]:
        """Return the callback for `h5o.visit`; a true answer stops the visit."""

        def visit(raw: bytes) -> bool | None:
            try:
                opened = self._h5.h5o.open(file, raw)
                if isinstance(opened, self._h5.h5d.DatasetID):
                    self._dataset(raw, opened)
            except (*_FAILURES, FormatError) as error:
                self.failure = error
                return True
            return None

        return visit

    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{count} datasets stay literal because {reason}."
            for reason, count in sorted(self._literal.items())
        )

    def _dataset(self, raw: bytes, dataset: Any) -> None:
        if len(raw) > MAX_NAME - 256:
            raise LimitError(f"a dataset's path of {len(raw)} bytes is above the limit")
        name = raw.decode("utf-8")
        kind = self._kind(dataset.get_type())
        plist = dataset.get_create_plist()
        layout = plist.get_layout()
        shape = tuple(int(dim) for dim in dataset.shape or ())
        if not dataset.get_storage_size():
            return
        if kind is None:
            self._literal["their elements are not plain numbers"] += 1
        elif plist.get_nfilters():
            self._literal["the container compresses or filters them"] += 1
        elif layout == self._h5.h5d.CONTIGUOUS and not plist.get_external_count():
            offset = dataset.get_offset()
            if offset is not None:
                self._add(name, kind, shape, int(offset), int(dataset.get_storage_size()))
        elif layout == self._h5.h5d.CHUNKED:
            self._chunks(name, kind, shape, tuple(int(dim) for dim in plist.get_chunk()), dataset)
        else:
            self._literal["they lie inside a header or in another file"] += 1

    def _chunks(
        self,
        name: str,
        kind: tuple[str, bool],
        shape: tuple[int, ...],
        chunk: tuple[int, ...],
        dataset: Any,
    ) -> None:
        # A chunk at the edge is stored in full size.
        def add(info: Any) -> None:
            place = [at // dim for at, dim in zip(info.chunk_offset, chunk, strict=True)]
            suffix = "" if shape == chunk else "#" + ",".join(map(str, place))
            self._add(name + suffix, kind, chunk, int(info.byte_offset), int(info.size))

        dataset.chunk_iter(add)

    def _add(
        self, name: str, kind: tuple[str, bool], shape: tuple[int, ...], offset: int, length: int
    ) -> None:
        label, big_endian = kind
        if dtypes.nbytes(label, shape) != length:
            self._literal["their bytes disagree with their dimensions"] += 1
            return
        self._room -= len(name)
        if self._room < 0:
            raise LimitError(f"its dataset names take more than {MAX_HEADER} characters")
        self.extents.append(Extent(name, label, shape, offset, length, big_endian=big_endian))
        if len(self.extents) > MAX_TENSORS:
            raise LimitError(f"it holds more than {MAX_TENSORS} datasets and chunks")

    def _kind(self, found: Any) -> tuple[str, bool] | None:
        """Return the label and byte order of a type, None if its words are not plain numbers."""
        h5t = self._h5.h5t
        if isinstance(found, h5t.TypeEnumID):
            members = {
                found.get_member_name(index): int(found.get_member_value(index))
                for index in range(min(found.get_nmembers(), 3))
            }
            found = found.get_super()
            if members == {b"FALSE": 0, b"TRUE": 1} and found.get_size() == 1:
                return "bool", False
        for label, big_endian, standard in self._types:
            if found.equal(standard):
                return label, big_endian
        return None


def _standard_types(h5py: Any) -> list[tuple[str, bool, Any]]:
    h5t = h5py.h5t
    types: list[tuple[str, bool, Any]] = []
    for order, big_endian in (("LE", False), ("BE", True)):
        types += [
            (f"float{bits}", big_endian, getattr(h5t, f"IEEE_F{bits}{order}"))
            for bits in (16, 32, 64)
        ]
        for bits in (8, 16, 32, 64):
            wide = big_endian and bits > 8
            types.append((f"int{bits}", wide, getattr(h5t, f"STD_I{bits}{order}")))
            types.append((f"uint{bits}", wide, getattr(h5t, f"STD_U{bits}{order}")))
        brain = getattr(h5t, f"IEEE_F16{order}").copy()
        brain.set_fields(15, 7, 8, 0, 7)
        brain.set_ebias(127)
        types.append(("bfloat16", big_endian, brain))
    return types

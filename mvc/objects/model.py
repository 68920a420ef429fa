"""What a model file is made of: chunk, tensor, blob, layout, checkpoint (docs/format.md).

Pure data with `encode` and `decode`; the id of an object is `object_id(KIND, encode())`. Decoding
refuses whatever encoding could not have produced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from mvc.base.dtypes import CHUNK_WORDS, KNOWN, WORD_SIZES
from mvc.base.errors import FormatError, LimitError
from mvc.base.ids import ObjectId, check_id, object_id
from mvc.objects import canonical
from mvc.objects.canonical import array, natural, raw, text

INLINE_BYTES = 1024
MAX_CHUNKS = 1 << 20
MAX_VALUES = MAX_CHUNKS + 128
MAX_RANK = 64
MAX_DIM = 2**62
MAX_NAME = 4096
MAX_LABEL = 64
MAX_EXTENTS = 2_000_002
MAX_NOTES = 64


def chunk_id(word: int, words: int, digests: tuple[bytes, ...]) -> ObjectId:
    """Return the id of a chunk of `words` words from the digests of its segments."""
    return object_id("chunk", canonical.encode([word, words, list(digests)]))


def chunk_count(size: int, word: int) -> int:
    """Return how many chunks `size` bytes take; none when they are kept inline."""
    if size <= INLINE_BYTES:
        return 0
    return -(-size // (word * CHUNK_WORDS))


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes as an object holds them: `inline` up to 1 KiB, else as chunks of 2^20 words."""

    size: int
    word: int
    inline: bytes
    chunks: tuple[ObjectId, ...]

    def __post_init__(self) -> None:
        if self.word not in WORD_SIZES or natural(self.size) % self.word:
            raise FormatError("content does not consist of whole words")
        if len(self.chunks) != chunk_count(self.size, self.word):
            raise FormatError("content has the wrong number of chunks")
        if len(self.inline) != (0 if self.chunks else self.size):
            raise FormatError("content has the wrong inline bytes")
        if len(self.chunks) > MAX_CHUNKS:
            raise LimitError(f"content of more than {MAX_CHUNKS} chunks")

    def chunk_bytes(self, index: int) -> int:
        """Return the size in bytes of the chunk at `index`."""
        full = self.word * CHUNK_WORDS
        return min(full, self.size - index * full)

    def pack(self) -> list[object]:
        """Return the canonical form: [size, word, inline bytes or array of chunk ids]."""
        return [self.size, self.word, list(self.chunks) if self.chunks else self.inline]

    @classmethod
    def unpack(cls, value: object) -> Self:
        """Return the content of a canonical form, or raise FormatError."""
        items = array(value, 3)
        if len(items) != 3:
            raise FormatError("content has three parts")
        size, word, held = natural(items[0]), natural(items[1], 8), items[2]
        if type(held) is bytes:
            return cls(size, word, held, ())
        chunks = tuple(check_id(item) for item in array(held, MAX_CHUNKS))
        if not chunks:
            raise FormatError("content has no chunks")
        return cls(size, word, b"", chunks)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Typed elements in C order, little-endian."""

    KIND: ClassVar[str] = "tensor"
    dtype: str
    shape: tuple[int, ...]
    content: Content

    def __post_init__(self) -> None:
        if not text(self.dtype, MAX_LABEL) or len(self.shape) > MAX_RANK:
            raise FormatError("a tensor has a dtype and at most 64 dimensions")
        for dim in self.shape:
            natural(dim, MAX_DIM)
        known = KNOWN.get(self.dtype)
        if known is None:
            return
        count = 1
        for dim in self.shape:
            count *= dim
        if known.word != self.content.word or (count * known.bits + 7) // 8 != self.content.size:
            raise FormatError("a tensor's size does not follow from its dtype and shape")

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode([self.dtype, list(self.shape), self.content.pack()])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the tensor of canonical bytes, or raise FormatError."""
        items = array(canonical.decode(data, MAX_VALUES), 3)
        if len(items) != 3:
            raise FormatError("a tensor has three parts")
        return cls(items[0], tuple(array(items[1], MAX_RANK)), Content.unpack(items[2]))


@dataclass(frozen=True, slots=True)
class Blob:
    """Opaque bytes: configuration, tokenizer, code, data, or a model no reader understands."""

    KIND: ClassVar[str] = "blob"
    sha256: bytes
    content: Content

    def __post_init__(self) -> None:
        raw(self.sha256, 32)
        if self.content.word != 1:
            raise FormatError("a blob has one-byte words")

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self.content.size

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode([self.sha256, self.content.pack()])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the blob of canonical bytes, or raise FormatError."""
        items = array(canonical.decode(data, MAX_VALUES), 2)
        if len(items) != 2:
            raise FormatError("a blob has two parts")
        return cls(items[0], Content.unpack(items[1]))


@dataclass(frozen=True, slots=True)
class Literal:
    """A part of a file kept as it is."""

    content: Content

    def __post_init__(self) -> None:
        if self.content.word != 1:
            raise FormatError("literal bytes have one-byte words")


@dataclass(frozen=True, slots=True)
class Placed:
    """A part of a file that holds the tensor `name`.

    `big_endian`: the file has the bytes of each word in the opposite order. `transposed`: the
    tensor's shape is the reverse of the shape the file declares (Fortran order).
    """

    name: str
    big_endian: bool = False
    transposed: bool = False

    def __post_init__(self) -> None:
        text(self.name, MAX_NAME)


@dataclass(frozen=True, slots=True)
class ViewOf:
    """A second name for elements of a placed tensor; offset and strides count elements."""

    name: str
    source: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        text(self.name, MAX_NAME)
        natural(self.offset)
        if len(self.shape) != len(self.strides) or len(self.shape) > MAX_RANK:
            raise FormatError("a view has as many strides as dimensions")
        for number in (*self.shape, *self.strides):
            natural(number, MAX_DIM)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is put together from literal bytes and tensors; fine-tunes share it."""

    KIND: ClassVar[str] = "layout"
    extents: tuple[Literal | Placed, ...]
    views: tuple[ViewOf, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if max(len(self.extents), len(self.views)) > MAX_EXTENTS or len(self.notes) > MAX_NOTES:
            raise LimitError(f"a layout of more than {MAX_EXTENTS} parts or {MAX_NOTES} notes")
        for note in self.notes:
            text(note, MAX_NAME)
        placed = [extent.name for extent in self.extents if isinstance(extent, Placed)]
        everything = placed + [view.name for view in self.views]
        if len(set(everything)) != len(everything):
            raise FormatError("a layout names a tensor twice")
        if not {view.source for view in self.views} <= set(placed):
            raise FormatError("a layout has a view of no tensor")

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        extents: list[object] = [
            [0, extent.content.pack()]
            if isinstance(extent, Literal)
            else [1, extent.name, extent.big_endian + 2 * extent.transposed]
            for extent in self.extents
        ]
        views = [
            [view.name, view.source, list(view.shape), view.offset, list(view.strides)]
            for view in self.views
        ]
        return canonical.encode([extents, views, list(self.notes)])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the layout of canonical bytes, or raise FormatError."""
        items = array(canonical.decode(data), 3)
        if len(items) != 3:
            raise FormatError("a layout has three parts")
        return cls(
            tuple(_extent(item) for item in array(items[0], MAX_EXTENTS)),
            tuple(_view(item) for item in array(items[1], MAX_EXTENTS)),
            tuple(array(items[2], MAX_NOTES)),
        )


def _extent(value: object) -> Literal | Placed:
    items = array(value, 3)
    if len(items) == 2 and items[0] == 0 and type(items[0]) is int:
        return Literal(Content.unpack(items[1]))
    if len(items) == 3 and items[0] == 1 and type(items[0]) is int:
        flags = natural(items[2], 3)
        return Placed(items[1], bool(flags & 1), bool(flags & 2))
    raise FormatError("an extent is neither literal nor a tensor")


def _view(value: object) -> ViewOf:
    items = array(value, 5)
    if len(items) != 5:
        raise FormatError("a view has five parts")
    shape, strides = tuple(array(items[2], MAX_RANK)), tuple(array(items[4], MAX_RANK))
    return ViewOf(items[0], text(items[1], MAX_NAME), shape, items[3], strides)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model file whose tensors mvc sees."""

    KIND: ClassVar[str] = "checkpoint"
    format: str
    size: int
    sha256: bytes
    tensor_bytes: int
    layout: ObjectId
    tensors: ObjectId

    def __post_init__(self) -> None:
        text(self.format, MAX_LABEL)
        raw(self.sha256, 32)
        if natural(self.tensor_bytes) > natural(self.size):
            raise FormatError("a checkpoint's sizes contradict each other")
        check_id(self.layout)
        check_id(self.tensors)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            [self.format, self.size, self.sha256, self.tensor_bytes, self.layout, self.tensors]
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the checkpoint of canonical bytes, or raise FormatError."""
        items = array(canonical.decode(data, MAX_VALUES), 6)
        if len(items) != 6:
            raise FormatError("a checkpoint has six parts")
        return cls(*items)

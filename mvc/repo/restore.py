"""Out of the store: the bytes of a file, verified on the way, and tensors as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import swapped
from mvc.objects.model import Checkpoint, Content, Placed
from mvc.objects.tree import Entry
from mvc.repo.metadata import read_blob, read_checkpoint, read_layout, read_tensor
from mvc.repo.trees import tensors
from mvc.store.chunks import load_bytes
from mvc.store.object_store import ObjectStore

MERGED_BYTES = 1 << 20
Write = Callable[[bytes | memoryview], None]


def write_file(
    store: ObjectStore, entry: Entry, write: Write, progress: Progress = SILENT
) -> bytes:
    """Pass a file's bytes to `write` in order and return their SHA-256.

    Raises IntegrityError when the whole does not have the recorded size and SHA-256; what was
    written until then is not to be used.
    """
    if entry.kind == "checkpoint":
        checkpoint = read_checkpoint(store, entry.id)
        expected, size = checkpoint.sha256, checkpoint.size
        pieces = _checkpoint_pieces(store, checkpoint)
    elif entry.kind == "blob":
        blob = read_blob(store, entry.id)
        expected, size = blob.sha256, blob.size
        pieces = _content_pieces(store, blob.content, swap=False)
    else:
        raise IntegrityError(f"a {entry.kind} is not a file")
    sha256 = hashlib.sha256()
    written = 0
    for data in ordered_map(lambda job: job(), _merged(pieces)):
        write(data)
        sha256.update(data)
        written += len(data)
        progress.advance(len(data))
    if sha256.digest() != expected or written != size:
        raise IntegrityError(
            f"object {entry.id.hex()[:12]} does not come back with its SHA-256",
            hint="run `mvc fsck` to see what is damaged",
        )
    return expected


def content_bytes(store: ObjectStore, content: Content) -> bytes:
    """Return all bytes of a content, little-endian."""
    jobs = _merged(_content_pieces(store, content, swap=False))
    return b"".join(ordered_map(lambda job: job(), jobs))


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to come: those of a chunk, or inline ones."""

    inline: bytes | memoryview = b""
    load: Job | None = None


Job = Callable[[], bytes | memoryview]


def _merged(pieces: Iterator[Piece]) -> Iterator[Job]:
    """Turn pieces into jobs, joining inline bytes: a file may have 100,000 tiny tensors."""
    waiting: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        if piece.load is None:
            waiting.append(piece.inline)
            size += len(piece.inline)
        if waiting and (piece.load is not None or size >= MERGED_BYTES):
            yield partial(b"".join, waiting)
            waiting, size = [], 0
        if piece.load is not None:
            yield piece.load
    if waiting:
        yield partial(b"".join, waiting)


def _checkpoint_pieces(store: ObjectStore, checkpoint: Checkpoint) -> Iterator[Piece]:
    held = tensors(store, checkpoint.tensors)
    for extent in read_layout(store, checkpoint.layout).extents:
        if isinstance(extent, Placed):
            entry = held.get(extent.name)
            if entry is None:
                raise IntegrityError("a layout names a tensor that its checkpoint lacks")
            content = read_tensor(store, entry.id).content
            yield from _content_pieces(store, content, swap=extent.big_endian)
        else:
            yield from _content_pieces(store, extent.content, swap=False)


def _content_pieces(store: ObjectStore, content: Content, *, swap: bool) -> Iterator[Piece]:
    if not content.chunks:
        data = content.inline
        yield Piece(swapped(data, content.word) if swap and data else data)
    for number, wanted in enumerate(content.chunks):
        size = content.chunk_bytes(number)
        yield Piece(load=partial(_load, store, wanted, content.word, size, swap=swap))


def _load(store: ObjectStore, wanted: ObjectId, word: int, size: int, *, swap: bool) -> memoryview:
    data = load_bytes(store, wanted, word, size)
    return swapped(data, word) if swap else data

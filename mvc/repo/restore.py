"""Out of the store: the bytes of a file, verified on the way, and tensors as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mvc.base import fileio
from mvc.base.dtypes import is_shortened
from mvc.base.errors import FormatError, IntegrityError
from mvc.base.hashing import Sha256
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import swapped
from mvc.objects.model import Checkpoint, Content, Placed
from mvc.objects.tree import Entry
from mvc.repo.metadata import read_blob, read_checkpoint, read_layout, read_tensor
from mvc.repo.precision import inline_words, load_words, loses_bits
from mvc.repo.trees import tensors
from mvc.store.decode import fetch
from mvc.store.object_store import ObjectStore

if TYPE_CHECKING:
    from mvc.formats.zip_checksums import Span

MERGED_BYTES = 1 << 20
HASH_BYTES = 4 << 20
AHEAD_BYTES = 16 << 20
"""Bytes of words that are asked for together where they are elsewhere."""
_ZIP = b"PK\x03\x04"
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
    sha256, written = _write(store, pieces, write, progress)
    if sha256 != expected or written != size:
        raise IntegrityError(
            f"object {entry.id.hex()[:12]} does not come back with its SHA-256",
            hint="run `mvc fsck` to see what is damaged",
        )
    return expected


@dataclass(frozen=True, slots=True)
class Written:
    """The SHA-256 of what was written, and whether bits of floats were left out."""

    sha256: bytes
    shortened: bool


def stage_file(
    store: ObjectStore,
    entry: Entry,
    staged: fileio.StagedFile,
    *,
    short: bool = False,
    progress: Progress = SILENT,
) -> Written:
    """Write a file's bytes to an empty staged file; if `short`, at reduced precision.

    Every word is verified against the ids of the version all the same; a file that has words
    with fewer bits has no recorded SHA-256 to compare with. Raises IntegrityError.
    """
    if not short or not loses_bits(store, entry):
        return Written(write_file(store, entry, staged.write, progress), False)
    checkpoint = read_checkpoint(store, entry.id)
    changed: list[Span] = []
    pieces = _checkpoint_pieces(store, checkpoint, changed)
    sha256, written = _write(store, pieces, staged.write, progress)
    if written != checkpoint.size:
        raise IntegrityError(
            f"object {entry.id.hex()[:12]} does not come back with its size",
            hint="run `mvc fsck` to see what is damaged",
        )
    with fileio.Reader(staged.path) as reader:
        if reader.size >= len(_ZIP) and reader.read_at(0, len(_ZIP)) == _ZIP:
            sha256 = _repaired(reader, staged, changed)
    return Written(sha256, True)


def _write(
    store: ObjectStore, pieces: Iterator[Piece], write: Write, progress: Progress
) -> tuple[bytes, int]:
    sha256 = Sha256()
    written = 0
    jobs = _ahead(store, _merged(pieces))
    for data in ordered_map(lambda job: job.load(), jobs, size=lambda job: job.size, eager=True):
        write(data)
        sha256.update(data)
        written += len(data)
        progress.advance(len(data))
    return sha256.digest(), written


def _repaired(reader: fileio.Reader, staged: fileio.StagedFile, changed: list[Span]) -> bytes:
    """Bring the checksums inside a zip up to date; return the SHA-256 of the whole."""
    from mvc.formats.zip_checksums import repairs

    try:
        for at, data in list(repairs(reader, changed)):
            staged.patch(at, data)
    except FormatError:
        # It only looks like a zip: no reader compares checksums that it cannot find.
        pass
    sha256 = Sha256()
    for at in range(0, reader.size, HASH_BYTES):
        sha256.update(reader.read_at(at, min(HASH_BYTES, reader.size - at)))
    return sha256.digest()


def content_bytes(store: ObjectStore, content: Content) -> bytes:
    """Return all bytes of a content, little-endian."""
    jobs = _ahead(store, _merged(_content_pieces(store, content, swap=False)))
    return b"".join(ordered_map(lambda job: job.load(), jobs))


class Job(NamedTuple):
    """Bytes to come, and how many; and the chunk that is read whole for them."""

    load: Callable[[], bytes | memoryview]
    size: int
    chunk: ObjectId | None = None


Piece = Job | bytes | memoryview
"""Bytes to come, those of a chunk, or inline ones."""


def _merged(pieces: Iterator[Piece]) -> Iterator[Job]:
    """Turn pieces into jobs, joining inline bytes: a file may have 100,000 tiny tensors."""
    waiting: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        if not isinstance(piece, Job):
            waiting.append(piece)
            size += len(piece)
        if waiting and (isinstance(piece, Job) or size >= MERGED_BYTES):
            yield Job(partial(b"".join, waiting), size)
            waiting, size = [], 0
        if isinstance(piece, Job):
            yield piece
    if waiting:
        yield Job(partial(b"".join, waiting), size)


def _ahead(store: ObjectStore, jobs: Iterator[Job]) -> Iterator[Job]:
    """Yield jobs; where their chunks are elsewhere, these are fetched some at a time."""
    if store.tails is None or not store.tails.offloaded.packs():
        yield from jobs
        return
    waiting: list[Job] = []
    size = 0
    for job in jobs:
        waiting.append(job)
        size += job.size
        if size >= AHEAD_BYTES:
            fetch(store, [item.chunk for item in waiting if item.chunk is not None])
            yield from waiting
            waiting, size = [], 0
    fetch(store, [item.chunk for item in waiting if item.chunk is not None])
    yield from waiting


def _checkpoint_pieces(
    store: ObjectStore, checkpoint: Checkpoint, changed: list[Span] | None = None
) -> Iterator[Piece]:
    """Yield a checkpoint's bytes; with `changed`, at reduced precision, noting where that is."""
    held = tensors(store, checkpoint.tensors)
    at = 0
    for extent in read_layout(store, checkpoint.layout).extents:
        swap = top = False
        if isinstance(extent, Placed):
            entry = held.get(extent.name)
            if entry is None:
                raise IntegrityError("a layout names a tensor that its checkpoint lacks")
            tensor = read_tensor(store, entry.id)
            content, swap = tensor.content, extent.big_endian
            top = changed is not None and is_shortened(tensor.dtype)
        else:
            content = extent.content
        if changed is not None and top:
            changed.append((at, at + content.size))
        at += content.size
        yield from _content_pieces(store, content, swap=swap, top=top)


def _content_pieces(
    store: ObjectStore, content: Content, *, swap: bool, top: bool = False
) -> Iterator[Piece]:
    if not content.chunks:
        data = inline_words(content, top=top)
        yield swapped(data, content.word) if swap and data else data
    for number, wanted in enumerate(content.chunks):
        size = content.chunk_bytes(number)
        load = partial(_load, store, wanted, content.word, size, swap=swap, top=top)
        yield Job(load, size, None if top else wanted)


def _load(
    store: ObjectStore, wanted: ObjectId, word: int, size: int, *, swap: bool, top: bool
) -> memoryview:
    data = load_words(store, wanted, word, size, top=top)
    return swapped(data, word) if swap else data

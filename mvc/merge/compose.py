"""A file with merged tensors: the bytes of one side's file, its tensors given from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from mvc.base import fileio
from mvc.base.dtypes import KNOWN
from mvc.base.errors import FormatError, IntegrityError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import swapped
from mvc.formats.base import Extent, Located, View
from mvc.formats.zip_checksums import Span, repairs
from mvc.merge.tensors import Merged
from mvc.merge.work import MEMORY, ahead
from mvc.objects.model import Checkpoint, Content, Layout, Placed
from mvc.repo.metadata import read_layout, read_tensor
from mvc.repo.tensors import Held
from mvc.repo.trees import tensors
from mvc.store.chunks import load_bytes
from mvc.store.object_store import ObjectStore

Given = Held | Merged
"""A tensor from elsewhere: another side's, or a merged one."""

_ZIP = b"PK\x03\x04"
_JOINED = 1 << 20
_HASHED = 4 << 20


@dataclass(frozen=True, slots=True)
class Composed:
    """What was written. `located` says where its tensors are, as the layout has it."""

    size: int
    sha256: bytes
    located: Located


@dataclass(frozen=True, slots=True)
class _Job:
    """Bytes to come, how many, and how much memory making them takes."""

    make: Callable[[], bytes | memoryview]
    size: int
    room: int = 0


def compose(
    store: ObjectStore,
    checkpoint: Checkpoint,
    given: Mapping[str, Given],
    staged: fileio.StagedFile,
    *,
    progress: Progress = SILENT,
) -> Composed:
    """Write a stored file with some of its tensors replaced to an empty staged file.

    Args:
        store: Where the file is.
        checkpoint: The file whose structure and literal bytes are taken.
        given: Tensors by name, of the dtype and shape that the file has them in; the others, and
            views of others, are those of the file. Views of a replaced tensor change with it.
        staged: Where to write; the caller seals or discards it.
        progress: Told the bytes as they are written; the caller starts and finishes it.

    Returns:
        The size and SHA-256, and where the tensors are. Checksums of a zip agree with its bytes.

    Raises:
        UsageError: A tensor is given that the file has not, or has in another dtype or shape.
        IntegrityError: Something stored is damaged.
    """
    plan = _Plan(store, checkpoint, given)
    sha256 = hashlib.sha256()
    for data in _made(plan.jobs(), plan.ahead):
        staged.write(data)
        sha256.update(data)
        progress.advance(len(data))
    if staged.size != checkpoint.size:
        raise IntegrityError(
            "a merged file does not have the size of its layout",
            hint="run `mvc fsck` to see what is damaged",
        )
    digest = sha256.digest()
    if plan.changed:
        with fileio.Reader(staged.path) as reader:
            if reader.size >= len(_ZIP) and reader.read_at(0, len(_ZIP)) == _ZIP:
                digest = _mended(reader, staged, plan.changed)
    return Composed(staged.size, digest, plan.located())


class _Plan:
    """The parts of a file in order."""

    def __init__(
        self, store: ObjectStore, checkpoint: Checkpoint, given: Mapping[str, Given]
    ) -> None:
        self._store = store
        self._format = checkpoint.format
        self._layout: Layout = read_layout(store, checkpoint.layout)
        self._given = given
        self._held = tensors(store, checkpoint.tensors)
        self._extents: list[Extent] = []
        self.changed: list[Span] = []
        for name in given:
            if name not in self._held:
                raise UsageError(f"the file has no tensor {name[:80]!r}")

    @property
    def ahead(self) -> int:
        """How many jobs may be under way at a time."""
        rooms = [new.room for new in self._given.values() if isinstance(new, Merged)]
        return ahead(max((room for room in rooms if room * 2 <= MEMORY), default=0))

    def jobs(self) -> Iterator[_Job]:
        at = 0
        for part in self._layout.extents:
            if not isinstance(part, Placed):
                yield from _content_jobs(self._store, part.content, swap=False)
                at += part.content.size
                continue
            entry = self._held.get(part.name)
            if entry is None:
                raise IntegrityError("a layout names a tensor that its checkpoint lacks")
            tensor = read_tensor(self._store, entry.id)
            size = tensor.content.size
            word = 1 if tensor.dtype in KNOWN else tensor.content.word
            self._extents.append(
                Extent(
                    part.name, tensor.dtype, tensor.shape, at, size,
                    part.big_endian, part.transposed, word,
                )
            )  # fmt: skip
            new = self._given.get(part.name)
            if new is None:
                yield from _content_jobs(self._store, tensor.content, swap=part.big_endian)
            else:
                mine = new.tensor if isinstance(new, Held) else new
                if (mine.dtype, mine.shape) != (tensor.dtype, tensor.shape):
                    raise UsageError(
                        f"tensor {part.name[:80]!r} has another dtype or shape in the file"
                    )
                self.changed.append((at, at + size))
                yield from _given_jobs(new, tensor.content.word, swap=part.big_endian)
            at += size

    def located(self) -> Located:
        views = tuple(
            View(view.name, view.source, view.shape, view.offset, view.strides)
            for view in self._layout.views
        )
        return Located(self._format, tuple(self._extents), views, self._layout.notes)


def _content_jobs(store: ObjectStore, content: Content, *, swap: bool) -> Iterator[_Job]:
    if not content.chunks:
        yield _Job(lambda: _turned(content.inline, content.word, swap=swap), content.size)
    for number, wanted in enumerate(content.chunks):
        size = content.chunk_bytes(number)
        yield _Job(partial(_stored, store, wanted, content.word, size, swap=swap), size)


def _stored(
    store: ObjectStore, wanted: ObjectId, word: int, size: int, *, swap: bool
) -> bytes | memoryview:
    return _turned(load_bytes(store, wanted, word, size), word, swap=swap)


def _given_jobs(new: Given, word: int, *, swap: bool) -> Iterator[_Job]:
    if isinstance(new, Held):
        for number in range(new.parts):
            load = partial(_loaded, new.load, number, word, swap=swap)
            yield _Job(load, new.part_bytes(number))
        return
    if new.count > 1:
        # Out here all threads share the passes over the whole tensor.
        new.prepare()
    step = new.step
    for number in range(new.count):
        size = min(step, new.size - number * step)
        yield _Job(partial(_loaded, new.part, number, word, swap=swap), size, new.room)


def _loaded(
    load: Callable[[int], bytes | memoryview], number: int, word: int, *, swap: bool
) -> bytes | memoryview:
    return _turned(load(number), word, swap=swap)


def _turned(data: bytes | memoryview, word: int, *, swap: bool) -> bytes | memoryview:
    return swapped(data, word) if swap and len(data) else data


def _made(jobs: Iterator[_Job], ahead: int) -> Iterator[bytes | memoryview]:
    """Yield the bytes of jobs in order, on all processors as far as memory allows.

    A job that takes much of it runs in this thread, alone with what it does on all processors.
    """

    def drawn() -> Iterator[_Job]:
        for job in jobs:
            yield _done(job) if job.room * 2 > MEMORY else job

    yield from ordered_map(lambda job: job.make(), drawn(), ahead=ahead)


def _done(job: _Job) -> _Job:
    data = job.make()
    return _Job(lambda: data, job.size)


def _mended(reader: fileio.Reader, staged: fileio.StagedFile, changed: list[Span]) -> bytes:
    """Bring the checksums inside a zip up to date; return the SHA-256 of the whole."""
    # What only looks like a zip has no checksums that a reader could find.
    with suppress(FormatError):
        for at, data in list(repairs(reader, changed)):
            staged.patch(at, data)
    sha256 = hashlib.sha256()
    for at in range(0, reader.size, _HASHED):
        sha256.update(reader.read_at(at, min(_HASHED, reader.size - at)))
    return sha256.digest()

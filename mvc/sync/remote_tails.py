"""Chunks whose lower bits are at a remote, asked for by id when they are needed (`give`)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from threading import Lock

from mvc.base import fileio
from mvc.base.errors import (
    FormatError,
    IntegrityError,
    LimitError,
    MissingObjectError,
    NetworkError,
    NotFoundError,
)
from mvc.base.ids import ObjectId
from mvc.base.parallel import in_place
from mvc.codec.segments import Segments
from mvc.repo.repository import Repository
from mvc.store.copies import decoded, verified
from mvc.sync.limits import MAX_BASES, MAX_PART, PART_BYTES
from mvc.sync.link import Link
from mvc.sync.listing import listed
from mvc.sync.messages import Asked, GiveReply, GiveRequest
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Quarantine

ROOM = 64 << 20
"""Bytes of chunks that wait for those who asked to have them together."""
GIVEN_UP_SECONDS = 30.0
"""How long a remote that could not be reached is not asked again."""

Group = tuple[ObjectId, ...]


class RemoteTails:
    """A source of whole chunks (mvc.store.tails.TailSource). Safe from several threads.

    `opened` returns a link, which is closed with what it entered; `likely` are versions of the
    remote that probably lead to what will be asked for.
    """

    def __init__(
        self,
        repo: Repository,
        opened: Callable[[ExitStack], Link],
        likely: Sequence[ObjectId] = (),
    ) -> None:
        self._repo = repo
        self._opened = opened
        self._stack = ExitStack()
        self._link: Link | None = None
        self._likely = tuple(dict.fromkeys(likely))[:MAX_BASES]
        self._groups: list[Group] | None = None
        self._found: OrderedDict[ObjectId, Segments] = OrderedDict()
        self._failure: tuple[float, NetworkError] | None = None
        self._guard = Lock()

    def segments(self, wanted: ObjectId) -> Segments:
        """See TailSource."""
        with self._guard:
            if wanted not in self._found:
                self._bring([wanted])
            return self._found[wanted]

    def fetch(self, wanted: Iterable[ObjectId]) -> None:
        """See TailSource: as many as there is room for."""
        with self._guard:
            missing = [item for item in dict.fromkeys(wanted) if item not in self._found]
            for batch in self._batches(missing):
                self._bring(batch)

    def close(self) -> None:
        """See TailSource."""
        with self._guard:
            self._link = None
            self._stack.close()

    def _batches(self, wanted: Iterable[ObjectId]) -> Iterator[list[ObjectId]]:
        """Yield runs of chunks that make a part of ordinary size, together no more than ROOM."""
        run: list[ObjectId] = []
        size = total = 0
        for item in wanted:
            length = self._raw(item)
            if run and size + length > PART_BYTES:
                yield run
                run, size = [], 0
            if total + length > ROOM:
                break
            run.append(item)
            size, total = size + length, total + length
        if run:
            yield run

    def _raw(self, wanted: ObjectId) -> int:
        _, entry = self._repo.store.chunk_entry(wanted)
        return entry.word * entry.words

    def _bring(self, wanted: Sequence[ObjectId]) -> None:
        """Have chunks given, each alone, and keep them as the latest."""
        if self._failure is not None and time.monotonic() - self._failure[0] < GIVEN_UP_SECONDS:
            raise self._failure[1]
        try:
            # All workers may be waiting for what is being brought.
            with in_place():
                found = self._asked(wanted)
        except NetworkError as error:
            self._failure = time.monotonic(), error
            raise
        self._found.update(found)
        size = sum(map(_size, self._found.values()))
        while size > ROOM and len(self._found) > len(wanted):
            _, dropped = self._found.popitem(last=False)
            size -= _size(dropped)

    def _asked(self, wanted: Sequence[ObjectId]) -> dict[ObjectId, Segments]:
        asked = tuple(Asked(item, None) for item in wanted)
        problem: NotFoundError | None = None
        for group in self._candidates():
            try:
                return self._given(GiveRequest(group, asked))
            except NotFoundError as error:
                problem = error
        raise MissingObjectError(
            f"chunk {wanted[0].hex()[:12]} is in no version that may be read there"
        ) from problem

    def _candidates(self) -> Iterator[Group]:
        """Yield versions of which some must lead to what is asked for, as far as it is there."""
        if self._likely and self._groups is None:
            yield self._likely
        if self._groups is None:
            targets = list(dict.fromkeys(listed(self._open()).refs.values()))
            self._groups = [
                tuple(targets[at : at + MAX_BASES]) for at in range(0, len(targets), MAX_BASES)
            ]
        yield from self._groups

    def _open(self) -> Link:
        if self._link is None:
            self._link = self._opened(self._stack)
        return self._link

    def _given(self, request: GiveRequest) -> dict[ObjectId, Segments]:
        answer = self._open().ask(request)
        given = answer.reply
        assert isinstance(given, GiveReply)  # noqa: S101
        if given.head + given.tail > MAX_PART:
            raise LimitError("the server gives a part that is too large")
        fileio.reap(self._repo.scratch)
        with (
            fileio.Workspace(self._repo.scratch) as workspace,
            closing(Quarantine(workspace.path, reserve=0)) as held,
        ):
            held.take(given, iter(answer.body))
            with closing(Parts(held, [given.name])) as parts:
                return {item.id: _chunk(parts, item.id) for item in request.objects}


def _chunk(parts: Parts, wanted: ObjectId) -> Segments:
    """Return a chunk that stands on nothing from parts, verified against its id."""
    record = parts.records.get(wanted)
    if record is None or record.entry.references:
        raise IntegrityError(f"chunk {wanted.hex()[:12]} was not given as it was asked for")
    entry = record.entry
    try:
        sections = record.reader.sections(entry, len(entry.sections))
        return verified(entry, decoded(parts.store, entry, sections, None))
    except FormatError as error:
        raise IntegrityError(f"chunk {wanted.hex()[:12]} is damaged: {error.message}") from error


def _size(segments: Segments) -> int:
    return sum(part.nbytes for part in segments)

"""What versions lead to of what was sent, verified before anything of it joins.

Nothing that a peer says is believed: the walk is done here, every chunk is decoded and compared
with its id, and what was neither sent nor counts is missing, whether it is here or not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass

from mvc.base.errors import FormatError, IntegrityError, MissingObjectError, MvcError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import Segments
from mvc.objects.history import Commit
from mvc.objects.model import Checkpoint
from mvc.repo.repository import Repository
from mvc.store.copies import decoded, verified
from mvc.store.decode import load
from mvc.store.directory import MAX_DEPTH
from mvc.sync.closure import FILES, TENSORS, Found, below
from mvc.sync.counted import Counted, missing
from mvc.sync.parts import Parts
from mvc.sync.tree_names import TreeNames

ROOM = 32 << 20
"""Bytes of decoded chunks that each processor keeps for those that stand on them."""
ALONE = 1 << 30
"""Bytes of chunks of one part that are decoded before an update asks for it."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is to join: metadata with holders first, chunks with bases first; and all commits."""

    objects: tuple[Found, ...]
    chunks: tuple[ObjectId, ...]
    commits: tuple[ObjectId, ...]


class Incoming:
    """Objects that were sent, beside those that count. See mvc.sync.closure.Objects for `read`.

    `sound` tells which chunks of a part have been verified already.
    """

    def __init__(
        self,
        repo: Repository,
        parts: Parts,
        counted: Counted,
        sound: Callable[[ObjectId], Container[ObjectId]] = lambda _: (),
    ) -> None:
        self._repo = repo
        self.parts = parts
        self._counted = counted
        self._sound = sound
        # Commits whose parents need not be there.
        self.ends: frozenset[ObjectId] = repo.shallow.commits()
        self._names = TreeNames(self)

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """Return canonical bytes from a part, else from the repository if the object counts."""
        if self.parts.kind(wanted) is not None:
            return self.parts.read(wanted, kind)
        return self._counted.read(wanted, kind)

    def kind(self, wanted: ObjectId) -> str | None:
        """Return the kind of an object that was sent or counts."""
        found = self.parts.kind(wanted)
        if found is None and self._counted.has(wanted):
            found = self._repo.store.index.kind(wanted)
        return found

    def arrivals(self, starts: Iterable[Found], progress: Progress = SILENT) -> Arrivals:
        """Return what of the parts has to join for versions to be complete, all of it verified.

        Raises MissingObjectError, IntegrityError, FormatError, LimitError.
        """
        reached = self._reached(starts)
        wanted = {item.id for item in reached if item.kind == "chunk" and self._is_new(item)}
        chunks = self._ordered(wanted)
        self._check_chunks(chunks, progress)
        objects = {item.id: item for item in reached if item.kind != "chunk"}
        return Arrivals(
            tuple(item for item in objects.values() if self.parts.kind(item.id) is not None),
            tuple(chunks),
            tuple(item.id for item in objects.values() if item.kind == "commit"),
        )

    def sound_alone(self) -> frozenset[ObjectId]:
        """Return the chunks that have the bytes that their ids say, of those that can be decoded.

        Chunks that are not whole, that stand on what is neither sent nor counts, or that come
        after much else are left out.
        """
        able: dict[ObjectId, None] = {}
        left = ALONE
        for item, record in self.parts.records.items():
            left -= record.raw
            below = record.entry.references
            if left >= 0 and all(one in able or self._counted.has_chunk(one) for one in below):
                able[item] = None
        found: set[ObjectId] = set()
        for sound in ordered_map(self._sound_ones, self._groups(able)):
            found.update(sound)
        return frozenset(found)

    def _sound_ones(self, group: list[ObjectId]) -> list[ObjectId]:
        held = _Held()
        found = []
        for item in group:
            with suppress(MvcError):
                self._decoded(item, held)
                found.append(item)
        return found

    def segments(self, wanted: ObjectId) -> Segments:
        """Return a chunk that was sent, verified against its id."""
        return self._decoded(wanted, _Held())

    def _reached(self, starts: Iterable[Found]) -> list[Found]:
        """Return all that versions lead to and what counts does not lead to, names checked."""
        seen: dict[Found, None] = {}
        pending = list(starts)
        while pending:
            item = pending.pop()
            if item in seen or self._counted.leads_to(item):
                continue
            seen[item] = None
            if item.kind != "chunk":
                parents = item.id not in self.ends
                pending.extend(reversed(below(self, item, parents=parents)))
            self._check_names(item)
        return list(seen)

    def _check_names(self, item: Found) -> None:
        if item.kind == "commit":
            self._names.check(Commit.decode(self.read(item.id, "commit")).tree, FILES)
        elif item.kind == "checkpoint":
            found = Checkpoint.decode(self.read(item.id, "checkpoint"))
            self._names.check(found.tensors, TENSORS)

    def _is_new(self, item: Found) -> bool:
        """Tell whether a chunk has to join; it must be one of the size that is expected."""
        here = self._counted.has_chunk(item.id)
        if here:
            _, entry = self._repo.store.chunk_entry(item.id)
        elif item.id in self.parts.records:
            entry = self.parts.records[item.id].entry
        else:
            raise missing(item.id)
        if (entry.word, entry.word * entry.words) != (item.word, item.size):
            raise IntegrityError(
                f"chunk {item.id.hex()[:12]} has another size than what it is part of"
            )
        return not here

    def _ordered(self, wanted: set[ObjectId]) -> list[ObjectId]:
        """Return chunks and those sent ones that they stand on, as they came, bases first."""
        depths: dict[ObjectId, int] = {}
        under_way: set[ObjectId] = set()
        for start in [item for item in self.parts.records if item in wanted]:
            stack = [start]
            while stack:
                item = stack[-1]
                if item in depths:
                    stack.pop()
                    continue
                references = self._sent_references(item)
                open_ = [other for other in references if other not in depths]
                if item not in under_way:
                    under_way.add(item)
                    if any(other in under_way for other in open_):
                        raise IntegrityError("chunks were sent as deltas against each other")
                    stack.extend(open_)
                if not open_:
                    depths[item] = 1 + max((depths[other] for other in references), default=-1)
                    if depths[item] > MAX_DEPTH:
                        raise IntegrityError(f"a chain of more than {MAX_DEPTH} deltas was sent")
        return list(depths)

    def _sent_references(self, item: ObjectId) -> list[ObjectId]:
        """Return the chunks that a record needs and that are not in the repository for sure."""
        found = []
        for other in self.parts.records[item].entry.references:
            if self._counted.has_chunk(other):
                continue
            if other not in self.parts.records:
                raise IntegrityError(
                    f"chunk {item.hex()[:12]} was sent as a delta against what was not sent"
                )
            found.append(other)
        return found

    def _check_chunks(self, chunks: list[ObjectId], progress: Progress) -> None:
        """Decode chunks that were not decoded before."""
        parts = {part: self._sound(part) for part in self.parts.packs}
        left = []
        for item in chunks:
            part = self.parts.part(item)
            if part is None or item not in parts[part]:
                left.append(item)
        progress.start("checking chunks", sum(self.parts.records[item].raw for item in left))
        for done in ordered_map(self._check_group, self._groups(left)):
            progress.advance(done)
        progress.finish()

    def _groups(self, chunks: Iterable[ObjectId]) -> Iterable[list[ObjectId]]:
        """Return chunks so that one processor decodes those that stand on each other."""
        groups: dict[ObjectId, list[ObjectId]] = {}
        starts: dict[ObjectId, ObjectId] = {}
        for item in chunks:
            base = self.parts.records[item].entry.base
            starts[item] = item if base is None else starts.get(base, base)
            groups.setdefault(starts[item], []).append(item)
        return groups.values()

    def _check_group(self, group: list[ObjectId]) -> int:
        held = _Held()
        for item in group:
            self._decoded(item, held)
        return sum(self.parts.records[item].raw for item in group)

    def _decoded(self, wanted: ObjectId, held: _Held) -> Segments:
        """Decode a chunk by the record that was sent, along bases from the nearest at hand."""
        chain = [wanted]
        segments: Segments | None = None
        # Not the chunk itself: that it is here, too, says nothing of the record.
        following = self.parts.records[wanted].entry.base
        while following is not None:
            segments = held.get(following)
            if segments is None and self._from_store(following):
                segments = load(self._repo.store, following)
                held.put(following, segments)
            if segments is not None:
                break
            chain.append(following)
            following = self.parts.records[following].entry.base
        for item in reversed(chain):
            segments = self._one(item, segments)
            held.put(item, segments)
        assert segments is not None  # noqa: S101
        return segments

    def _from_store(self, item: ObjectId) -> bool:
        return item not in self.parts.records or self._counted.has_chunk(item)

    def _one(self, item: ObjectId, base: Segments | None) -> Segments:
        reader, entry = self.parts.records[item]
        factors = entry.factors
        sent = factors is not None and not self._from_store(factors)
        try:
            sections = reader.sections(entry, len(entry.sections))
            store = self.parts.store if sent else self._repo.store
            return verified(entry, decoded(store, entry, sections, base))
        except FormatError as error:
            raise IntegrityError(f"chunk {item.hex()[:12]} is damaged: {error.message}") from error


class _Held:
    """The chunks that were decoded last, up to ROOM bytes and at least one."""

    def __init__(self) -> None:
        self._found: OrderedDict[ObjectId, Segments] = OrderedDict()
        self._bytes = 0

    def get(self, item: ObjectId) -> Segments | None:
        found = self._found.get(item)
        if found is not None:
            self._found.move_to_end(item)
        return found

    def put(self, item: ObjectId, segments: Segments) -> None:
        before = self._found.pop(item, None)
        self._bytes -= _size(before) if before else 0
        self._found[item] = segments
        self._bytes += _size(segments)
        while self._bytes > ROOM and len(self._found) > 1:
            _, dropped = self._found.popitem(last=False)
            self._bytes -= _size(dropped)


def _size(segments: Segments) -> int:
    return sum(part.nbytes for part in segments)


def is_damage(error: MvcError) -> bool:
    """Tell whether parts are of no use any more: sending what is missing would not help."""
    return isinstance(error, (IntegrityError, FormatError)) and not isinstance(
        error, MissingObjectError
    )

"""Lower bits that stayed at a remote come here, each verified, beside the tops that were here.

Records come as the remote has them, which takes no more bytes than a fetch without heads would.
Where they make up the very pack whose head is here, that has a tail again; else the packs without
tails go afterwards (mvc.ops.complete).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from mvc.base.errors import MissingObjectError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import join as words_of
from mvc.repo.repository import Repository
from mvc.storage import keys
from mvc.store.chunks import record
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.locks import pinned
from mvc.store.object_store import ObjectStore
from mvc.store.rewrite import Rewriter
from mvc.store.tail_packs import lower_chunks, words_as_coded
from mvc.sync.counted import Counted
from mvc.sync.fetch import Filter, given, plan_of
from mvc.sync.incoming import Incoming
from mvc.sync.joining import damage_dropped, joining
from mvc.sync.link import Link
from mvc.sync.messages import GiveRequest, Planned
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Quarantine
from mvc.sync.transfer import Sums


def lacking(repo: Repository, source: str) -> set[ObjectId]:
    """Return the chunks of packs listed to be at a source of which no record here is whole."""
    repo.store.refresh()
    sizes = {item.key: item.size for item in repo.storage.list(keys.PACKS)}
    found: set[ObjectId] = set()
    for name, where in tailless(repo).items():
        if where == source:
            head = sizes[keys.pack_head(name)]
            found.update(entry.id for entry in lower_chunks(repo.storage, name, head))
    whole = Whole(repo)
    return {item for item in found if not whole.has_chunk(item)}


def tailless(repo: Repository) -> dict[str, str]:
    """Return the packs that are here and listed to be elsewhere, without those with a tail."""
    there = {item.key for item in repo.storage.list(keys.PACKS)}
    return {
        name: where
        for name, where in repo.offloaded.packs().items()
        if keys.pack_head(name) in there and keys.pack_tail(name) not in there
    }


class Whole(Counted):
    """What is here with all its bits."""

    def __init__(self, repo: Repository) -> None:
        super().__init__(repo, (), whole=True)
        self._store = repo.store
        self._tailless = tailless(repo)

    def has_chunk(self, wanted: ObjectId) -> bool:
        """Tell whether a record of a chunk is here in full."""
        return next(self.records(wanted), None) is not None

    def records(self, wanted: ObjectId) -> Iterator[ChunkEntry]:
        """Yield the records of a chunk that are here in full."""
        for reader, entry in self._store.records(wanted):
            if len(entry.sections) == 1 or reader.name not in self._tailless:
                yield entry


@dataclass(frozen=True, slots=True)
class Completing:
    """One run; `held` is a quarantine of its own."""

    repo: Repository
    link: Link
    held: Quarantine
    part_bytes: int
    progress: Progress = SILENT

    def bring(self, wants: Sequence[ObjectId], wanted: set[ObjectId]) -> Sums:
        """Bring those chunks that are `wanted` of what versions of the remote lead to.

        They can be read when this returns. Raises what `mvc.sync.fetch.fetched` does.
        """
        how = Filter(paths=self.repo.chosen.patterns)
        needed = self._needed(plan_of(self.link, wants, (), how), wanted)
        missing = [item for item in needed if not self.held.holds(item.id)]
        request, sums = GiveRequest(tuple(wants), ()), Sums()
        given(self.link, request, missing, self.held, self.part_bytes, sums, progress=self.progress)
        names = self.held.parts()
        with pinned(self.repo.scratch), self.held.locked():
            self.repo.store.refresh()
            with damage_dropped(self.held, names), closing(Parts(self.held, names)) as parts:
                self._join(parts, {item.id for item in needed})
            self.held.drop(names)
        return sums

    def _needed(self, planned: Iterable[Planned], wanted: set[ObjectId]) -> list[Planned]:
        """Return the entries of wanted chunks, and of what they are to stand on and is not here."""
        chunks = {item.id: item for item in planned if item.kind == "chunk"}
        whole = Whole(self.repo)
        found: set[ObjectId] = set()
        pending = [item for item in chunks if item in wanted]
        while pending:
            item = pending.pop()
            if item not in found:
                found.add(item)
                base = chunks[item].base
                if base is not None and base in chunks and not whole.has_chunk(base):
                    pending.append(base)
        # Factors are named by no entry; those that are not here are few and small.
        store = self.repo.store
        factors = {item for item in chunks if item not in found and not store.has_chunk(item)}
        return [item for item in chunks.values() if item.id in found or item.id in factors]

    def _join(self, parts: Parts, wanted: set[ObjectId]) -> None:
        """Verify chunks and store them, whatever of them is here already."""
        incoming = _Sent(self.repo, parts, Whole(self.repo))
        chunks = incoming.verified(wanted, self.progress)
        with joining(self.repo), Rewriter(self.repo.store, self.repo.scratch) as writer:
            _Chunks(self.repo, incoming, writer).add(chunks)
            writer.publish()


class _Sent(Incoming):
    def verified(self, wanted: set[ObjectId], progress: Progress) -> list[ObjectId]:
        """Return chunks that were sent, bases first, having decoded each of them."""
        missing = wanted - self.parts.records.keys()
        if missing:
            raise MissingObjectError(f"chunk {min(missing).hex()[:12]} was not sent")
        chunks = self._ordered(wanted)
        self._check_chunks(chunks, progress)
        return chunks


class _Chunks:
    """Stores records beside those that are here, none deeper than these: others stand on them."""

    def __init__(self, repo: Repository, incoming: Incoming, writer: Rewriter) -> None:
        self._store: ObjectStore = repo.store
        self._whole = Whole(repo)
        self._incoming = incoming
        self._writer = writer
        self._depths: dict[ObjectId, int] = {}

    def add(self, chunks: Iterable[ObjectId]) -> None:
        """Take in chunks, bases before what stands on them."""
        for item in chunks:
            if self._whole.has_chunk(item):
                continue
            reader, entry = self._incoming.parts.records[item]
            depth = 1 + max(map(self._depth, entry.references), default=-1)
            if depth <= self._most(item):
                self._writer.copy(reader, entry, depth)
            else:
                depth = 0
                data = words_of(self._incoming.segments(item), entry.word)
                words = words_as_coded(reader, entry, data)
                self._writer.add(record(self._store, replace(words, bases=())))
            self._depths[item] = depth

    def _most(self, item: ObjectId) -> int:
        depths = [entry.depth for _, entry in self._store.records(item)]
        return min(depths, default=MAX_DEPTH)

    def _depth(self, item: ObjectId) -> int:
        if item in self._depths:
            return self._depths[item]
        return min(entry.depth for entry in self._whole.records(item))

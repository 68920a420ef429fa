"""Versions without the lower bits of their floats, which stay where they were fetched from.

Of most chunks the top section alone is given, and verified: an id covers the digest of each
segment. Words that must be exact, as integers, come whole (docs/precision.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

from mvc.base.dtypes import SEGMENTS, is_shortened
from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import Segments
from mvc.objects.model import Tensor
from mvc.repo.precision import expanded
from mvc.repo.repository import Repository
from mvc.repo.scope import Scope
from mvc.store.chunks import Words, record
from mvc.store.copies import decoded, verified
from mvc.store.decode import away, load_top
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.locks import pinned
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk
from mvc.store.rewrite import Rewriter
from mvc.sync.counted import Counted
from mvc.sync.depth import settle
from mvc.sync.incoming import Arrivals, Incoming
from mvc.sync.joining import damage_dropped, join, joining, start
from mvc.sync.messages import Planned
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Quarantine

KEPT = 8
"""Top segments, of 2 MiB at most, that each processor keeps for those that stand on them."""


def exact_chunks(held: Quarantine, planned: Iterable[Planned]) -> set[ObjectId]:
    """Return the chunks that must come whole, as far as tensors in quarantine tell.

    All else has words of a byte, which have no lower bits. Raises FormatError where a tensor is
    malformed.
    """
    found: set[ObjectId] = set()
    for item in planned:
        if item.kind == "tensor":
            tensor = Tensor.decode(held.read(item.id, item.kind))
            if not is_shortened(tensor.dtype) and len(SEGMENTS[tensor.content.word]) > 1:
                found.update(tensor.content.chunks)
    return found


def with_whole_bases(
    store: ObjectStore, planned: Sequence[Planned], exact: set[ObjectId]
) -> list[Planned]:
    """Return the exact chunks of a plan, each against its base only if that is whole here.

    Sizes of a plan of heads say little of them.
    """
    found = []
    for item in planned:
        if item.id in exact:
            whole = item.base in exact or (
                item.base is not None
                and store.has_chunk(item.base)
                and away(store, item.base) is None
            )
            found.append(item._replace(base=item.base if whole else None, size=3 * item.size))
    return found


@contextmanager
def receive_heads(
    repo: Repository,
    held: Quarantine,
    wants: Iterable[ObjectId],
    haves: Iterable[ObjectId],
    source: str,
    progress: Progress = SILENT,
    ends: frozenset[ObjectId] | None = None,
    scope: Scope | None = None,
) -> Iterator[None]:
    """Let what was fetched join, as `mvc.sync.joining.receive` does.

    Packs without tails are listed to be at `source`, a remote.
    """
    names = held.parts()
    with pinned(repo.scratch), held.locked():
        repo.store.refresh()
        with damage_dropped(held, names), closing(Parts(held, names)) as sent:
            known = [item for item in haves if repo.store.index.kind(item) == "commit"]
            incoming = Tops(repo, sent, Counted(repo, known, whole=True))
            incoming.ends = incoming.ends if ends is None else ends
            starts = [start(incoming, item, scope) for item in wants]
            arrivals = incoming.arrivals(starts, progress)
            with joining(repo):
                _join(repo, incoming, arrivals, source, progress)
                if ends is not None:
                    settle(repo, ends, arrivals.commits)
        yield
        held.drop(names)


def _join(
    repo: Repository, incoming: Tops, arrivals: Arrivals, source: str, progress: Progress
) -> None:
    """Store what was verified: whole chunks, tops, which may stand on those, then what has them."""
    whole = tuple(item for item in arrivals.chunks if item not in incoming.tops)
    join(repo, incoming, Arrivals((), whole, ()), progress)
    _TopChunks(repo, incoming, source).add(
        [item for item in arrivals.chunks if item in incoming.tops]
    )
    join(repo, incoming, replace(arrivals, chunks=()), progress)


class Tops(Incoming):
    """Objects that were sent, of some chunks the top segments alone: those in `tops`."""

    def __init__(self, repo: Repository, parts: Parts, counted: Counted) -> None:
        super().__init__(repo, parts, counted)
        self.tops: set[ObjectId] = set()

    def top(self, wanted: ObjectId) -> Segments:
        """Return the top segment of a chunk that was sent, verified against its id."""
        return self._top(wanted, {})

    def _check_chunks(self, chunks: list[ObjectId], progress: Progress) -> None:
        for item in chunks:
            if self._lacks_bits(item):
                self.tops.add(item)
        super()._check_chunks(chunks, progress)

    def _lacks_bits(self, item: ObjectId) -> bool:
        """Tell whether a chunk, or what it stands on, is not there whole."""
        reader, entry = self.parts.records[item]
        if len(entry.sections) == 1:
            return False
        if not self.parts.has_tail(reader.name):
            return True
        base = entry.base
        if base is None or base in self.tops:
            return base is not None
        return self._from_store(base) and away(self._repo.store, base) is not None

    def _check_group(self, group: list[ObjectId]) -> int:
        super()._check_group([item for item in group if item not in self.tops])
        known: dict[ObjectId, Segments] = {}
        for item in group:
            if item in self.tops:
                known[item] = self._top(item, known)
                if len(known) > KEPT:
                    known.pop(next(iter(known)))
        return sum(self.parts.records[item].raw for item in group)

    def _top(self, wanted: ObjectId, known: dict[ObjectId, Segments]) -> Segments:
        """Decode a top segment along its bases, from the nearest that is known or here."""
        chain: list[ObjectId] = []
        segments: Segments | None = None
        following: ObjectId | None = wanted
        while following is not None and segments is None:
            if following in known:
                segments = known[following]
            elif self._from_store(following):
                segments = load_top(self._repo.store, following)
            else:
                chain.append(following)
                following = self.parts.records[following].entry.base
        for item in reversed(chain):
            segments = self._one_top(item, segments)
        if segments is None:
            raise IntegrityError(f"chunk {wanted.hex()[:12]} was not sent")
        return segments

    def _one_top(self, item: ObjectId, base: Segments | None) -> Segments:
        reader, entry = self.parts.records[item]
        sent = entry.factors is not None and not self._from_store(entry.factors)
        store = self.parts.store if sent else self._repo.store
        try:
            return verified(entry, decoded(store, entry, reader.sections(entry, 1), base))
        except FormatError as error:
            raise IntegrityError(f"chunk {item.hex()[:12]} is damaged: {error.message}") from error


class _TopChunks:
    """Stores top sections in packs whose tails are listed to be elsewhere."""

    def __init__(self, repo: Repository, incoming: Tops, source: str) -> None:
        self._repo = repo
        self._incoming = incoming
        self._source = source
        self._depths: dict[ObjectId, int] = {}

    def add(self, chunks: Iterable[ObjectId]) -> None:
        """Take in chunks that the store lacks, bases before what stands on them."""
        store, offloaded = self._repo.store, self._repo.offloaded
        with Rewriter(
            store, self._repo.scratch, away=lambda name: offloaded.add([name], self._source)
        ) as writer:
            for item in chunks:
                if not store.has_chunk(item):
                    self._add(item, writer)
            writer.publish()

    def _add(self, item: ObjectId, writer: Rewriter) -> None:
        reader, entry = self._incoming.parts.records[item]
        depth = 1 + max(map(self._depth, entry.references), default=-1)
        if depth <= MAX_DEPTH:
            writer.copy(reader, entry, depth)
        else:
            depth = 0
            writer.add_top(self._alone(entry), entry.sections[1:])
        self._depths[item] = depth

    def _depth(self, item: ObjectId) -> int:
        found = self._depths.get(item)
        return self._repo.store.chunk_entry(item)[1].depth if found is None else found

    def _alone(self, entry: ChunkEntry) -> NewChunk:
        """Return a record of a top segment whose chain has become too long.

        What is not there counts as zeros: it is never read from this pack.
        """
        (top,) = self._incoming.top(entry.id)
        data = expanded(top, entry.word)
        coded = record(self._repo.store, Words(data, entry.word, "float"))
        digests = (b"", *(part.digest for part in entry.sections[1:]))
        return replace(coded, id=entry.id, sections=coded.sections[:1], digests=digests)

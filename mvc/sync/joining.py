"""Objects from quarantine join a repository, each once (docs/protocol.md, "update")."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import closing, contextmanager

from mvc.base import fileio
from mvc.base.dtypes import Family
from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import join as words_of
from mvc.codec.transform import Transform
from mvc.repo.repository import Repository
from mvc.repo.scope import Scope
from mvc.store.block import Item
from mvc.store.chunks import Words, record
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.locks import pinned
from mvc.store.pack import NewChunk
from mvc.store.rewrite import Rewriter
from mvc.sync.adopting import Adopter
from mvc.sync.closure import Found
from mvc.sync.counted import Counted, missing
from mvc.sync.depth import settle
from mvc.sync.incoming import Arrivals, Incoming, is_damage
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Quarantine


@contextmanager
def receive(
    repo: Repository,
    held: Quarantine,
    parts: Iterable[ObjectId],
    wants: Iterable[ObjectId],
    haves: Iterable[ObjectId] = (),
    progress: Progress = SILENT,
    sound: Callable[[ObjectId], Container[ObjectId]] = lambda _: (),
    ends: frozenset[ObjectId] | None = None,
    scope: Scope | None = None,
) -> Iterator[None]:
    """Let what fetched commits and annotated tags lead to join; refs are to move inside.

    `haves` are commits that this repository has completely; `sound` tells which chunks of a part
    were verified before, see Incoming. With `ends` history ends there; then there are no `haves`.
    Of the files those in the scope must be there. Nothing can be removed from the repository
    before the block ends; the parts are dropped when it ends without an error. Raises
    MissingObjectError where something was neither sent nor there before, IntegrityError,
    FormatError or LimitError where what was sent is not what it claims; nothing has joined then,
    and the parts are dropped in the latter cases, so that the next try starts anew.
    """
    names = list(parts)
    with pinned(repo.scratch), held.locked():
        repo.store.refresh()
        with damage_dropped(held, names), closing(Parts(held, names)) as sent:
            known = [item for item in haves if repo.store.index.kind(item) == "commit"]
            incoming = Incoming(repo, sent, Counted(repo, known, whole=True), sound)
            incoming.ends = incoming.ends if ends is None else ends
            starts = [start(incoming, item, scope) for item in wants]
            arrivals = incoming.arrivals(starts, progress)
            with joining(repo):
                join(repo, incoming, arrivals, progress)
                if ends is not None:
                    settle(repo, ends, arrivals.commits)
        yield
        held.drop(names)


def start(incoming: Incoming, wanted: ObjectId, scope: Scope | None) -> Found:
    """Return a commit or an annotated tag as the start of a walk, or raise MissingObjectError."""
    kind = incoming.kind(wanted)
    if kind is None:
        raise missing(wanted)
    return Found(wanted, "tag" if kind == "tag" else "commit", scope=scope)


@contextmanager
def damage_dropped(held: Quarantine, parts: Iterable[ObjectId]) -> Iterator[None]:
    """Drop parts that turn out to be damaged inside: else nobody would send them again."""
    try:
        yield
    except MvcError as error:
        if is_damage(error):
            held.drop(parts)
        raise


@contextmanager
def joining(repo: Repository) -> Iterator[None]:
    """Be the only one whose objects join and whose refs move for it, so each is stored once."""
    with fileio.locked(repo.folder / "locks" / "joining"):
        repo.store.refresh()
        yield


def join(
    repo: Repository, incoming: Incoming, arrivals: Arrivals, progress: Progress = SILENT
) -> None:
    """Store verified objects that the repository lacks, durably; call inside `joining`.

    Objects become readable pack by pack, bases before what stands on them. Parts that can be packs
    become some; what is in others is copied.
    """
    wanted = [*arrivals.chunks, *(item.id for item in arrivals.objects)]
    Adopter(repo, incoming.parts, wanted).run()
    with Rewriter(repo.store, repo.scratch) as writer:
        _Chunks(repo, incoming, writer).add(arrivals.chunks, progress)
        # What others refer to goes first: a block leaves out ids that stand before it.
        for item in reversed(arrivals.objects):
            if item.id not in writer.written and not repo.store.contains(item.id):
                kind = item.stored_kind
                writer.put(Item(item.id, kind, incoming.parts.read(item.id, kind)))
        writer.publish()


class _Chunks:
    """Copies records as they were sent, each at its depth in this store."""

    def __init__(self, repo: Repository, incoming: Incoming, writer: Rewriter) -> None:
        self._store = repo.store
        self._incoming = incoming
        self._writer = writer
        self._depths: dict[ObjectId, int] = {}

    def add(self, chunks: Iterable[ObjectId], progress: Progress) -> None:
        """Take in chunks that the store lacks, bases before what stands on them."""
        left = [item for item in chunks if not self._store.has_chunk(item)]
        progress.start("storing", sum(self._raw(item) for item in left))
        while left:
            later = self._round(left)
            progress.advance(sum(map(self._raw, left)) - sum(map(self._raw, later)))
            left = later
            if left:
                self._writer.publish()
        progress.finish()

    def _round(self, chunks: list[ObjectId]) -> list[ObjectId]:
        """Take in what can be, and return what must wait until the rest can be read."""
        fresh: set[ObjectId] = set()
        later: dict[ObjectId, None] = {}
        for item in chunks:
            reader, entry = self._incoming.parts.records[item]
            if any(other in later for other in entry.references):
                later[item] = None
                continue
            depth = 1 + max(map(self._depth, entry.references), default=-1)
            if depth <= MAX_DEPTH:
                self._writer.copy(reader, entry, depth)
            elif fresh.isdisjoint(entry.references):
                new = self._anew(entry)
                depth = new.depth
                self._writer.add(new)
            else:
                later[item] = None
                continue
            self._depths[item] = depth
            fresh.add(item)
        return list(later)

    def _depth(self, item: ObjectId) -> int:
        found = self._depths.get(item)
        return self._store.chunk_entry(item)[1].depth if found is None else found

    def _anew(self, entry: ChunkEntry) -> NewChunk:
        """Return a record for a chunk whose chain has become too long."""
        data = words_of(self._incoming.segments(entry.id), entry.word)
        bases = () if entry.base is None else (entry.base,)
        return record(self._store, Words(data, entry.word, _family(entry), bases))

    def _raw(self, item: ObjectId) -> int:
        return self._incoming.parts.records[item].raw


def _family(entry: ChunkEntry) -> Family:
    """Return what a chunk's words seem to be; it decides how they are coded, not whether."""
    if entry.transform in (Transform.ROTATED, Transform.FLOAT_DELTA, Transform.LOW_RANK):
        return "float"
    return "int"

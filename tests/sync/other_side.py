"""The other side of an exchange, as simple as can be: parts become packs of a store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mvc.base import fileio
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.storage import keys
from mvc.storage.memory import MemoryStorage
from mvc.store.decode import load, load_top
from mvc.store.directory import BlockEntry, ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk, PackWriter
from mvc.store.pack_reader import open_pack, parse, read_rows
from mvc.store.tails import OffloadingStorage
from mvc.sync.closure import Found, walk
from mvc.sync.limits import MAX_PIECE, PART_BYTES
from mvc.sync.messages import Asked, Planned
from mvc.sync.outgoing import Part, make_part
from mvc.sync.plan import batches, held_by, objects_to_send, plan, versions_between


class OtherSide:
    """A store that knows nothing but the parts it was given.

    With `heads` parts stay as they are, so one must hold all; else depths are made to fit.
    """

    def __init__(self, folder: Path, *, heads: bool = False) -> None:
        self.folder = folder
        self.heads = heads
        self.packs: list[str] = []
        self.bytes = 0
        self.parts = MemoryStorage()
        self._away = OffloadingStorage(self.parts, lambda: dict.fromkeys(self.packs, "away"))
        self.memory = MemoryStorage()
        self.store = ObjectStore(self._away if heads else self.memory, None)

    def take(self, part: Part) -> None:
        pieces = [*part.body()]
        assert all(0 < len(piece) <= MAX_PIECE for piece in pieces)
        data = b"".join(pieces)
        assert len(data) == part.head + part.tail
        name = part.name.hex()
        self.packs.append(name)
        if part.tail:
            self.parts.write_new(keys.pack_tail(name), data[part.head :])
        self.parts.write_new(keys.pack_head(name), data[: part.head])
        read_rows(self._away if self.heads else self.parts, name, part.head)
        self.bytes += len(data)
        if not self.heads:
            self._join(name, part.head)
        self.store.refresh()
        assert not self.store.damaged

    def _join(self, name: str, size: int) -> None:
        reader, directory = open_pack(self.parts, name, size)
        depths: dict[ObjectId, int] = {}
        with fileio.Workspace(self.folder) as workspace:
            writer = PackWriter(workspace)
            for _, entry in parse(directory, whole=True):
                if isinstance(entry, BlockEntry):
                    for item in reader.items(entry):
                        writer.add_object(item)
                    continue
                below = [depths.get(item, self._depth(item)) for item in entry.references]
                depths[entry.id] = max((depth + 1 for depth in below), default=0)
                sections = reader.sections(entry, len(entry.sections))
                digests = tuple(part.digest for part in entry.sections)
                about = (entry.id, entry.word, entry.words, entry.transform, entry.base)
                writer.add_chunk(
                    NewChunk(*about, depths[entry.id], sections, digests, entry.factors)
                )
            writer.publish(self.memory)

    def _depth(self, base: ObjectId) -> int:
        return self.store.chunk_entry(base)[1].depth if self.store.contains(base) else 0

    def send(
        self,
        repo: Repository,
        new: Iterable[ObjectId],
        theirs: Iterable[ObjectId] = (),
        part_bytes: int = PART_BYTES,
    ) -> list[list[Planned]]:
        """Let a repository send versions; return what each part was planned to hold."""
        versions, boundary = versions_between(repo, new, theirs)
        wanted = objects_to_send(repo, versions, boundary)
        held = held_by(repo, boundary)
        planned = plan(repo, wanted, held.__contains__, heads=self.heads)
        return self.fetch(repo, batches(planned, part_bytes))

    def fetch(self, repo: Repository, runs: Iterable[list[Planned]]) -> list[list[Planned]]:
        done = [*runs]
        for run in done:
            asked = [Asked(item.id, item.base) for item in run]
            with make_part(repo, asked, repo.scratch, heads=self.heads) as part:
                self.take(part)
        return done

    def check(self, starts: Iterable[ObjectId]) -> int:
        """Fail unless all that commits lead to is here, and whole; return how many chunks."""
        read = load_top if self.heads else load
        chunks = 0
        for item in walk(self.store, [Found(start, "commit") for start in starts]):
            if item.kind == "chunk":
                segments = read(self.store, item.id)
                width = min(item.word, 2) if self.heads else item.word
                assert sum(part.itemsize for part in segments) == width
                chunks += 1
        return chunks

    def records(self) -> dict[ObjectId, tuple[ObjectId, ...]]:
        """Return what the record of each chunk stands on."""
        found = {}
        for name in self.packs:
            size = len(self.parts.read(keys.pack_head(name)))
            _, directory = open_pack(self._away, name, size)
            for _, entry in parse(directory, whole=True):
                if isinstance(entry, ChunkEntry):
                    found[entry.id] = entry.references
        return found

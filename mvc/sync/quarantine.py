"""Where received packs lie until an update has used them (docs/protocol.md, "part").

A part is verified as far as it can be alone before it gets its name, so whatever has a name here
has a sound directory, whole sections and metadata with the ids that it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mvc.base import fileio
from mvc.base.errors import FormatError, LimitError, NotAllowedError, NotFoundError, StorageError
from mvc.base.ids import ObjectId, digest, parse_id
from mvc.storage import keys
from mvc.storage.local import LocalStorage
from mvc.store.object_store import ObjectStore
from mvc.store.rows import Written
from mvc.store.tails import HeadsStorage
from mvc.sync.inspect_part import inspect
from mvc.sync.limits import MAX_PART, QUARANTINE_DAYS
from mvc.sync.messages import GiveReply, PartRequest

if TYPE_CHECKING:
    from mvc.repo.repository import Repository

RESERVE_BYTES = 256 << 20
INCOMING = "incoming"
INDEX = "index.sqlite"
_DAY_NS = 86_400 * 10**9

Files = tuple[fileio.FileStat, fileio.FileStat | None]
"""The head and the tail of a part, as they were found."""


class Quarantine:
    """The parts that one asker has sent, or that one remote has given, below `folder`.

    `most` bytes are held at a time (None: no limit), and `reserve` bytes of the disk stay free.
    With `heads` parts may come without their tails.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most: int | None = None,
        reserve: int = RESERVE_BYTES,
        heads: bool = False,
    ) -> None:
        self.folder = folder
        self.heads = heads
        self._most = most
        self._reserve = reserve

    def take(self, part: PartRequest | GiveReply, body: Iterator[bytes]) -> None:
        """Make a part durable, once it is verified as far as it can be alone.

        Reads the body to its end. Raises FormatError, LimitError, IntegrityError, StorageError,
        and NotAllowedError where more would be held than is granted.
        """
        arrived = self.receive(part, body)
        if arrived is not None:
            self.settle(arrived)

    def receive(self, part: PartRequest | GiveReply, body: Iterator[bytes]) -> Arrived | None:
        """Take in a part that `settle` is to make durable; None where it is here already."""
        size = part.head + part.tail
        if size > MAX_PART:
            raise LimitError(f"a part of {size} bytes is above the limit of {MAX_PART}")
        if self.has(part.name):
            _drain(body, size)
            return None
        self._make_room(size)
        fileio.reap(self._scratch)
        arrived = Arrived(fileio.Workspace(self._scratch), part)
        try:
            arrived.write(body)
        except BaseException:
            arrived.close()
            raise
        return arrived

    def settle(self, arrived: Arrived) -> None:
        """Verify what was received, and make it durable; see `take`."""
        part = arrived.part
        try:
            away = self.heads and not part.tail
            found = HeadsStorage(arrived) if away else arrived
            written = inspect(found, part.name.hex(), part.head, part.tail, away=away)
            self._publish(arrived, written)
        finally:
            arrived.close()

    def files(self, part: ObjectId) -> Files | None:
        """Return what tells the files of a part from any others, None if it is not here."""
        names = (keys.pack_head(part.hex()), keys.pack_tail(part.hex()))
        head, tail = (fileio.stat_file(self.folder / name) for name in names)
        return None if head is None else (head, tail)

    def has(self, part: ObjectId) -> bool:
        """Tell whether a part is here."""
        return fileio.stat_file(self.folder / keys.pack_head(part.hex())) is not None

    def parts(self) -> list[ObjectId]:
        """Return the names of all parts that are here."""
        names = [keys.pack_of(f"{keys.PACKS}{name}") for name in fileio.names(self._packs)]
        return [parse_id(name) for name in names if name]

    def holds(self, wanted: ObjectId) -> bool:
        """Tell whether an object is in one of the parts."""
        return self._store.contains(wanted)

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """Return the bytes of a metadata object in one of the parts; see ObjectStore."""
        return self._store.read(wanted, kind)

    def drop(self, parts: Iterable[ObjectId]) -> None:
        """Remove parts; those that are not here are passed over."""
        names = [part.hex() for part in parts if self.has(part)]
        self._store.index.remove(names)
        for key in (keys.pack_head, keys.pack_tail):
            self._storage.delete_all([key(name) for name in names])

    def forget_old(self, days: int = QUARANTINE_DAYS) -> None:
        """Remove everything if nothing came for so many days.

        Never some of it: records may stand on those of parts that came earlier.
        """
        stats = [fileio.stat_file(self._packs / name) for name in fileio.names(self._packs)]
        newest = max((stat.mtime_ns for stat in stats if stat), default=None)
        if newest is None or not _is_old(newest, days):
            return
        with self.locked():
            self.drop(self.parts())
            # Tails whose heads never came.
            for name in fileio.names(self._packs):
                fileio.remove(self._packs / name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who uses parts while inside; others may add some."""
        with fileio.locked(self.folder / "locks" / "parts"):
            yield

    def close(self) -> None:
        """Release the files."""
        self._storage.close()
        if "_store" in self.__dict__:
            self._store.close()

    @cached_property
    def _storage(self) -> LocalStorage:
        return LocalStorage(self.folder)

    @cached_property
    def _store(self) -> ObjectStore:
        fileio.make_dirs(self.folder)
        storage = HeadsStorage(self._storage) if self.heads else self._storage
        # It finds what an asker need not send again, and is made anew where it is wrong.
        found = ObjectStore(storage, self.folder / INDEX, durable=False)
        found.refresh()
        return found

    @property
    def _packs(self) -> Path:
        return self.folder / "packs"

    @property
    def _scratch(self) -> Path:
        return self.folder / "tmp" / "parts"

    def _make_room(self, size: int) -> None:
        held = fileio.disk_bytes(self._packs) if self._most is not None else 0
        if self._most is not None and held + size > self._most:
            raise NotAllowedError(
                "more is waiting here than is granted",
                hint="update refs with what was sent, or wait until it is forgotten",
            )
        fileio.make_dirs(self.folder)
        if fileio.free_bytes(self.folder) - size < self._reserve:
            raise StorageError(
                "the disk is nearly full", hint="free some space where the repository is"
            )

    def _publish(self, staged: Arrived, written: Written) -> None:
        head, tail = staged.sealed()
        for key, path in (
            (keys.pack_tail(written.name), tail),
            (keys.pack_head(written.name), head),
        ):
            if path is not None:
                # A tail may be there whose head never came.
                self._storage.write_new(key, path)
        self._store.joined(written)


class Arrived(LocalStorage):
    """A part that has no name yet, as a storage to read it from."""

    def __init__(self, workspace: fileio.Workspace, part: PartRequest | GiveReply) -> None:
        super().__init__(workspace.path)
        self.part = part
        self._workspace = workspace
        self._announced = (part.head, part.tail)
        self._head = fileio.StagedFile(workspace.path)
        self._tail = fileio.StagedFile(workspace.path)
        self._files = {
            keys.pack_head(part.name.hex()): self._head.path,
            keys.pack_tail(part.name.hex()): self._tail.path,
        }

    def write(self, body: Iterator[bytes]) -> None:
        """Take in the head and the tail, which must have the lengths that were announced."""
        head, tail = self._announced
        for piece in body:
            view = memoryview(piece)
            cut = min(len(view), head - self._head.size)
            if len(view) - cut > tail - self._tail.size:
                raise LimitError("a part is longer than it was said to be")
            self._head.write(view[:cut])
            self._tail.write(view[cut:])
        if (self._head.size, self._tail.size) != self._announced:
            raise FormatError("a part is shorter than it was said to be")

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See Storage."""
        if keys.pack_of_tail(key) and not self._announced[1]:
            raise NotFoundError("the part has no tail")
        with fileio.Reader(self._files[key]) as reader:
            return reader.read_at(offset, length)

    def sealed(self) -> tuple[Path, Path | None]:
        """Make both files durable and return where they are; a tail of nothing is none."""
        tail = self._tail.seal() if self._tail.size else None
        return self._head.seal(), tail

    def close(self) -> None:
        """Remove the files."""
        self._head.discard()
        self._tail.discard()
        self._workspace.close()


def quarantine(
    repo: Repository,
    who: str,
    *,
    most: int | None = None,
    reserve: int = RESERVE_BYTES,
    heads: bool = False,
) -> Quarantine:
    """Return the quarantine of an asker, or on the fetching side that of a remote."""
    name = digest(who.encode("utf-8", "surrogatepass")).hex()[:32]
    return Quarantine(repo.folder / INCOMING / name, most=most, reserve=reserve, heads=heads)


def forget_old(repo: Repository, days: int = QUARANTINE_DAYS) -> None:
    """Remove every quarantine of a repository that nothing came to for so many days."""
    for name in fileio.names(repo.folder / INCOMING):
        folder = repo.folder / INCOMING / name
        held = Quarantine(folder)
        held.forget_old(days)
        held.close()
        index = fileio.stat_file(folder / INDEX)
        if not held.parts() and (index is None or _is_old(index.mtime_ns, days)):
            fileio.remove_tree(folder)


def _is_old(time_ns: int, days: int) -> bool:
    return fileio.now_ns() - time_ns >= days * _DAY_NS


def _drain(body: Iterator[bytes], most: int) -> None:
    for piece in body:
        most -= len(piece)
        if most < 0:
            raise LimitError("a part is longer than it was said to be")

"""Tails that are not here on purpose: which they are, who has their content, and how to read it.

A repository may give up the tails of packs whose chunks another one holds (`mvc offload`), or
never have had them (`mvc clone --precision 16`). The file `offloaded` lists them: a tail that is
missing without being listed is damage. What is asked of the other side are chunks by id, never
packs, so it may store them as it likes. The other side is a repository at an absolute path, or a
*remote*: by its name or its address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from mvc.base import fileio
from mvc.base.errors import (
    FormatError,
    IntegrityError,
    MvcError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    StorageError,
    TailAwayError,
    UsageError,
)
from mvc.base.ids import ObjectId, parse_id
from mvc.storage import keys
from mvc.storage.base import Listed, Storage, Swap

if TYPE_CHECKING:
    from mvc.codec.segments import Segments
    from mvc.store.object_store import ObjectStore

MAX_LISTING = 64 << 20


def is_remote(where: str) -> bool:
    """Tell whether a source is a remote, which is asked over a link, and not a path."""
    return not where.startswith("/")


class TailSource(Protocol):
    """Someone who holds chunks."""

    def segments(self, wanted: ObjectId) -> Segments:
        """Return a chunk verified against its id; IntegrityError, NotFoundError, NetworkError."""
        ...

    def fetch(self, wanted: Iterable[ObjectId]) -> None:
        """Bring chunks together that will be asked for one by one, where that is quicker."""
        ...

    def close(self) -> None:
        """Let go of the other side."""
        ...


class StoreSource:
    """A source that is the object store of another repository."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def segments(self, wanted: ObjectId) -> Segments:
        """See TailSource."""
        from mvc.store.decode import load

        return load(self.store, wanted)

    def fetch(self, wanted: Iterable[ObjectId]) -> None:
        """See TailSource: it is all at hand."""

    def close(self) -> None:
        """See TailSource: who opened the store closes it."""


class Offloaded:
    """The list of packs whose tails are elsewhere: in `path`, a line of JSON for each."""

    def __init__(self, path: Path, staging: Path) -> None:
        self._path = path
        self._staging = staging
        self._stat: fileio.FileStat | None = None
        self._packs: dict[str, str] = {}
        self._guard = Lock()

    def packs(self) -> dict[str, str]:
        """Return where the content of each listed pack's tail is, by the name of the pack."""
        with self._guard:
            stat = fileio.stat_file(self._path)
            if stat != self._stat:
                self._packs = self._read() if stat is not None else {}
                self._stat = stat
            return dict(self._packs)

    def add(self, names: Iterable[str], where: str) -> None:
        """List packs durably; call before their tails go, or before they come without."""
        if "\n" in where:
            raise UsageError("the path of the other repository has a line break in it")
        with self._locked():
            self._write(self.packs() | dict.fromkeys(names, where))

    def remove(self, names: Iterable[str]) -> None:
        """Strike packs off the list; call after their tails came back."""
        gone = set(names)
        with self._locked():
            self._write({name: where for name, where in self.packs().items() if name not in gone})

    def move(self, old: str, new: str) -> None:
        """Note another name for a source."""
        with self._locked():
            packs = self.packs()
            self._write({name: new if where == old else where for name, where in packs.items()})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with fileio.locked(self._path.parent / "locks" / self._path.name):
            yield

    def _write(self, packs: dict[str, str]) -> None:
        if packs == self.packs():
            return
        if not packs:
            fileio.remove(self._path)
            return
        import json

        lines = [
            json.dumps({"pack": name, "source": where}, ensure_ascii=False) + "\n"
            for name, where in sorted(packs.items())
        ]
        fileio.clear(self._staging)
        data = "".join(lines).encode("utf-8", "surrogateescape")
        fileio.write_file(self._path, data, self._staging)

    def _read(self) -> dict[str, str]:
        try:
            data = fileio.read_bytes(self._path, MAX_LISTING)
        except NotFoundError:
            return {}
        import json

        found = {}
        for line in data.decode("utf-8", "surrogateescape").splitlines():
            try:
                row = json.loads(line)
                parse_id(row["pack"])
                found[row["pack"]] = str(row["source"])
            except (ValueError, KeyError, TypeError, RecursionError, FormatError):
                # Its tail counts as damaged then, which is what it is for all that is known.
                continue
        return found


class OffloadingStorage:
    """A storage that knows tails which are missing on purpose: TailAwayError for those."""

    def __init__(self, inner: Storage, packs: Callable[[], dict[str, str]]) -> None:
        self._inner = inner
        self._packs = packs

    def read(self, key: str) -> bytes:
        """See Storage."""
        try:
            return self._inner.read(key)
        except NotFoundError as error:
            raise self._explained(key, error) from error

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See Storage."""
        try:
            return self._inner.read_range(key, offset, length)
        except NotFoundError as error:
            raise self._explained(key, error) from error

    def write_new(self, key: str, value: bytes | Path) -> bool:
        """See Storage."""
        return self._inner.write_new(key, value)

    def compare_and_swap(self, key: str, expected: bytes | None, value: bytes | None) -> bool:
        """See Storage."""
        return self._inner.compare_and_swap(key, expected, value)

    def swap_all(self, swaps: Sequence[Swap]) -> tuple[bool, ...]:
        """See Storage."""
        return self._inner.swap_all(swaps)

    def values(self, prefix: str) -> dict[str, bytes]:
        """See Storage."""
        return self._inner.values(prefix)

    def list(self, prefix: str) -> list[Listed]:
        """See Storage."""
        return self._inner.list(prefix)

    def names(self, folder: str) -> tuple[str, ...]:
        """See Storage."""
        return self._inner.names(folder)

    def delete(self, key: str) -> None:
        """See Storage."""
        self._inner.delete(key)

    def _explained(self, key: str, error: NotFoundError) -> NotFoundError:
        pack = keys.pack_of_tail(key)
        where = self._packs().get(pack) if pack else None
        if where is None:
            return error
        return TailAwayError(
            f"the lower bits of pack {str(pack)[:12]} are in {where}", hint=_hint(where)
        )


class HeadsStorage(OffloadingStorage):
    """A storage in which any pack may lack its tail."""

    def __init__(self, inner: Storage) -> None:
        super().__init__(inner, dict)

    def _explained(self, key: str, error: NotFoundError) -> NotFoundError:
        return TailAwayError("this part has no tail") if keys.pack_of_tail(key) else error


class Tails:
    """Reads chunks whose tails are elsewhere, from whoever the list names; safe from threads.

    `connect` opens a source by what the list says of it.
    """

    def __init__(self, offloaded: Offloaded, connect: Callable[[str], TailSource]) -> None:
        self.offloaded = offloaded
        self._connect = connect
        self._sources: dict[str, TailSource] = {}
        self._guard = Lock()
        # Whether remotes may be asked.
        self.asks_remotes = True
        # Why sources could not be reached, by what the list says of them.
        self.failures: dict[str, str] = {}

    def segments(self, wanted: ObjectId, pack: str) -> Segments:
        """Return a chunk of an offloaded pack, verified; where is known from the list.

        Raises TailAwayError if no source can be reached, IntegrityError if none has the chunk.
        """
        packs = self.offloaded.packs()
        first = packs.get(pack)
        problem: MvcError | None = None
        for where in dict.fromkeys([*([first] if first else []), *packs.values()]):
            if is_remote(where) and not self.asks_remotes:
                problem = problem or TailAwayError(
                    f"the lower bits of chunk {wanted.hex()[:12]} are at {where}"
                )
                continue
            try:
                return self._source(where).segments(wanted)
            except MvcError as error:
                found = _failure(wanted, where, error)
                if isinstance(found, TailAwayError):
                    self.failures.setdefault(where, error.message)
                problem = problem or found
        raise problem or IntegrityError(
            f"the tail of pack {pack[:12]} is missing", hint="run `mvc fsck` to see what it affects"
        )

    def fetch(self, wanted: Mapping[ObjectId, str]) -> None:
        """Bring chunks of packs together that will be asked for one by one.

        Raises nothing: what cannot be had is told to whoever asks for it.
        """
        packs = self.offloaded.packs()
        found: dict[str, list[ObjectId]] = {}
        for item, pack in wanted.items():
            if (where := packs.get(pack)) and is_remote(where) and self.asks_remotes:
                found.setdefault(where, []).append(item)
        for where, items in found.items():
            with suppress(MvcError):
                self._source(where).fetch(items)

    def close(self) -> None:
        """Let go of all sources."""
        with self._guard:
            for source in self._sources.values():
                source.close()
            self._sources.clear()

    def _source(self, where: str) -> TailSource:
        with self._guard:
            found = self._sources.get(where)
            if found is None:
                found = self._sources[where] = self._connect(where)
            return found


def _failure(wanted: ObjectId, where: str, error: MvcError) -> MvcError:
    if isinstance(error, NetworkError | NotFoundError | NotAllowedError | StorageError):
        return TailAwayError(
            f"the lower bits of chunk {wanted.hex()[:12]} are in {where}, "
            f"which cannot be reached: {error.message}",
            hint=_hint(where),
        )
    return IntegrityError(
        f"chunk {wanted.hex()[:12]} was offloaded to {where}, which does not have it whole: "
        f"{error.message}",
        hint="`mvc fsck` there says more; `--precision 16` needs the heads here only",
    )


def _hint(where: str) -> str:
    return f"make {where} reachable; `--precision 16` works without it"

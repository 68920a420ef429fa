"""Where every object is: one SQLite database that caches the packs' directories.

An object may be in several packs. The database holds nothing that the packs do not, and is
rebuilt from them whenever it is missing, damaged or behind. A read-only repository gets an index
in memory.

Half of each id is kept: ids are most of an index, which weighs in a store of many small tensors.
Whoever reads an object, or would not store a chunk because it is there, compares the whole id with
that in the pack.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple, TypeVar

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MvcError, StorageError
from mvc.base.ids import ObjectId
from mvc.store.directory import KINDS
from mvc.store.rows import Written

SCHEMA_VERSION = 3
PAGE_BYTES = 2048
KEPT = 16
BUSY_SECONDS = 60.0
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNWRITABLE = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS packs (
  number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, directory_at INTEGER NOT NULL,
  head_bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS objects (
  id BLOB NOT NULL, pack INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
  place INTEGER NOT NULL, PRIMARY KEY (id, pack)
) WITHOUT ROWID;
"""
_FIND = """
SELECT kind, name, directory_at, head_bytes, at, place
FROM objects JOIN packs ON number = pack WHERE id = ? ORDER BY pack DESC
"""
# The kind of a metadata object follows from its bytes, and counts more than a pack's word that
# there is a chunk of this id.
_PREFIXED = """
SELECT max(kind), name, directory_at, head_bytes, at, place
FROM objects JOIN packs ON number = pack WHERE id BETWEEN ? AND ? GROUP BY id ORDER BY id LIMIT ?
"""
_COUNTS = """
SELECT kind, count(*) FROM (SELECT max(kind) AS kind FROM objects GROUP BY id) GROUP BY kind
"""
_MANY = 500

Result = TypeVar("Result")


class Location(NamedTuple):
    """Where an object is stored."""

    kind: str
    pack: str
    directory_at: int
    head_bytes: int
    at: int
    place: int


class Index:
    """Finds objects by id. Safe from several threads and processes.

    One that need not be `durable` may be wrong after a power cut, and waits for no disk.
    """

    def __init__(self, path: Path | None, *, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        self._guard = RLock()
        self._connection = self._open()

    def find(self, wanted: ObjectId) -> list[Location]:
        """Return all places of an object, that in the pack indexed last first."""
        rows = self._run(lambda db: db.execute(_FIND, (wanted[:KEPT],)).fetchall())
        return [_location(*row) for row in rows]

    def kind(self, wanted: ObjectId) -> str | None:
        """Return the kind of an object, None if no indexed pack has it."""
        row = self._run(
            lambda db: db.execute(
                "SELECT max(kind) FROM objects WHERE id = ?", (wanted[:KEPT],)
            ).fetchone()
        )
        return None if row[0] is None else _kind(row[0])

    def prefixed(self, low: bytes, high: bytes, limit: int) -> list[Location]:
        """Return a place of up to `limit` objects whose ids may be from `low` to `high`."""
        wanted = (low[:KEPT], high[:KEPT], limit)
        rows = self._run(lambda db: db.execute(_PREFIXED, wanted).fetchall())
        return [_location(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many objects of each kind are stored, each counted once."""
        rows = self._run(lambda db: db.execute(_COUNTS).fetchall())
        return {_kind(kind): count for kind, count in rows}

    def packs(self) -> set[str]:
        """Return the names of the indexed packs."""
        rows = self._run(lambda db: db.execute("SELECT name FROM packs").fetchall())
        return {row[0] for row in rows}

    def add(self, packs: Iterable[Written]) -> None:
        """Index packs; one that is indexed already changes nothing."""

        def insert(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                for pack in packs:
                    _insert(db, pack)

        self._run(insert)

    def remove(self, names: Iterable[str]) -> None:
        """Forget packs that are gone, with all rows that point to them.

        Objects that other packs hold as well stay.
        """
        gone = list(names)

        def forget(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                # Each statement over the objects reads them all, so it is for many packs.
                for start in range(0, len(gone), _MANY):
                    some = gone[start : start + _MANY]
                    these = f"({','.join('?' * len(some))})"
                    db.execute(
                        "DELETE FROM objects WHERE pack IN"  # noqa: S608
                        f" (SELECT number FROM packs WHERE name IN {these})",
                        some,
                    )
                    db.execute(f"DELETE FROM packs WHERE name IN {these}", some)  # noqa: S608

        self._run(forget)

    def reset(self) -> None:
        """Forget everything; the caller adds all packs again.

        The file stays: removing it under another process could give that one's journal to the
        new file.
        """

        def empty(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute("DELETE FROM objects")
                db.execute("DELETE FROM packs")

        self._run(empty)

    def close(self) -> None:
        """Close the database."""
        with self._guard:
            self._connection.close()

    def _run(self, action: Callable[[sqlite3.Connection], Result]) -> Result:
        with self._guard:
            try:
                return action(self._connection)
            except sqlite3.Error as error:
                self._recover(error)
            try:
                return action(self._connection)
            except sqlite3.Error as error:
                raise StorageError(f"the index cannot be used: {error}") from error

    def _recover(self, error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in _BUSY:
            raise StorageError(f"the index cannot be used: {error}") from error
        if code in _UNWRITABLE:
            self._go_on_in_memory()
        else:
            self._discard()
            self._connection = self._open()

    def _go_on_in_memory(self) -> None:
        """Work on a copy, as in a read-only repository or on a full disk."""
        copy = _connect(":memory:")
        with suppress(sqlite3.Error), closing(self._connection) as current:
            current.backup(copy)
        self._connection = copy

    def _discard(self) -> None:
        self._connection.close()
        if self._path is not None:
            with suppress(MvcError):
                for suffix in ("", "-journal", "-wal", "-shm"):
                    fileio.remove(self._path.with_name(self._path.name + suffix))

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            for _ in range(2):
                try:
                    return _connect(str(self._path), durable=self._durable)
                except sqlite3.OperationalError:
                    break
                except sqlite3.DatabaseError:
                    with suppress(MvcError):
                        fileio.remove(self._path)
        return _connect(":memory:")


def _connect(target: str, *, durable: bool = True) -> sqlite3.Connection:
    db = sqlite3.connect(
        target, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        if not durable:
            db.execute("PRAGMA synchronous = OFF")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            # Without effect in a database that has pages already.
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("BEGIN IMMEDIATE")
            # Another process may have made the tables while this one waited for the lock.
            (version,) = db.execute("PRAGMA user_version").fetchone()
        if db.in_transaction and version != SCHEMA_VERSION:
            for table in ("objects", "packs"):
                db.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if db.in_transaction:
            db.execute("COMMIT")
        if durable:
            db.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _kind(code: object) -> str:
    if type(code) is not int or not 0 <= code < len(KINDS):
        raise _damaged()
    return KINDS[code]


def _location(code: object, pack: object, *numbers: object) -> Location:
    held = [number for number in numbers if type(number) is int and number >= 0]
    if not isinstance(pack, str) or len(held) < len(numbers):
        raise _damaged()
    return Location(_kind(code), pack, *held)


def _damaged() -> IntegrityError:
    return IntegrityError("the index is damaged", hint="`mvc fsck` makes it anew")


def _insert(db: sqlite3.Connection, pack: Written) -> None:
    cursor = db.execute(
        "INSERT OR IGNORE INTO packs (name, directory_at, head_bytes) VALUES (?, ?, ?)",
        (pack.name, pack.directory_at, pack.head_bytes),
    )
    if not cursor.rowcount:
        return
    number = cursor.lastrowid
    db.executemany(
        "INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?, ?)",
        sorted(
            (row.id[:KEPT], number, KINDS.index(row.kind), row.at, row.place) for row in pack.rows
        ),
    )

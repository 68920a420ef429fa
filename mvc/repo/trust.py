"""Whose signatures count: files of public keys under names (docs/signing.md).

[ada]
key = "0102..."                     64 hex digits
added = 2026-11-21T18:45:37Z
expires = 2027-11-21T00:00:00Z      perhaps
revoked = 2026-12-01T08:00:00Z      perhaps

One file lies in the repository's folder, one in the user's; neither is ever sent. Whatever is not
understood is an error: a list that is read in part could let in what it keeps out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, Self

from mvc.base import fileio
from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError
from mvc.repo.keys import check_name, check_public, parse_public
from mvc.repo.repository import Repository

Origin = Literal["repository", "user"]
FILE = "trusted.toml"
MAX_FILE = 4 << 20
_FIELDS = {"key", "added", "expires", "revoked"}
_HEAD = "# Keys whose signatures count here. `mvc key` writes this file; it is never sent.\n"


@dataclass(frozen=True, slots=True)
class Trusted:
    """A key that signatures are believed of, and under which name; times are in microseconds."""

    name: str
    key: bytes
    origin: Origin
    added: int | None = None
    expires: int | None = None
    revoked: int | None = None

    def expired(self, at: int) -> bool:
        """Tell whether signatures of that time count no more."""
        return self.expires is not None and at >= self.expires


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys of the repository's and of the user's file, either of which may not exist."""

    files: dict[Origin, Path]
    keys: tuple[Trusted, ...]

    @classmethod
    def read(cls, repository: Path | None, user: Path | None) -> Self:
        """Read the files in two folders. Raises FormatError where one is not understood."""
        folders: dict[Origin, Path | None] = {"repository": repository, "user": user}
        files = {origin: folder / FILE for origin, folder in folders.items() if folder}
        keys = [item for origin, path in files.items() for item in _read(path, origin)]
        return cls(files, tuple(keys))

    @classmethod
    def of(cls, repo: Repository) -> Self:
        """Read what is trusted in a repository, as it is now."""
        user = repo.environment.user_config
        return cls.read(repo.folder, user.parent if user else None)

    def own(self) -> Self:
        """Return what the repository's file lets count; what either revokes stays revoked."""
        kept = [item for item in self.keys if item.origin == "repository" or item.revoked]
        return replace(self, keys=tuple(kept))

    def about(self, key: bytes) -> Trusted | None:
        """Return what is known of a key; a revocation anywhere is the last word."""
        found = [item for item in self.keys if item.key == key]
        revoked = next((item for item in found if item.revoked is not None), None)
        lasting = max(found, key=lambda item: item.expires or 2**63, default=None)
        return revoked or lasting


def add(
    trust: Trust, name: str, key: bytes, now: int, *, expires: int | None, origin: Origin
) -> Trusted:
    """Trust a key, or change until when. Raises NegativeAnswer where the name or key is taken."""
    check_name(name)
    check_public(key)
    path = trust.files.get(origin)
    if path is None:
        raise UsageError("there is no folder to keep that in", hint="`mvc key trust --global`")
    if expires is not None and expires <= now:
        raise UsageError("a key that has expired already is of no use")
    _check_free(trust.keys, key)
    new = Trusted(name, key, origin, now, expires)

    def change(document: MutableMapping[str, Any], before: tuple[Trusted, ...]) -> None:
        _check_free(before, key)
        for item in before:
            if (item.name == name) != (item.key == key):
                what = f"{name} has another key here" if item.name == name else "it has a name here"
                raise NegativeAnswer(
                    f"{what}: {item.name} is {item.key.hex()}",
                    hint="`mvc key list` shows them; take another name, or revoke that key",
                )
        document[name] = _table(new)

    _rewrite(path, origin, change)
    return new


def _check_free(known: Iterable[Trusted], key: bytes) -> None:
    for item in known:
        if item.key == key and item.revoked is not None:
            raise NegativeAnswer(
                f"this key was revoked as {item.name}", hint="ask for a new one: `mvc key generate`"
            )


def revoke(trust: Trust, name: str, now: int) -> tuple[Trusted, ...]:
    """Let signatures of a key count no more, in every file that has the name."""
    found = [item for item in trust.keys if item.name == name]
    if not found:
        raise NotFoundError(f"no key is trusted as {name[:80]}", hint="`mvc key list` shows them")

    def change(document: MutableMapping[str, Any], before: tuple[Trusted, ...]) -> None:
        table = document.get(name)
        if table is not None and "revoked" not in table:
            table["revoked"] = _moment(now)

    for item in found:
        _rewrite(trust.files[item.origin], item.origin, change)
    return tuple(found)


def _rewrite(
    path: Path,
    origin: Origin,
    change: Callable[[MutableMapping[str, Any], tuple[Trusted, ...]], None],
) -> None:
    import tomlkit

    staging = path.parent / "tmp" if origin == "repository" else path.parent
    with fileio.locked(path.parent / "locks" / "trusted"):
        before = _read(path, origin)
        document = tomlkit.parse(_text(path) or _HEAD)
        change(document, before)
        text = tomlkit.dumps(document)
        if len(_parsed(text, path, origin)) < len(before):
            raise FormatError(f"{path} would lose keys", hint="look at the file")
        fileio.write_file(path, text.encode(), staging)


def _read(path: Path, origin: Origin) -> tuple[Trusted, ...]:
    return _parsed(_text(path), path, origin)


def _text(path: Path) -> str:
    try:
        return fileio.read_bytes(path, MAX_FILE).decode("utf-8")
    except NotFoundError:
        return ""
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text") from None


def _parsed(text: str, path: Path, origin: Origin) -> tuple[Trusted, ...]:
    import tomllib

    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not valid TOML: {error}", hint="mend it") from error
    try:
        return tuple(_trusted(name, table, origin) for name, table in tables.items())
    except (FormatError, UsageError) as error:
        raise FormatError(f"{path}: {error.message}", hint="mend it") from error


def _trusted(name: str, table: object, origin: Origin) -> Trusted:
    check_name(name)
    if not isinstance(table, dict) or not table.keys() <= _FIELDS or "key" not in table:
        raise FormatError(f"[{name}] has a key, and may have added, expires, revoked")
    if not isinstance(table["key"], str):
        raise FormatError(f"the key of {name} is text")
    times = (_micros(table.get(field), name) for field in ("added", "expires", "revoked"))
    return Trusted(name, parse_public(table["key"]), origin, *times)


def _micros(value: object, name: str) -> int | None:
    """Return a time of the file; a date is its beginning, in UTC."""
    if value is None:
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise FormatError(f"times of {name} look like 2027-11-21 or 2027-11-21T08:00:00Z")
    return int(value.timestamp() * 1_000_000)


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC)


def _table(item: Trusted) -> MutableMapping[str, Any]:
    import tomlkit

    table = tomlkit.table()
    table["key"] = item.key.hex()
    for field, value in (("added", item.added), ("expires", item.expires)):
        if value is not None:
            table[field] = _moment(value)
    return table

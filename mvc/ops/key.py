"""Keys: one's own, and those of others whose signatures count (docs/signing.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mvc.base import fileio
from mvc.base.clock import Clock, system_clock
from mvc.base.errors import FormatError, NotFoundError, UsageError
from mvc.repo import keys, trust
from mvc.repo.keys import DEFAULT_NAMES, FOLDER, MAX_KEY_FILE, Kind, OwnKey
from mvc.repo.repository import Repository
from mvc.repo.trust import Origin, Trust, Trusted

DAY = 86_400_000_000
_DAYS = re.compile(r"([0-9]{1,5})d", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z)?", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Where keys are: the user's folder, and that of a repository if there is one around."""

    user: Path | None
    repository: Path | None
    clock: Clock = system_clock

    @property
    def own(self) -> Path:
        """The folder of one's own keys, or raise UsageError."""
        if self.user is None:
            raise UsageError("there is no home folder that could hold keys of your own")
        return self.user / FOLDER

    def trust(self) -> Trust:
        """Return whose signatures count here."""
        return Trust.read(self.repository, self.user)


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys that are known here."""

    own: tuple[OwnKey, ...]
    trusted: tuple[Trusted, ...]


def of_repository(repo: Repository) -> Keyring:
    """Return the keys that count in a repository."""
    user = repo.environment.user_config
    return Keyring(user.parent if user else None, repo.folder, repo.environment.clock)


def generate(ring: Keyring, name: str | None = None, kind: Kind = "ed25519") -> OwnKey:
    """Make a key of one's own."""
    return keys.generate(ring.own, name or DEFAULT_NAMES[kind], kind)


def show(ring: Keyring, name: str | None = None) -> OwnKey:
    """Return a key of one's own, or raise NotFoundError."""
    wanted = keys.check_name(name or DEFAULT_NAMES["ed25519"])
    return keys.described(ring.own, wanted)


def listed(ring: Keyring) -> Keys:
    """Return all keys."""
    own = keys.own(ring.own) if ring.user else []
    return Keys(tuple(own), ring.trust().keys)


def trust_key(
    ring: Keyring, source: str, path: Path, name: str, *, expires: str | None, origin: Origin
) -> Trusted:
    """Let signatures of a key count. `source` is 64 hex digits, or else `path` a file of a key."""
    key = keys.parse_public(source if _HEX.fullmatch(source) else _text(path))
    until = None if expires is None else parse_expiry(expires, ring.clock())
    if origin == "repository" and ring.repository is None:
        raise UsageError(
            "this folder is in no repository", hint="--global trusts the key in all of yours"
        )
    return trust.add(ring.trust(), name, key, ring.clock(), expires=until, origin=origin)


def revoke(ring: Keyring, name: str) -> tuple[Trusted, ...]:
    """Let signatures of a key count no more, wherever it has that name."""
    revoked = trust.revoke(ring.trust(), name, ring.clock())
    keys_then = {(item.origin, item.key) for item in revoked}
    return tuple(item for item in ring.trust().keys if (item.origin, item.key) in keys_then)


def parse_expiry(text: str, now: int) -> int:
    """Return the time of `90d`, `2027-11-21` (its beginning, UTC) or `2027-11-21T08:00Z`."""
    if days := _DAYS.fullmatch(text):
        return now + int(days.group(1)) * DAY
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(
            f"{text[:40]!r} is no time to expire at", hint="write 2027-11-21, or 90d for 90 days"
        ) from None
    return int(moment.timestamp()) * 1_000_000


def _text(path: Path) -> str:
    try:
        return fileio.read_bytes(path, MAX_KEY_FILE).decode("utf-8")
    except NotFoundError:
        raise NotFoundError(
            f"{path} does not exist", hint="a public key is a file, or 64 hex digits"
        ) from None
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not a public key") from None

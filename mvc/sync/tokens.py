"""Who may ask an HTTP server for what: tokens, kept as hashes in one file below its root.

A token is `mvc_ID_SECRET`: the id names it in lists and logs, and of the 256 bits of the secret
the server keeps the SHA-256 alone. Nothing is granted that the file does not say.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TypeVar

from mvc.base import fileio
from mvc.base.clock import Clock, system_clock
from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError
from mvc.sync.grants import VERBS, Grant, Grants
from mvc.sync.repository_names import check_glob, matches

FOLDER = ".mvc-server"
FILE = "tokens.json"
MAX_FILE = 64 << 20
MAX_LABEL = 100
MAX_PREFIX = 255
SERVER_VERBS = ("admin", "metrics")
"""Verbs that are not about refs: to make repositories by pushing, and to read /metrics."""

Kind = TypeVar("Kind")
_BEARER = re.compile(r"mvc_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_SECOND = 1_000_000
# Two changes within this time may leave a file that looks the same from outside.
_SETTLED_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Token:
    """What the file says of a token; times in microseconds since the epoch."""

    id: str
    name: str
    digest: str
    repositories: tuple[str, ...]
    grants: frozenset[Grant]
    server: frozenset[str]
    created: int
    expires: int | None = None
    requests_per_minute: int | None = None
    bytes_per_day: int | None = None

    @property
    def who(self) -> str:
        """The asker's name in reflogs: no two tokens have the same."""
        return f"{self.name} <{self.id}>"

    def reaches(self, repository: str) -> bool:
        """Tell whether the token is for a repository, whatever it may do there."""
        return any(matches(glob, repository) for glob in self.repositories)

    def expired(self, now: int) -> bool:
        """Tell whether its time is over."""
        return self.expires is not None and now >= self.expires

    def held(self) -> Grants:
        """Return what is granted in each of its repositories."""
        return Grants(self.name, self.grants)

    def granted(self) -> list[str]:
        """Return the grants as they are written, in order."""
        refs = [f"{grant.verb}:{grant.prefix}" for grant in self.grants]
        return sorted(refs) + sorted(self.server)


class Tokens:
    """The tokens of the server at `root`. Safe from several threads; sees changes at once."""

    def __init__(self, root: Path, clock: Clock = system_clock) -> None:
        self._folder = root / FOLDER
        self._path = self._folder / FILE
        self._clock = clock
        self._guard = Lock()
        self._read: dict[str, Token] = {}
        self._stat: fileio.FileStat | None = None

    def all(self) -> list[Token]:
        """Return all tokens, the oldest first; FormatError where the file is malformed."""
        return sorted(self._current().values(), key=lambda token: (token.created, token.id))

    def find(self, bearer: str) -> Token | None:
        """Return the token of a bearer's text if it is one, whether or not it has expired."""
        match = _BEARER.fullmatch(bearer)
        if match is None:
            return None
        found = self._current().get(match[1])
        # The time that this takes must not tell whether there is such an id.
        kept = found.digest if found else _digest("")
        return found if hmac.compare_digest(kept, _digest(match[2])) and found else None

    def valid(self, token: Token) -> bool:
        """Tell whether a token that was found is still what the file says, and in time."""
        return self._current().get(token.id) == token and not token.expired(self._clock())

    def create(
        self,
        name: str,
        *,
        repositories: Iterable[str],
        grants: Iterable[Grant],
        server: Iterable[str] = (),
        seconds: int | None = None,
        requests_per_minute: int | None = None,
        bytes_per_day: int | None = None,
    ) -> tuple[Token, str]:
        """Make a token; return it and the text that its bearer keeps, which is nowhere else.

        Raises UsageError, and NegativeAnswer where another has that name.
        """
        secret, now = secrets.token_hex(32), self._clock()
        token = Token(
            secrets.token_hex(6),
            check_label(name),
            _digest(secret),
            tuple(dict.fromkeys(map(check_glob, repositories))),
            frozenset(grants),
            frozenset(server),
            now,
            None if seconds is None else now + seconds * _SECOND,
            requests_per_minute,
            bytes_per_day,
        )
        if not token.repositories or not (token.grants or token.server):
            raise UsageError("a token that grants nothing is of no use", hint=_GRANT)

        def added(held: dict[str, Token]) -> None:
            if any(other.name == name for other in held.values()):
                raise NegativeAnswer(
                    f"there is a token {name!r} already", hint="revoke it, or take another --name"
                )
            held[token.id] = token

        self._change(added)
        return token, f"mvc_{token.id}_{secret}"

    def revoke(self, which: str) -> Token:
        """Take a token back, by its name or id; it is refused from now on. NotFoundError."""
        gone: list[Token] = []

        def removed(held: dict[str, Token]) -> None:
            gone.extend(token for token in held.values() if which in (token.id, token.name))
            if not gone:
                raise NotFoundError(
                    f"there is no token {which[:80]!r}", hint="`mvc token list ROOT` shows them"
                )
            del held[gone[0].id]

        self._change(removed)
        return gone[0]

    def _change(self, edit: Callable[[dict[str, Token]], None]) -> None:
        with fileio.locked(self._folder / "lock"):
            held = dict(_load(self._path))
            edit(held)
            fileio.write_file(self._path, _dump(held.values()), self._folder, private=True)
        with self._guard:
            self._stat = None

    def _current(self) -> dict[str, Token]:
        stat = fileio.stat_file(self._path)
        with self._guard:
            if stat is None:
                self._read, self._stat = {}, None
            elif stat != self._stat:
                # Where the file is malformed nobody is known, not whoever was known before.
                self._read, self._stat = {}, None
                self._read = _load(self._path)
                fresh = abs(fileio.now_ns() - stat.mtime_ns) < _SETTLED_NS
                self._stat = None if fresh else stat
            return self._read


def check_label(name: str) -> str:
    """Return what can be the name of a token, or raise UsageError."""
    if not name.strip() or len(name) > MAX_LABEL or not name.isprintable() or set(name) & set("<>"):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a token",
            hint=f"use up to {MAX_LABEL} letters, digits, spaces, '-' and '.'",
        )
    return name


def parse_grants(texts: Iterable[str]) -> tuple[frozenset[Grant], frozenset[str]]:
    """Return the grants about refs and those about the server, or raise UsageError."""
    grants, server = set(), set()
    for text in texts:
        verb, colon, prefix = text.partition(":")
        if verb in SERVER_VERBS and not colon:
            server.add(verb)
            continue
        known = next((item for item in VERBS if item == verb), None)
        if known is None or not _is_prefix(prefix):
            raise UsageError(f"{text[:80]!r} is not a grant", hint=_GRANT)
        grants.add(Grant(known, prefix))
    return frozenset(grants), frozenset(server)


def _is_prefix(text: str) -> bool:
    named = text.startswith("refs/") and len(text.encode("utf-8", "replace")) <= MAX_PREFIX
    return named and text.isprintable() and " " not in text and ".." not in text


_GRANT = "write --grant read:refs/, --grant append:refs/heads/ or --grant admin"


def _digest(secret: str) -> str:
    return sha256(secret.encode("ascii")).hexdigest()


def _dump(tokens: Iterable[Token]) -> bytes:
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "digest": token.digest,
            "repositories": list(token.repositories),
            "grants": token.granted(),
            "created": token.created,
            "expires": token.expires,
            "requests_per_minute": token.requests_per_minute,
            "bytes_per_day": token.bytes_per_day,
        }
        for token in tokens
    ]
    return (json.dumps({"version": 1, "tokens": rows}, indent=1) + "\n").encode()


_KEYS = {*Token.__dataclass_fields__} - {"server"}


def _load(path: Path) -> dict[str, Token]:
    if fileio.stat_file(path) is None:
        return {}
    try:
        found = json.loads(fileio.read_bytes(path, MAX_FILE))
        if found.keys() != {"version", "tokens"} or found["version"] != 1:
            raise ValueError
        tokens = [_token(row) for row in found["tokens"]]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, UsageError) as error:
        raise FormatError(
            f"the tokens in {path} are malformed", hint="restore the file from a backup"
        ) from error
    return {token.id: token for token in tokens}


def _token(row: dict[str, object]) -> Token:
    if row.keys() != _KEYS:
        raise ValueError("keys")
    text = {key: _typed(row[key], str) for key in ("id", "name", "digest")}
    if not _BEARER.fullmatch(f"mvc_{text['id']}_{text['digest']}"):
        raise ValueError("digest")
    grants, server = parse_grants(_texts(row["grants"]))
    return Token(
        text["id"],
        check_label(text["name"]),
        text["digest"],
        tuple(map(check_glob, _texts(row["repositories"]))),
        grants,
        server,
        _typed(row["created"], int),
        *(
            None if row[key] is None else _typed(row[key], int)
            for key in ("expires", "requests_per_minute", "bytes_per_day")
        ),
    )


def _typed(value: object, kind: type[Kind]) -> Kind:
    if type(value) is not kind:
        raise ValueError("type")
    return value


def _texts(value: object) -> list[str]:
    return [_typed(item, str) for item in _typed(value, list)]

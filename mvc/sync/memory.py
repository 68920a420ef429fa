"""What is remembered of another repository between two commands, by its address.

It is a cache: without it, more is asked and sent. `.mvc/remotes/ID/` holds `fetched` (the state of
its refs at the last fetch) and `sent` (parts that lie there and wait for their update).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.base.ids import ObjectId, parse_id
from mvc.repo.repository import Repository
from mvc.sync.fields import TOKEN_BYTES
from mvc.sync.messages import Change

MAX_NOTE = 1 << 23
DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Fetched:
    """The state of all branches and tags, and whether refs here outlived theirs there."""

    state: bytes
    stale: bool


class Memory:
    """What is remembered of the repository at an address."""

    def __init__(self, repo: Repository, address: str) -> None:
        self.key = blake3(address.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._folder = repo.folder / "remotes" / self.key
        self._staging = repo.scratch / "values"

    def fetched(self) -> Fetched | None:
        """Return what the last complete fetch saw, None where nobody knows."""
        try:
            found = json.loads(self._read("fetched"))
            return Fetched(parse_id(found["state"]), bool(found["stale"]))
        except (ValueError, KeyError, TypeError, FormatError, NotFoundError):
            return None

    def note_fetched(self, found: Fetched | None) -> None:
        """Remember what a fetch saw; None forgets."""
        path = self._folder / "fetched"
        if found is None:
            fileio.remove(path)
            return
        text = json.dumps({"state": found.state.hex(), "stale": found.stale})
        fileio.make_dirs(self._folder)
        fileio.write_file(path, text.encode(), self._staging)

    def sent(self) -> list[ObjectId]:
        """Return the names of parts that were sent, in order."""
        found: dict[ObjectId, None] = {}
        try:
            lines = self._read("sent").decode("ascii", "replace").split("\n")
        except NotFoundError:
            return []
        for line in lines:
            try:
                found[parse_id(line)] = None
            except FormatError:
                # Torn by a power cut, or that of a push.
                continue
        return list(found)

    def note_sent(self, part: ObjectId) -> None:
        """Remember a part that is about to be sent."""
        fileio.append_line(self._folder / "sent", part.hex().encode())

    def forget_sent(self) -> None:
        """Forget the parts, and the push that they were for."""
        for name in ("sent", "push"):
            fileio.remove(self._folder / name)

    def push(self, changes: tuple[Change, ...]) -> bytes:
        """Return the id of a push, the same as before where the same changes are tried again."""
        meant = _meaning(changes)
        note = self._push()
        if note.startswith(meant):
            return note[len(meant) :]
        token = secrets.token_bytes(TOKEN_BYTES)
        fileio.make_dirs(self._folder)
        fileio.write_file(self._folder / "push", meant + token, self._staging)
        return token

    def is_push(self, changes: tuple[Change, ...]) -> bool:
        """Tell whether the push that was tried last was of these changes."""
        return self._push().startswith(_meaning(changes))

    def _push(self) -> bytes:
        try:
            note = self._read("push")
        except NotFoundError:
            return b""
        return note if len(note) == DIGEST_BYTES + TOKEN_BYTES else b""

    def _read(self, name: str) -> bytes:
        return fileio.read_bytes(self._path(name), MAX_NOTE)

    def _path(self, name: str) -> Path:
        return self._folder / name


def _meaning(changes: tuple[Change, ...]) -> bytes:
    return blake3(repr([(item.ref, item.new) for item in changes]).encode()).digest()

"""What counts for an asker: what commits that it may read lead to (docs/protocol.md, "missing")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    MissingObjectError,
    MvcError,
    NotFoundError,
)
from mvc.base.ids import ObjectId
from mvc.repo import history
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel
from mvc.storage import keys
from mvc.sync.closure import Found, walk
from mvc.sync.grants import Grants

MAX_SEEN = 1 << 15


class Readable:
    """The refs that an asker may read, and what they lead to by history alone.

    `seen` is filled with refs by what they pointed at, and is where they are looked for first.
    """

    def __init__(
        self, repo: Repository, grants: Grants, seen: dict[ObjectId, str] | None = None
    ) -> None:
        self._repo = repo
        self._grants = grants
        self._seen = {} if seen is None else seen

    def refs(self, prefixes: Iterable[str] = (keys.REFS,)) -> dict[str, ObjectId]:
        """Return the refs that start with a prefix, in order; others are as if they were not."""
        found: dict[str, ObjectId] = {}
        # There may be thousands of refs, so only where some may be read anything is listed.
        places = _narrowed(
            prefixes, [item.prefix for item in self._grants.held if item.verb == "read"]
        )
        # A damaged one is for `mvc fsck`, and must not hide the others.
        every = {name: at for place in places for name, at in self._repo.refs.sound(place).items()}
        for name in sorted(every):
            if self._grants.allows("read", name):
                found[name] = every[name]
        if len(self._seen) > MAX_SEEN:
            self._seen.clear()
        self._seen.update((target, name) for name, target in found.items())
        return found

    def _is_seen(self, item: ObjectId) -> bool:
        """Tell whether the ref that pointed at an object still does, and may be read."""
        name = self._seen.get(item)
        if name is None or not self._grants.allows("read", name):
            return False
        with suppress(IntegrityError):
            return self._repo.refs.get(name) == item
        return False

    @cached_property
    def targets(self) -> frozenset[ObjectId]:
        """What refs point at: commits and annotated tags."""
        return frozenset(self.refs().values())

    @cached_property
    def tips(self) -> frozenset[ObjectId]:
        """The commits that refs lead to directly."""
        found = set()
        for target in self.targets:
            with suppress(MvcError):
                found.add(peel(self._repo, target))
        return frozenset(found)

    def commits(self, wanted: Iterable[ObjectId]) -> list[ObjectId]:
        """Return those of some ids that are commits which refs lead to."""
        store = self._repo.store
        asked = [item for item in dict.fromkeys(wanted) if store.index.kind(item) == "commit"]
        left = {item for item in asked if not self._is_seen(item)}
        if left:
            left -= self.targets
        if left:
            left -= self.tips
        if left:
            for version in history.walk(self._repo, self.tips):
                left.discard(version.id)
                if not left:
                    break
        return [item for item in asked if item not in left]

    def wanted(self, items: Iterable[ObjectId]) -> list[Found]:
        """Return commits and tags that may be asked for, or raise NotFoundError."""
        asked = {item: self._repo.store.kind(item) for item in items}
        commits = set(self.commits(item for item, kind in asked.items() if kind != "tag"))
        found = []
        for item, kind in asked.items():
            if kind == "tag" and (self._is_seen(item) or item in self.targets):
                found.append(Found(item, "tag"))
            elif item in commits:
                found.append(Found(item, "commit"))
            else:
                raise NotFoundError(f"there is no version {item.hex()[:12]} here")
        return found


class Counted:
    """Objects that count: what bases lead to, and with `whole` anything that is stored.

    Of the bases' ancestors the commits alone count, and where this repository has some of the
    files only, those.
    """

    def __init__(self, repo: Repository, bases: Iterable[ObjectId], *, whole: bool) -> None:
        self._repo = repo
        self.whole = whole
        self._found: set[Found] = set()
        self._ids: set[ObjectId] = set()
        self.bases = frozenset(item for item in bases if self._walked(item))

    def __len__(self) -> int:
        return len(self._found)

    def _walked(self, base: ObjectId) -> bool:
        """Note what a base leads to; one that is damaged here does not count."""
        start = [Found(base, "commit", scope=self._repo.chosen.scope)]
        try:
            found = list(walk(self._repo.store, start, self._ids.__contains__, parents=False))
        except (IntegrityError, FormatError):
            return False
        self._found.update(found)
        self._ids.update(item.id for item in found)
        return True

    def leads_to(self, item: Found) -> bool:
        """Tell whether a base leads to an object, used as it is here."""
        return item in self._found or (item.kind == "commit" and self._is_past(item.id))

    def has(self, wanted: ObjectId) -> bool:
        """Tell whether an object counts."""
        if wanted in self._ids:
            return True
        kind = self._repo.store.index.kind(wanted)
        return kind is not None and (self.whole or (kind == "commit" and self._is_past(wanted)))

    def has_chunk(self, wanted: ObjectId) -> bool:
        """Tell whether a chunk counts and is there for certain."""
        return (wanted in self._ids or self.whole) and self._repo.store.has_chunk(wanted)

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """See mvc.sync.closure.Objects."""
        if not self.has(wanted):
            raise missing(wanted)
        return self._repo.store.read(wanted, kind)

    def _is_past(self, wanted: ObjectId) -> bool:
        if wanted in self.bases:
            return True
        return self._repo.store.index.kind(wanted) == "commit" and wanted in self._past

    @cached_property
    def _past(self) -> frozenset[ObjectId]:
        return frozenset(version.id for version in history.walk(self._repo, self.bases))


def _narrowed(asked: Iterable[str], granted: Iterable[str]) -> set[str]:
    """Return prefixes of what starts with one of those asked for and with one of those granted."""
    pairs = [(one, other) for one in asked for other in granted]
    return {
        max(pair, key=len)
        for pair in pairs
        if pair[0].startswith(pair[1]) or pair[1].startswith(pair[0])
    }


def missing(wanted: ObjectId) -> MissingObjectError:
    """Return the error for what was neither sent nor counts, whether it is here or not."""
    return MissingObjectError(
        f"object {wanted.hex()[:12]} was neither sent nor is it in what the bases lead to",
        hint="send it, or name a commit that leads to it",
    )


def pieces(items: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield bytes joined to pieces of about `size`."""
    held: list[bytes] = []
    length = 0
    for item in items:
        held.append(item)
        length += len(item)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)

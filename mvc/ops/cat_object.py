"""Read a stored object as it is."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects import canonical
from mvc.repo import revisions
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object: canonical bytes, or for a chunk the bytes of its words."""

    id: ObjectId
    kind: str
    content: bytes

    def value(self) -> object:
        """Return what the canonical bytes say; bytes for a chunk."""
        return self.content if self.kind == "chunk" else canonical.decode(self.content)


def cat_object(repo: Repository, name: str) -> StoredObject:
    """Return the object that an id, a revision or `REV:PATH` names."""
    wanted = _resolve(repo, name)
    kind = repo.store.kind(wanted)
    if kind is None:
        raise NotFoundError(f"there is no object {wanted.hex()[:12]}")
    if kind != "chunk":
        return StoredObject(wanted, kind, repo.store.read(wanted, kind))
    # Only chunks need the codecs, and those need NumPy.
    from mvc.codec.segments import join
    from mvc.store.chunks import load

    _, entry = repo.store.chunk_entry(wanted)
    return StoredObject(wanted, kind, bytes(join(load(repo.store, wanted), entry.word)))


def _resolve(repo: Repository, name: str) -> ObjectId:
    if ":" in name:
        return revisions.find(repo, name).entry.id
    if any(mark in name for mark in ("~", "^", "@{")):
        return revisions.resolve(repo, name)
    return revisions.resolve_object(repo, name)

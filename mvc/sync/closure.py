"""What a version leads to, as a walk that trusts nothing it reads (docs/protocol.md, "update").

Metadata is decoded and checked for what it may lead to; chunks are named, with the words that
whoever refers to them expects.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple, Protocol

from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Tag
from mvc.objects.model import Blob, Checkpoint, Content, Layout, Literal, Tensor
from mvc.objects.tree import Tree
from mvc.repo.scope import Scope

FILES, TENSORS = "tree", "tensors"
"""A tree of files, and one of the tensors of a checkpoint: both are trees where they are stored."""


class Objects(Protocol):
    """Where metadata is read."""

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """Return canonical bytes verified against the id; MissingObjectError, IntegrityError."""
        ...


class Found(NamedTuple):
    """An object that something leads to; of a chunk also its bytes and those of its words.

    Of a version, or a tree of files, `scope` says which of its files are meant, None for all.
    """

    id: ObjectId
    kind: str
    size: int = 0
    word: int = 0
    scope: Scope | None = None

    @property
    def stored_kind(self) -> str:
        """The kind that is part of the id."""
        return "tree" if self.kind == TENSORS else self.kind


def walk(
    objects: Objects,
    starts: Iterable[Found],
    known: Callable[[ObjectId], bool] = lambda _: False,
    *,
    parents: bool = True,
    ends: Container[ObjectId] = (),
) -> Iterator[Found]:
    """Yield all that `starts` lead to, themselves included, each object once.

    An object comes before what only it leads to. What is `known` is neither yielded nor entered.
    Without `parents`, commits are not followed to theirs, and those of `ends` never. Raises
    MissingObjectError, IntegrityError or FormatError where an object is not what something else
    says it is.
    """
    seen: dict[ObjectId, Found] = {}
    uses: set[Found] = set()
    pending = [item for item in reversed(list(starts)) if not known(item.id)]
    while pending:
        item = pending.pop()
        if item in uses:
            continue
        uses.add(item)
        before = seen.setdefault(item.id, item)
        # A version without files and a checkpoint without tensors have the same tree.
        if before.stored_kind != item.stored_kind or before[2:4] != item[2:4]:
            raise IntegrityError(f"object {item.id.hex()[:12]} is used as two things")
        if before is item:
            yield item
        if item.kind != "chunk":
            held = below(objects, item, parents=parents and item.id not in ends)
            pending.extend(part for part in reversed(held) if not known(part.id))


def below(objects: Objects, item: Found, *, parents: bool = True) -> list[Found]:
    """Return what one metadata object leads to directly, of files those in its scope."""
    data = objects.read(item.id, item.stored_kind)
    try:
        found = _BELOW[item.kind](data) if item.scope is None else _chosen(item, item.scope, data)
    except KeyError:
        raise IntegrityError(f"a {item.kind} leads to nothing") from None
    except FormatError as error:
        raise type(error)(
            f"{item.stored_kind} {item.id.hex()[:12]} is malformed: {error.message}"
        ) from error
    if item.kind == "commit" and not parents:
        return [part for part in found if part.kind != "commit"]
    return found


def _commit(data: bytes) -> list[Found]:
    commit = Commit.decode(data)
    return [Found(commit.tree, FILES), *(Found(item, "commit") for item in commit.parents)]


def _tag(data: bytes) -> list[Found]:
    return [Found(Tag.decode(data).target, "commit")]


def _files(data: bytes) -> list[Found]:
    return [_entry(entry.id, entry.kind, FILES) for entry in Tree.decode(data).entries]


def _tensors(data: bytes) -> list[Found]:
    return [_entry(entry.id, entry.kind, TENSORS) for entry in Tree.decode(data).entries]


def _chosen(item: Found, scope: Scope, data: bytes) -> list[Found]:
    """Return what leads to the files in a scope, and all trees."""
    if item.kind != FILES:
        return [part._replace(scope=scope) for part in _BELOW[item.kind](data)]
    found = []
    for entry in Tree.decode(data).entries:
        part, below = _entry(entry.id, entry.kind, FILES), scope.enter(entry.name)
        if below.everything:
            found.append(part)
        elif part.kind == FILES:
            found.append(part._replace(scope=below))
    return found


def _entry(name: ObjectId, kind: str, inside: str) -> Found:
    allowed = ("tree", "tensor") if inside == TENSORS else ("tree", "blob", "checkpoint")
    if kind not in allowed:
        raise FormatError(f"it cannot hold a {kind}")
    return Found(name, inside if kind == "tree" else kind)


def _checkpoint(data: bytes) -> list[Found]:
    checkpoint = Checkpoint.decode(data)
    return [Found(checkpoint.layout, "layout"), Found(checkpoint.tensors, TENSORS)]


def _layout(data: bytes) -> list[Found]:
    extents = Layout.decode(data).extents
    parts = [_chunks(extent.content) for extent in extents if isinstance(extent, Literal)]
    return [chunk for part in parts for chunk in part]


def _tensor(data: bytes) -> list[Found]:
    return _chunks(Tensor.decode(data).content)


def _blob(data: bytes) -> list[Found]:
    return _chunks(Blob.decode(data).content)


def _chunks(content: Content) -> list[Found]:
    return [
        Found(name, "chunk", content.chunk_bytes(number), content.word)
        for number, name in enumerate(content.chunks)
    ]


_BELOW: dict[str, Callable[[bytes], list[Found]]] = {
    "commit": _commit,
    "tag": _tag,
    FILES: _files,
    TENSORS: _tensors,
    "checkpoint": _checkpoint,
    "layout": _layout,
    "tensor": _tensor,
    "blob": _blob,
}

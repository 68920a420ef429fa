"""Requests and replies as values, and their canonical bytes (docs/protocol.md).

Decoding is strict: the keys of a verb, all of them and no others. It raises FormatError alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple, Self, TypeAlias, TypeVar

from mvc.base.errors import FormatError, LimitError
from mvc.base.ids import ObjectId
from mvc.objects import canonical
from mvc.sync import fields as check
from mvc.sync.limits import (
    MAX_BASES,
    MAX_CHANGES,
    MAX_IDS,
    MAX_MESSAGE,
    MAX_PARTS,
    MAX_PREFIXES,
    MAX_REFS,
    VERSION,
)

Check: TypeAlias = Callable[[object], object]
Form = TypeVar("Form", bound="_Form")


class Change(NamedTuple):
    """A ref that is to move: what it is now (None: nothing), what it is to be (None: gone)."""

    ref: str
    old: ObjectId | None
    new: ObjectId | None
    force: bool


class Outcome(NamedTuple):
    """What became of a change."""

    ref: str
    code: str
    message: str


class Named(NamedTuple):
    """A ref and where it is."""

    ref: str
    target: ObjectId


class Asked(NamedTuple):
    """An object to be given, and the chunk that its record is to be a delta against."""

    id: ObjectId
    base: ObjectId | None


class Planned(NamedTuple):
    """An object of a plan: `size` is the bytes of its record."""

    id: ObjectId
    kind: str
    size: int
    base: ObjectId | None

    def encode(self) -> bytes:
        """Return the entry's canonical bytes."""
        return canonical.encode([self.id, self.kind, self.size, self.base])


def planned(value: object) -> Planned:
    """Return an entry of a plan from its decoded value, or raise FormatError."""
    name, kind, size, base = check.row(value, 4)
    return Planned(check.ident(name), check.text(kind), check.number(size), _maybe_id(base))


_maybe_id = check.optional(check.ident)


def _change(value: object) -> Change:
    ref, old, new, force = check.row(value, 4)
    return Change(check.text(ref), _maybe_id(old), _maybe_id(new), check.flag(force))


def _outcome(value: object) -> Outcome:
    ref, code, message = check.row(value, 3)
    return Outcome(check.text(ref), check.text(code), check.text(message))


def _named(value: object) -> Named:
    ref, target = check.row(value, 2)
    return Named(check.text(ref), check.ident(target))


def _asked(value: object) -> Asked:
    name, base = check.row(value, 2)
    return Asked(check.ident(name), _maybe_id(base))


_ids = check.distinct(check.ident, MAX_IDS)
_few_ids = check.distinct(check.ident, MAX_BASES)
_part_bytes = check.number


class _Form:
    """A message whose keys are the fields of a dataclass."""

    CHECKS: ClassVar[Mapping[str, Check]]

    def value(self) -> dict[str, object]:
        """Return what is encoded, without what all messages have."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def build(cls, found: Mapping[str, object]) -> Self:
        """Return the message of decoded keys, or raise FormatError."""
        if found.keys() != cls.CHECKS.keys():
            raise FormatError("a message lacks keys, or has unknown ones")
        return cls(**{key: made(found[key]) for key, made in cls.CHECKS.items()})


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class RefsRequest(_Form):
    """Ask for the refs that start with one of `prefixes`, behind `after`."""

    VERB: ClassVar = "refs"
    CHECKS: ClassVar = {
        "prefixes": check.many(check.text, MAX_PREFIXES),
        "after": check.text,
        "known": check.optional(check.ident),
    }
    prefixes: tuple[str, ...]
    after: str = ""
    known: bytes | None = None


@dataclass(frozen=True, slots=True)
class RefsReply(_Form):
    """The refs, or that they are the `same` as the asker knows."""

    CHECKS: ClassVar = {
        "refs": check.many(_named, MAX_REFS),
        "more": check.flag,
        "head": check.optional(check.text),
        "state": check.ident,
        "same": check.flag,
        "part_bytes": _part_bytes,
    }
    refs: tuple[Named, ...]
    more: bool
    head: str | None
    state: bytes
    same: bool
    part_bytes: int


@dataclass(frozen=True, slots=True)
class MissingRequest(_Form):
    """Ask which objects the server cannot count on."""

    VERB: ClassVar = "missing"
    CHECKS: ClassVar = {"bases": _few_ids, "ids": _ids}
    bases: tuple[ObjectId, ...]
    ids: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class MissingReply(_Form):
    """Those of the ids."""

    CHECKS: ClassVar = {"missing": _ids}
    missing: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class PartRequest(_Form):
    """Hand over a pack: `head` and `tail` bytes follow in the body."""

    VERB: ClassVar = "part"
    CHECKS: ClassVar = {"name": check.ident, "head": check.number, "tail": check.number}
    name: ObjectId
    head: int
    tail: int


@dataclass(frozen=True, slots=True)
class UpdateRequest(_Form):
    """Let the objects of parts join, and move refs."""

    VERB: ClassVar = "update"
    CHECKS: ClassVar = {
        "push": check.token,
        "parts": check.distinct(check.ident, MAX_PARTS),
        "bases": _few_ids,
        "changes": check.many(_change, MAX_CHANGES),
        "atomic": check.flag,
    }
    push: bytes
    parts: tuple[ObjectId, ...]
    bases: tuple[ObjectId, ...]
    changes: tuple[Change, ...]
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class UpdateReply(_Form):
    """What became of each change."""

    CHECKS: ClassVar = {"results": check.many(_outcome, MAX_CHANGES)}
    results: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class PlanRequest(_Form):
    """Ask what there is to fetch."""

    VERB: ClassVar = "plan"
    CHECKS: ClassVar = {
        "wants": _few_ids,
        "haves": _few_ids,
        "depth": check.number,
        "paths": check.many(check.text, MAX_BASES),
        "heads": check.flag,
        "shallow": _ids,
    }
    wants: tuple[ObjectId, ...]
    haves: tuple[ObjectId, ...]
    depth: int = 0
    paths: tuple[str, ...] = ()
    heads: bool = False
    shallow: tuple[ObjectId, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanReply(_Form):
    """The sums of a plan, whose entries are the body."""

    CHECKS: ClassVar = {"objects": check.number, "bytes": check.number, "shallow": _ids}
    objects: int
    bytes: int
    shallow: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class GiveRequest(_Form):
    """Ask for objects of a plan."""

    VERB: ClassVar = "give"
    CHECKS: ClassVar = {
        "wants": _few_ids,
        "objects": check.distinct(_asked, MAX_IDS),
        "heads": check.flag,
    }
    wants: tuple[ObjectId, ...]
    objects: tuple[Asked, ...]
    heads: bool = False


@dataclass(frozen=True, slots=True)
class GiveReply(_Form):
    """A pack: `head` and `tail` bytes follow in the body."""

    CHECKS: ClassVar = {"name": check.ident, "head": check.number, "tail": check.number}
    name: ObjectId
    head: int
    tail: int


@dataclass(frozen=True, slots=True)
class Done(_Form):
    """The reply that says nothing more."""

    CHECKS: ClassVar = {}


@dataclass(frozen=True, slots=True)
class Refusal(_Form):
    """The answer to a request that was not granted, or failed."""

    CHECKS: ClassVar = {
        "error": check.text,
        "message": check.text,
        "hint": check.optional(check.text),
        "again": check.flag,
    }
    error: str
    message: str
    hint: str | None
    again: bool


Request: TypeAlias = (
    RefsRequest | MissingRequest | PartRequest | UpdateRequest | PlanRequest | GiveRequest
)
Reply: TypeAlias = RefsReply | MissingReply | Done | UpdateReply | PlanReply | GiveReply

REPLIES: dict[type[Request], type[Reply]] = {
    RefsRequest: RefsReply,
    MissingRequest: MissingReply,
    PartRequest: Done,
    UpdateRequest: UpdateReply,
    PlanRequest: PlanReply,
    GiveRequest: GiveReply,
}
VERBS: dict[str, type[Request]] = {form.VERB: form for form in REPLIES}


class VersionError(FormatError):
    """A request is of a version of the protocol that is not spoken here."""


def encode_request(request: Request) -> bytes:
    """Return the canonical bytes of a request, or raise LimitError."""
    return _encoded({"mvc": VERSION, "verb": request.VERB, **request.value()})


def decode_request(data: bytes) -> Request:
    """Return a request, or raise VersionError or FormatError."""
    found = _decoded(data)
    version, verb = found.pop("mvc", None), found.pop("verb", None)
    if type(version) is not int or version != VERSION:
        raise VersionError(f"this mvc speaks version {VERSION} of the protocol")
    form = VERBS.get(verb) if isinstance(verb, str) else None
    if form is None:
        raise FormatError("a request has no known verb")
    return form.build(found)


def encode_reply(reply: Reply | Refusal) -> bytes:
    """Return the canonical bytes of a reply, or raise LimitError."""
    return _encoded(reply.value() if isinstance(reply, Refusal) else {"ok": True, **reply.value()})


def decode_reply(data: bytes, request: type[Request]) -> Reply | Refusal:
    """Return the reply to a request, or raise FormatError."""
    found = _decoded(data)
    if "error" in found:
        return Refusal.build(found)
    if found.pop("ok", None) is not True:
        raise FormatError("a reply is neither a reply nor a refusal")
    return REPLIES[request].build(found)


def _encoded(value: dict[str, object]) -> bytes:
    data = canonical.encode(value)
    if len(data) > MAX_MESSAGE:
        raise LimitError("a message is too long")
    return data


def _decoded(data: bytes) -> dict[str, object]:
    if len(data) > MAX_MESSAGE:
        raise LimitError("a message is too long")
    found = canonical.decode(data)
    if type(found) is not dict:
        raise FormatError("a message is a map")
    return found

"""Commits and annotated tags (docs/format.md, "Commit" and "Tag")."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from mvc.base.errors import FormatError, LimitError
from mvc.base.ids import ObjectId, check_id
from mvc.objects import canonical
from mvc.objects.canonical import array, fields, natural, raw, text

MAX_PARENTS = 16_384
MAX_MESSAGE = 1 << 20
MAX_KEY = 256
MAX_VALUE = 65536
MAX_PAIRS = 10_000
MAX_AUTHOR = 1024
MAX_VALUES = 128 + MAX_PARENTS + 9 * MAX_PAIRS

KEY_BYTES = 32
SIGNATURE_BYTES = 64
ED25519 = "ed25519"
# What is signed begins with this, so that no signature made for another purpose fits a commit.
SIGNED = b"mvc signed commit 1\0"

_NAMES = (
    "tree",
    "parents",
    "author",
    "time",
    "message",
    "params",
    "metrics",
    "labels",
    "recipe",
    "base",
)
_METRIC = re.compile(r"([^@\[\]=\s]+)(?:@([^@\[\]\s]+))?(?:\[([^\[\]\s]+)\])?")

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Metric:
    """A number measured for this version, with the data set and split it was measured on."""

    name: str
    value: float
    dataset: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        for part in (self.name, self.dataset, self.split):
            text(part, MAX_KEY)
        if not self.name or not _finite(self.value):
            raise FormatError("a metric has a name and a finite value")

    @classmethod
    def of(cls, key: str, value: float) -> Self:
        """Return the metric written `name@dataset[split]`, or raise FormatError."""
        match = _METRIC.fullmatch(key)
        if match is None:
            raise FormatError(f"not a metric: {key[:80]!r} (write name, name@dataset[split])")
        name, dataset, split = (part or "" for part in match.groups())
        return cls(name, float(value), dataset, split)

    @property
    def key(self) -> str:
        """The metric as people write it: `name@dataset[split]`."""
        at = f"@{self.dataset}" if self.dataset else ""
        return f"{self.name}{at}[{self.split}]" if self.split else f"{self.name}{at}"


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature of a commit, and the public key that it claims to be made with."""

    key: bytes
    value: bytes

    def __post_init__(self) -> None:
        raw(self.key, KEY_BYTES)
        raw(self.value, SIGNATURE_BYTES)

    def as_map(self) -> dict[str, str | bytes]:
        """Return the map that stands in a commit."""
        return {"algorithm": ED25519, "key": self.key, "signature": self.value}

    @classmethod
    def of(cls, value: object) -> Self:
        """Return the signature of such a map, or raise FormatError."""
        algorithm, key, signature = fields(value, ("algorithm", "key", "signature"))
        if algorithm != ED25519:
            raise FormatError("a commit has a signature of an unknown algorithm")
        return cls(key, signature)


@dataclass(frozen=True, slots=True)
class Commit:
    """A version: its files, where it came from, and what is known of it.

    `time` is in microseconds since the epoch, UTC. `base` names a commit whose tensors are close
    to this one's where that is not the first parent; it is advice for storing, not history.
    `signature` is not verified here: mvc.repo.signing does that.
    """

    KIND: ClassVar[str] = "commit"
    tree: ObjectId
    parents: tuple[ObjectId, ...]
    author: str
    time: int
    message: str
    params: dict[str, Scalar] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    recipe: ObjectId | None = None
    base: ObjectId | None = None
    signature: Signature | None = None

    def __post_init__(self) -> None:
        if len(set(self.parents)) != len(self.parents) or len(self.parents) > MAX_PARENTS:
            raise FormatError(f"a commit's parents are distinct and at most {MAX_PARENTS}")
        for name in (self.tree, *self.parents):
            check_id(name)
        for hint in (self.recipe, self.base):
            if hint is not None:
                check_id(hint)
        if len(self.metrics) > MAX_PAIRS:
            raise LimitError(f"a commit of more than {MAX_PAIRS} metrics")
        keys = [(item.name, item.dataset, item.split) for item in self.metrics]
        if keys != sorted(set(keys)):
            raise FormatError("a commit's metrics are in order, each once")
        check_line(self.author, "author")
        natural(self.time)
        text(self.message, MAX_MESSAGE)
        _pairs(self.params, (str, int, float, bool))
        _pairs(self.labels, (str,))

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        value: dict[str, Any] = {
            "tree": self.tree,
            "parents": list(self.parents),
            "author": self.author,
            "time": self.time,
            "message": self.message,
            "params": self.params,
            "metrics": [
                [item.name, item.dataset, item.split, float(item.value)] for item in self.metrics
            ],
            "labels": self.labels,
            "recipe": self.recipe,
            "base": self.base,
        }
        if self.signature is not None:
            value["signature"] = self.signature.as_map()
        return canonical.encode(value)

    def signed_bytes(self) -> bytes:
        """Return what a signature of this commit is made over: all of it but the signature."""
        return SIGNED + replace(self, signature=None).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the commit of canonical bytes, or raise FormatError."""
        value = canonical.decode(data, MAX_VALUES)
        signed = type(value) is dict and "signature" in value
        names = (*_NAMES, "signature") if signed else _NAMES
        tree, parents, author, time, message, params, metrics, labels, recipe, base, *signature = (
            fields(value, names)
        )
        return cls(
            tree,
            tuple(check_id(item) for item in array(parents, MAX_PARENTS)),
            author,
            time,
            message,
            params,
            tuple(_metric(item) for item in array(metrics, MAX_PAIRS)),
            labels,
            recipe,
            base,
            Signature.of(signature[0]) if signature else None,
        )


def check_line(value: str, what: str) -> str:
    """Return `value` if it is one printable line, or raise FormatError."""
    text(value, MAX_AUTHOR)
    if not value.strip() or any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise FormatError(f"the {what} is one line of text without control characters")
    return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _pairs(value: Any, types: tuple[type, ...]) -> dict[str, Any]:
    if type(value) is not dict or len(value) > MAX_PAIRS:
        raise FormatError("a map of names to values is expected")
    for key, item in value.items():
        text(key, MAX_KEY)
        if type(item) not in types or (isinstance(item, float) and not math.isfinite(item)):
            raise FormatError(f"{key[:40]!r} has a value of the wrong type")
        if isinstance(item, str):
            text(item, MAX_VALUE)
        if isinstance(item, int) and not -(2**63) <= item < 2**64:
            raise FormatError(f"{key[:40]!r} is a number that does not fit into 64 bits")
    return value


def _metric(value: object) -> Metric:
    items = array(value, 4)
    if len(items) != 4 or type(items[3]) is not float:
        raise FormatError("a metric has four parts")
    name, dataset, split, number = items
    return Metric(name, number, dataset, split)


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated name for a commit."""

    KIND: ClassVar[str] = "tag"
    target: ObjectId
    name: str
    author: str
    time: int
    message: str

    def __post_init__(self) -> None:
        check_id(self.target)
        text(self.name, MAX_KEY)
        check_line(self.author, "author")
        natural(self.time)
        text(self.message, MAX_MESSAGE)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            {
                "target": self.target,
                "name": self.name,
                "author": self.author,
                "time": self.time,
                "message": self.message,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the tag of canonical bytes, or raise FormatError."""
        target, name, author, time, message = fields(
            canonical.decode(data, MAX_VALUES), ("target", "name", "author", "time", "message")
        )
        return cls(target, name, author, time, message)

"""The operators of a network: nodes, what flows between them, and what is said of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from mvc.base.errors import LimitError

MAX_NODES = 200_000
MAX_EDGES = 2_000_000
MAX_TEXT = 64 << 20
MAX_FIELDS = 8_000_000
MAX_VALUE = 200
"""Characters of a value that are kept; of a longer one, its beginning and a digest."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator: `attributes` as text, and the `graphs` it runs, such as both ways of an If."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, str] = field(default_factory=dict)
    graphs: Mapping[str, Graph] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order of the file, and properties by name: inputs, outputs, versions."""

    nodes: tuple[Node, ...]
    properties: Mapping[str, str] = field(default_factory=dict)


class Room:
    """Counts what is read of a graph, so that a hostile file cannot ask for gigabytes."""

    def __init__(self) -> None:
        self._nodes, self._edges, self._text = MAX_NODES, MAX_EDGES, MAX_TEXT
        self._fields = MAX_FIELDS

    def node(self) -> None:
        """Count a node, or raise LimitError."""
        self._nodes -= 1
        if self._nodes < 0:
            raise LimitError(f"a graph of more than {MAX_NODES} nodes")

    def field(self) -> None:
        """Count a field of whatever kind, or raise LimitError."""
        self._fields -= 1
        if self._fields < 0:
            raise LimitError(f"a graph of more than {MAX_FIELDS} fields")

    def text(self, text: str) -> str:
        """Count a name or value and return it, or raise LimitError."""
        self._edges -= 1
        self._text -= len(text)
        if min(self._edges, self._text) < 0:
            raise LimitError(f"a graph of more than {MAX_EDGES} edges or {MAX_TEXT} characters")
        return text


def shortened(text: str, limit: int = MAX_VALUE) -> str:
    """Return a value that is short, and still another one where the whole was another one."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... #{digest(text.encode('utf-8', 'surrogatepass'))}"


def digest(data: bytes) -> str:
    """Return eight digits that stand for bytes that are not shown."""
    return blake2b(data, digest_size=4).hexdigest()

"""How the operators of two networks differ: which were added, removed, rewired, or set otherwise.

Exporters number nodes and edges, so a name may say nothing. Nodes are one node if they are equal
in all; else if they compute the same from the same (a Merkle hash of operator, attributes and
inputs), use the same weights, or lie opposite each other in the order of the file. Where most
nodes are equal in all, names are believed before that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from hashlib import blake2b

from mvc.diff.findings import FieldChange, GraphDiff, Operator, OperatorChange
from mvc.formats.graph import Graph, Node

MAX_ALIGNED = 4000
"""Nodes that may be left on a side when order decides; aligning more takes quadratic time."""

Key = Callable[[int], Hashable]


@dataclass(slots=True)
class _Found:
    added: list[Operator] = field(default_factory=list)
    removed: list[Operator] = field(default_factory=list)
    changed: list[OperatorChange] = field(default_factory=list)
    unchanged: int = 0
    renamed: int = 0
    complete: bool = True


def compare(old: Graph, new: Graph, weights: Mapping[str, str] | None = None) -> GraphDiff:
    """Compare two graphs, subgraphs included.

    `weights` gives the new names of tensors that were renamed, by their old names.
    """
    found = _Found()
    edges = dict(weights or {})
    _compare(old, new, "", edges, found)
    return GraphDiff(
        tuple(found.added),
        tuple(found.removed),
        tuple(found.changed),
        changes(old.properties, new.properties),
        found.unchanged,
        found.renamed,
        found.complete,
    )


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[FieldChange, ...]:
    """Return which texts of two maps differ, in order of their names."""
    return tuple(
        FieldChange(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _compare(old: Graph, new: Graph, scope: str, edges: dict[str, str], found: _Found) -> None:
    matcher = _Matcher(old.nodes, new.nodes, edges)
    pairs = matcher.pairs()
    found.complete = found.complete and matcher.complete
    inner = dict(edges)
    for one, two in pairs:
        inner.update(zip(old.nodes[one].outputs, new.nodes[two].outputs, strict=False))
    for one, two in pairs:
        _add_pair(old.nodes[one], new.nodes[two], scope, inner, found)
    matched = [set(side) for side in zip(*pairs, strict=True)] if pairs else [set(), set()]
    for nodes, taken, listed in (
        (old.nodes, matched[0], found.removed),
        (new.nodes, matched[1], found.added),
    ):
        for place, node in enumerate(nodes):
            if place not in taken:
                listed.extend(_all(node, scope))
    for one, two in pairs:
        _compare_below(old.nodes[one], new.nodes[two], scope, inner, found)


def _compare_below(one: Node, two: Node, scope: str, edges: dict[str, str], found: _Found) -> None:
    """Compare the subgraphs of two nodes that are one."""
    for name in sorted(one.graphs.keys() | two.graphs.keys()):
        before, after = one.graphs.get(name), two.graphs.get(name)
        here = f"{scope}/{two.name or two.op}/{name}".lstrip("/")
        if before and after:
            _compare(before, after, here, edges, found)
            continue
        for graph, listed in ((before, found.removed), (after, found.added)):
            for node in graph.nodes if graph else ():
                listed.extend(_all(node, here))


def _all(node: Node, scope: str) -> Iterator[Operator]:
    """Yield a node and all that is below it."""
    yield _operator(node, scope)
    for name, graph in node.graphs.items():
        for below in graph.nodes:
            yield from _all(below, f"{scope}/{node.name or node.op}/{name}".lstrip("/"))


def _operator(node: Node, scope: str) -> Operator:
    return Operator(node.op, node.name, scope, node.inputs, node.outputs)


def _add_pair(one: Node, two: Node, scope: str, edges: Mapping[str, str], found: _Found) -> None:
    inputs = tuple(edges.get(name, name) for name in one.inputs)
    attributes = changes(one.attributes, two.attributes)
    rewired = inputs != two.inputs or len(one.outputs) != len(two.outputs)
    if one.op != two.op or attributes or rewired:
        before, after = _operator(one, scope), _operator(two, scope)
        found.changed.append(OperatorChange(before, after, attributes, rewired))
    else:
        found.unchanged += 1
        found.renamed += (one.name, one.inputs, one.outputs) != (two.name, two.inputs, two.outputs)


class _Matcher:
    """Finds which nodes of two graphs are one node; pairs are places in both."""

    def __init__(
        self, old: tuple[Node, ...], new: tuple[Node, ...], edges: Mapping[str, str]
    ) -> None:
        self._old, self._new, self._edges = old, new, edges
        self._free = [dict.fromkeys(range(len(old))), dict.fromkeys(range(len(new)))]
        self._pairs: list[tuple[int, int]] = []
        self.complete = True

    def pairs(self) -> list[tuple[int, int]]:
        self._by(lambda node: (node.name, *_said(node), node.inputs, node.outputs))
        sure = 2 * len(self._pairs) >= min(len(self._old), len(self._new))
        if sure:
            self._by_names()
        self._by_hash()
        self._by_weights()
        self._by_order()
        if not sure:
            self._by_names()
        self._by(lambda node: ("", node.outputs) if any(node.outputs) else None)
        return sorted(self._pairs, key=lambda pair: pair[1])

    def _by_names(self) -> None:
        self._by(lambda node: (node.op, node.outputs) if any(node.outputs) else None)
        self._by(lambda node: (node.op, node.name) if node.name else None)

    def _by(self, key: Callable[[Node], Hashable | None]) -> None:
        self._take(lambda place: key(self._old[place]), lambda place: key(self._new[place]))

    def _take(self, one: Key, two: Key) -> None:
        """Match free nodes whose key is equal, and found once on each side."""
        sides: list[dict[Hashable, list[int]]] = [{}, {}]
        for side, key, free in zip(sides, (one, two), self._free, strict=True):
            for place in free:
                found = key(place)
                if found is not None:
                    side.setdefault(found, []).append(place)
        for found, before in sides[0].items():
            after = sides[1].get(found, [])
            if len(before) == len(after) == 1:
                self._match(before[0], after[0])

    def _match(self, one: int, two: int) -> None:
        del self._free[0][one], self._free[1][two]
        self._pairs.append((one, two))

    def _by_hash(self) -> None:
        before = _hashes(self._old, self._edges)
        after = _hashes(self._new, {})
        self._take(before.__getitem__, after.__getitem__)

    def _by_weights(self) -> None:
        """Match nodes by what they take that no node makes: weights, and inputs of the graph."""
        made = [{name for node in side for name in node.outputs} for side in (self._old, self._new)]

        def key(node: Node, makes: set[str], names: Mapping[str, str]) -> Hashable | None:
            taken = [names.get(name, name) for name in node.inputs if name and name not in makes]
            return (node.op, *taken) if taken else None

        self._take(
            lambda place: key(self._old[place], made[0], self._edges),
            lambda place: key(self._new[place], made[1], {}),
        )

    def _by_order(self) -> None:
        one, two = (list(free) for free in self._free)
        if max(len(one), len(two)) > MAX_ALIGNED:
            self.complete = False
            return
        for key in (_said, _named):
            one, two = (list(free) for free in self._free)
            words = (
                [key(self._old[place]) for place in one],
                [key(self._new[place]) for place in two],
            )
            for block in SequenceMatcher(None, *words, autojunk=False).get_matching_blocks():
                for step in range(block.size):
                    self._match(one[block.a + step], two[block.b + step])


def _said(node: Node) -> tuple[Hashable, ...]:
    return (node.op, *node.attributes.items())


def _named(node: Node) -> tuple[Hashable, ...]:
    """Return the operator; of a constant nothing, which is another one with another value."""
    return () if node.op == "Constant" else (node.op,)


def _hashes(nodes: Iterable[Node], names: Mapping[str, str]) -> list[bytes]:
    """Return a hash of what each node computes; of equal ones, how often it came before counts."""
    made: dict[str, bytes] = {}
    seen: Counter[bytes] = Counter()
    found = []
    for node in nodes:
        hasher = blake2b(repr(_said(node)).encode("utf-8", "backslashreplace"), digest_size=16)
        for name in node.inputs:
            known = made.get(name)
            text = names.get(name, name).encode("utf-8", "backslashreplace")
            hasher.update(known or b"\0" + text + b"\0")
        for name, graph in node.graphs.items():
            hasher.update(f"{name} {len(graph.nodes)}".encode("utf-8", "backslashreplace"))
        value = hasher.digest()
        seen[value] += 1
        value += seen[value].to_bytes(4, "big")
        for place, output in enumerate(node.outputs):
            made[output] = value + place.to_bytes(4, "big")
        found.append(value)
    return found

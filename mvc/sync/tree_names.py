"""Names in received trees, checked without visiting a subtree twice.

A few trees can stand for more paths than anyone could list, so subtrees are summed up, each once,
before any path is spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mvc.base.errors import FormatError, IntegrityError, LimitError
from mvc.base.ids import ObjectId
from mvc.objects.tree import MAX_TENSOR_DEPTH, Tree
from mvc.repo.names import MAX_PATH_BYTES, MAX_TREE_DEPTH, folded, name_problem
from mvc.repo.trees import MAX_FILES, MAX_TENSORS
from mvc.sync.closure import FILES, TENSORS, Objects


class Shape(NamedTuple):
    """What is below a tree: how many leaves, how many levels, and the longest path in bytes."""

    leaves: int
    levels: int
    longest: int


_LEVELS = {FILES: MAX_TREE_DEPTH, TENSORS: MAX_TENSOR_DEPTH}
_LEAVES = {FILES: MAX_FILES, TENSORS: MAX_TENSORS}


class TreeNames:
    """Checks trees as `mvc.repo.trees` would refuse to read them. Raises IntegrityError."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._shapes: dict[tuple[ObjectId, str], Shape] = {}
        self._roots: set[tuple[ObjectId, str]] = set()

    def check(self, root: ObjectId, kind: str) -> None:
        """Check the tree of a version's files, or of a checkpoint's tensors."""
        if (root, kind) in self._roots:
            return
        shape = self._shape(root, kind, _LEVELS[kind], top=True)
        if kind == FILES and shape.longest > MAX_PATH_BYTES:
            raise LimitError(f"a version has a path of more than {MAX_PATH_BYTES} bytes")
        if kind == TENSORS:
            names = list(self._spelled(root, ""))
            if len(set(names)) != len(names):
                raise IntegrityError("a checkpoint has a tensor twice")
        self._roots.add((root, kind))

    def _shape(self, wanted: ObjectId, kind: str, levels: int, *, top: bool = False) -> Shape:
        found = self._shapes.get((wanted, kind))
        if found is None:
            if levels <= 0:
                raise LimitError("a tree is nested too deeply")
            found = self._looked(wanted, kind, levels)
            if found.leaves > _LEAVES[kind]:
                raise LimitError(f"a tree of more than {_LEAVES[kind]} leaves")
            self._shapes[wanted, kind] = found
        if found.levels > levels:
            raise LimitError("a tree is nested too deeply")
        if not found.leaves and not top:
            raise IntegrityError("a tree has a folder without anything in it")
        return found

    def _looked(self, wanted: ObjectId, kind: str, levels: int) -> Shape:
        tree = self._tree(wanted)
        if kind == FILES:
            _check_files([entry.name for entry in tree.entries])
        leaves = deepest = longest = 0
        for entry in tree.entries:
            length = len(entry.name.encode())
            if entry.kind == "tree":
                below = self._shape(entry.id, kind, levels - 1)
                leaves += below.leaves
                deepest = max(deepest, below.levels)
                length += 1 + below.longest
            else:
                leaves += 1
            longest = max(longest, length)
        return Shape(leaves, deepest + 1, longest)

    def _spelled(self, wanted: ObjectId, above: str) -> Iterator[str]:
        for entry in self._tree(wanted).entries:
            if entry.kind == "tree":
                yield from self._spelled(entry.id, above + entry.name)
            else:
                yield above + entry.name

    def _tree(self, wanted: ObjectId) -> Tree:
        try:
            return Tree.decode(self._objects.read(wanted, Tree.KIND))
        except FormatError as error:
            raise IntegrityError(
                f"tree {wanted.hex()[:12]} is malformed: {error.message}"
            ) from error


def _check_files(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if problem := name_problem(name):
            raise IntegrityError(f"{name[:80]!r} cannot be a file name: {problem}")
        other = seen.setdefault(folded(name), name)
        if other != name:
            raise IntegrityError(f"{name[:80]!r} and {other[:80]!r} are one file on some systems")

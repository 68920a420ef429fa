"""Between stored trees and flat maps: the files of a version, the tensors of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from mvc.base.errors import FormatError, IntegrityError, LimitError
from mvc.base.ids import ObjectId
from mvc.objects.tree import MAX_TENSOR_DEPTH, Entry, Tree, tensor_path
from mvc.repo.names import MAX_TREE_DEPTH, clash, name_problem, split_path
from mvc.store.object_store import ObjectStore

MAX_FILES = 1_000_000
MAX_TENSORS = 1_000_000
Leaf = TypeVar("Leaf")


def read_tree(store: ObjectStore, wanted: ObjectId) -> Tree:
    """Return a tree, or raise IntegrityError."""
    try:
        return Tree.decode(store.read(wanted, Tree.KIND))
    except FormatError as error:
        raise IntegrityError(f"tree {wanted.hex()[:12]} is malformed: {error.message}") from error


def files(store: ObjectStore, root: ObjectId) -> dict[str, Entry]:
    """Return all files below a tree by path. Refuses names that are not portable."""
    found: dict[str, Entry] = {}
    for path, entry in _walk(store, root, "/", MAX_TREE_DEPTH):
        if path in found:
            raise IntegrityError(f"a version has {path[:80]!r} twice")
        if entry.kind not in ("blob", "checkpoint"):
            raise IntegrityError(f"a version cannot hold a {entry.kind}")
        split_path(path)
        found[path] = entry
        if len(found) > MAX_FILES:
            raise LimitError(f"a version of more than {MAX_FILES} files")
    if pair := clash(list(found)):
        raise IntegrityError(f"{pair[0]!r} and {pair[1]!r} are one file on some systems")
    return found


def tensors(store: ObjectStore, root: ObjectId) -> dict[str, Entry]:
    """Return all tensors of a checkpoint by name, in the order of their names' pieces."""
    found: dict[str, Entry] = {}
    for name, entry in _walk(store, root, "", MAX_TENSOR_DEPTH):
        if entry.kind != "tensor" or name in found:
            raise IntegrityError("a checkpoint's tree is malformed")
        found[name] = entry
        if len(found) > MAX_TENSORS:
            raise LimitError(f"a checkpoint of more than {MAX_TENSORS} tensors")
    return found


def changed(
    store: ObjectStore,
    old: ObjectId | None,
    new: ObjectId | None,
    *,
    separator: str,
    depth: int = MAX_TREE_DEPTH,
    enter: Callable[[str], bool] | None = None,
    beginning: str = "",
) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """Yield (path, old entry, new entry) of the leaves that differ between two trees.

    Equal subtrees are never entered, nor are those whose beginning of a path (`beginning` and what
    leads to them, with the separator) `enter` refuses. `separator` is "/" for files and "" for
    tensors. Raises LimitError below `depth` levels.
    """
    if old == new:
        return
    if depth <= 0:
        raise LimitError("a tree is nested too deeply")
    before = {entry.name: entry for entry in read_tree(store, old).entries} if old else {}
    after = {entry.name: entry for entry in read_tree(store, new).entries} if new else {}
    for name in sorted(before.keys() | after.keys()):
        one, two = before.get(name), after.get(name)
        if one and two and (one.id, one.kind) == (two.id, two.kind):
            continue
        trees = [entry.id if entry and entry.kind == "tree" else None for entry in (one, two)]
        leaves = [entry if entry and entry.kind != "tree" else None for entry in (one, two)]
        start = f"{beginning}{name}{separator}"
        if any(trees) and (enter is None or enter(start)):
            yield from changed(
                store,
                trees[0],
                trees[1],
                separator=separator,
                depth=depth - 1,
                enter=enter,
                beginning=start,
            )
        if any(leaves):
            yield f"{beginning}{name}", leaves[0], leaves[1]


def write_files(put: Callable[[Tree], ObjectId], leaves: dict[str, Entry]) -> ObjectId:
    """Store the trees of a version and return the root's id."""
    return _write(put, {split_path(path): entry for path, entry in leaves.items()}, 0).id


def write_tensors(put: Callable[[Tree], ObjectId], leaves: dict[str, Entry]) -> ObjectId:
    """Store the trees of a checkpoint's tensors and return the root's id."""
    return _write(put, {tensor_path(name): entry for name, entry in leaves.items()}, 0).id


def find(store: ObjectStore, root: ObjectId, path: str) -> Entry | None:
    """Return the file or directory at a path below a tree, None where there is none."""
    entry = Entry("", "tree", root, 0)
    for part in [piece for piece in path.split("/") if piece]:
        if entry.kind != "tree":
            return None
        below = read_tree(store, entry.id).get(part)
        if below is None:
            return None
        entry = below
    return entry


def _walk(
    store: ObjectStore, root: ObjectId, separator: str, depth: int
) -> Iterator[tuple[str, Entry]]:
    if depth <= 0:
        raise LimitError("a tree is nested too deeply")
    for entry in read_tree(store, root).entries:
        if separator and (problem := name_problem(entry.name)):
            raise IntegrityError(f"{entry.name[:80]!r} cannot be a file name: {problem}")
        if entry.kind == "tree":
            for path, leaf in _walk(store, entry.id, separator, depth - 1):
                yield f"{entry.name}{separator}{path}", leaf
        else:
            yield entry.name, entry


def _write(
    put: Callable[[Tree], ObjectId], leaves: dict[tuple[str, ...], Entry], depth: int
) -> Entry:
    groups: dict[str, dict[tuple[str, ...], Entry]] = {}
    entries: list[Entry] = []
    for parts, entry in leaves.items():
        if len(parts) == depth + 1:
            entries.append(Entry(parts[depth], entry.kind, entry.id, entry.size))
        else:
            groups.setdefault(parts[depth], {})[parts] = entry
    for name, below in groups.items():
        written = _write(put, below, depth + 1)
        entries.append(Entry(name, "tree", written.id, written.size))
    tree = Tree(tuple(sorted(entries, key=lambda entry: entry.name)))
    return Entry("", "tree", put(tree), tree.size)

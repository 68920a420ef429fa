"""Trees and flat maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import LimitError
from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry, Tree
from mvc.repo import trees
from mvc.repo.names import MAX_TREE_DEPTH
from mvc.storage.memory import MemoryStorage
from mvc.store.object_store import ObjectStore
from mvc.store.transaction import Transaction


def tower(store: ObjectStore, scratch: Path, leaf: bytes, levels: int) -> ObjectId:
    with Transaction(store, scratch) as tx:
        top = tx.put(Tree((Entry("x", "blob", ObjectId(leaf * 32), 1),)))
        for _ in range(levels):
            top = tx.put(Tree((Entry("d", "tree", top, 1),)))
        tx.commit()
    return top


def test_a_comparison_of_trees_without_end_is_refused(tmp_path: Path) -> None:
    store = ObjectStore(MemoryStorage(), None)
    deep = [tower(store, tmp_path, leaf, MAX_TREE_DEPTH + 5) for leaf in (b"1", b"2")]
    with pytest.raises(LimitError, match="nested too deeply"):
        list(trees.changed(store, deep[0], deep[1], separator="/"))
    flat = [tower(store, tmp_path, leaf, 3) for leaf in (b"1", b"2")]
    ((path, old, new),) = trees.changed(store, flat[0], flat[1], separator="/")
    assert path == "d/d/d/x"
    assert old != new
    store.close()

"""Metadata objects of recently read blocks: neighbours in a block are usually wanted together."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from mvc.base.ids import ObjectId
from mvc.store.block import Item

CACHE_BYTES = 32 << 20


class BlockCache:
    """Objects by id, dropped a block at a time, least recently read block first."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._blocks: OrderedDict[tuple[str, int], list[Item]] = OrderedDict()
        self._items: dict[ObjectId, Item] = {}
        self._guard = Lock()

    def get(self, wanted: ObjectId) -> Item | None:
        """Return an object of a cached block."""
        return self._items.get(wanted)

    def put(self, pack: str, at: int, items: list[Item]) -> None:
        """Keep objects of the block at `at` of a pack, if they are more than those kept of it."""
        with self._guard:
            kept = self._blocks.pop((pack, at), [])
            items = max(kept, items, key=len)
            self._size += _bytes(items) - _bytes(kept)
            self._blocks[pack, at] = items
            self._items.update((item.id, item) for item in items)
            while self._size > self._limit and len(self._blocks) > 1:
                _, dropped = self._blocks.popitem(last=False)
                self._size -= _bytes(dropped)
                for item in dropped:
                    self._items.pop(item.id, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._guard:
            self._blocks.clear()
            self._items.clear()
            self._size = 0


def _bytes(items: list[Item]) -> int:
    return sum(len(item.content) for item in items)

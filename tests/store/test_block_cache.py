from __future__ import annotations

from mvc.base.ids import object_id
from mvc.store.block import Item
from mvc.store.block_cache import BlockCache


def items(*contents: bytes) -> list[Item]:
    return [Item(object_id("blob", content), "blob", content) for content in contents]


def test_what_was_read_least_recently_goes_first() -> None:
    cache = BlockCache(10)
    blocks = [items(b"a" * 4), items(b"b" * 4), items(b"c" * 4)]
    for number, held in enumerate(blocks):
        cache.put("pack", number, held)
    assert cache.get(blocks[0][0].id) is None
    assert [cache.get(held[0].id) for held in blocks[1:]] == [held[0] for held in blocks[1:]]


def test_more_of_a_block_takes_the_place_of_less_and_not_the_other_way_round() -> None:
    cache = BlockCache(10)
    whole = items(b"1234", b"5678")
    for held in (whole[:1], whole, whole[1:], whole):
        cache.put("pack", 0, held)
    assert [cache.get(item.id) for item in whole] == whole
    other = items(b"90")
    cache.put("pack", 1, other)
    assert cache.get(whole[0].id) is whole[0]
    cache.put("pack", 2, other)
    assert cache.get(whole[0].id) is None
    cache.clear()
    assert cache.get(other[0].id) is None

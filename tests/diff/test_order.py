from __future__ import annotations

import pytest

from mvc.base.errors import UsageError
from mvc.diff.order import KEYS, Order
from tests.diff.test_layers import Tensor, weights

SMALL = Tensor("layer.2", weights([3, 4], [3, 4.5]), 8)
LARGE = Tensor("layer.10", weights([30, 40], [30, 42]), 4)
NOTHING = Tensor("layer.1", None, 6)
ALL = [LARGE, NOTHING, SMALL]


def names(key: str | None, top: int | None = None) -> list[str]:
    return [item.name[6:] for item in Order.parse(key, top).applied(ALL)]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, ["1", "2", "10"]),
        ("name", ["1", "2", "10"]),
        ("-name", ["10", "2", "1"]),
        ("l2", ["10", "2", "1"]),
        ("-l2", ["2", "10", "1"]),
        ("relative", ["2", "10", "1"]),
        ("max", ["10", "2", "1"]),
        ("cosine", ["2", "10", "1"]),
        ("changed", ["10", "2", "1"]),
        ("bytes", ["2", "1", "10"]),
        ("-bytes", ["10", "1", "2"]),
    ],
)
def test_the_most_changed_come_first(key: str | None, expected: list[str]) -> None:
    assert names(key) == expected


def test_the_top_is_by_relative_change_unless_a_key_is_given() -> None:
    assert names(None, 1) == ["2"]
    assert names("l2", 2) == ["10", "2"]


def test_another_key_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        Order.parse("size", None)
    assert all(key in str(caught.value.hint) for key in KEYS)

"""Structure as the page of a comparison says it."""

from __future__ import annotations

from mvc.diff.structure import Recoded
from mvc.web.structure_view import recoded


def test_a_transposed_tensor_says_so() -> None:
    item = Recoded("w", "float32", "float32", (2, 2), (2, 2), 16, transposed=True)
    assert recoded(item) == "transposed, equal words"


def test_a_cast_that_nobody_judged_is_a_recast() -> None:
    item = Recoded("w", "float32", "float16", (2, 2), (2, 2), 8)
    assert recoded(item) == "recast"

"""Tensors for tests of merging, cut into small parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mvc.base import dtypes
from mvc.base.ids import digest
from mvc.merge import deltas, numbers, order, work
from mvc.merge.strategies import Value, strategy
from mvc.merge.tensors import Merged, merged
from mvc.objects import model
from mvc.objects.model import Content, Tensor
from mvc.repo.tensors import Held

STEP = 300
"""Words of a part in these tests."""


def cut_small(
    monkeypatch: pytest.MonkeyPatch, chunk: int = STEP, block: int = 128, inline: int = 16
) -> None:
    """Make parts and blocks so small that few elements fill several."""
    monkeypatch.setattr(model, "CHUNK_WORDS", chunk)
    monkeypatch.setattr(model, "INLINE_BYTES", inline)
    monkeypatch.setattr(deltas, "CHUNK_WORDS", chunk)
    monkeypatch.setattr(work, "BLOCK_WORDS", block)
    monkeypatch.setattr(order, "BLOCK_WORDS", block)


def held(
    array: np.ndarray, label: str | None = None, read: Callable[[bytes], None] = lambda _: None
) -> Held:
    """Return an array as a stored tensor; `read` is told the id of every part that is loaded."""
    label = label or array.dtype.name
    data = array.tobytes()
    kind = dtypes.dtype(label)
    if len(data) <= model.INLINE_BYTES:
        return Held(
            Tensor(label, array.shape, Content(len(data), kind.word, data, ())), lambda _: data
        )
    step = kind.word * model.CHUNK_WORDS
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    ids = tuple(digest(piece) for piece in pieces)

    def load(number: int) -> bytes:
        read(ids[number])
        return pieces[number]

    return Held(Tensor(label, array.shape, Content(len(data), kind.word, b"", ids)), load)


def words_of(found: Merged) -> np.ndarray:
    """Return the words of a merged tensor."""
    kind = numbers.numbers(found.dtype)
    assert kind is not None
    return np.frombuffer(b"".join(found.parts()), kind.word)


def made(
    name: str,
    base: np.ndarray | None,
    sides: Sequence[np.ndarray],
    weights: Sequence[float] | None = None,
    *,
    label: str | None = None,
    tensor: str = "w",
    **options: Value,
) -> np.ndarray:
    """Return what a strategy makes of arrays, as an array of their type."""
    given = {option.rstrip("_"): value for option, value in options.items()}
    found = merged(
        None if base is None else held(base, label),
        [held(side, label) for side in sides],
        strategy(name, given),
        weights,
        name=tensor,
    )
    return np.frombuffer(b"".join(found.parts()), sides[0].dtype).reshape(sides[0].shape)

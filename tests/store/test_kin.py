from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mvc.base.ids import ObjectId
from mvc.store import kin
from mvc.store.chunks import Words, load_bytes
from mvc.store.kin import Kin, Sketch, sketch
from mvc.store.resemblance import Trial
from mvc.store.transaction import Transaction
from tests.store.samples import open_store

COUNT = 20_000


def name(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(32, "big"))


def drawn(words: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Sketch:
    tops = (words.view("<u4") >> 16).astype("<u2")
    return sketch(tops, "float", "float32", 100, 0)


def weights(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, 0.02, COUNT).astype(np.float32)


def test_the_nearest_of_many_is_found() -> None:
    known, rng = Kin(), np.random.default_rng(0)
    for number in range(50):
        known.note(name(number), drawn(weights(number)))
    for number in (0, 17, 49):
        tuned = weights(number) + rng.normal(0, 1e-3, COUNT).astype(np.float32)
        assert known.nearest(drawn(tuned)) == name(number)


def test_a_stranger_among_many_has_no_nearest() -> None:
    known = Kin()
    for number in range(50):
        known.note(name(number), drawn(weights(number)))
    assert known.nearest(drawn(weights(99))) is None


def test_what_is_nearly_equal_is_near_though_all_are() -> None:
    known = Kin()
    units = np.zeros(5000, "<u1")
    for number in range(9):
        units[100] = number
        known.note(name(number), sketch(units, "opaque", "bytes", 0, 0))
    assert known.nearest(sketch(units, "opaque", "bytes", 0, 0)) is not None


def test_only_chunks_at_the_same_place_of_the_same_shape_are_compared() -> None:
    known = Kin()
    tops = np.arange(COUNT).astype("<u2")
    known.note(name(1), sketch(tops, "float", "float32", 100, 0))
    assert known.nearest(sketch(tops, "float", "float32", 100, 0)) == name(1)
    assert known.nearest(sketch(tops, "float", "float32", 200, 0)) is None
    assert known.nearest(sketch(tops, "float", "float32", 100, 7)) is None
    assert known.nearest(sketch(tops, "float", "bfloat16", 100, 0)) is None
    assert known.nearest(sketch(tops[:-1], "float", "float32", 100, 0)) is None
    assert known.knows(name(1), sketch(tops, "float", "float32", 100, 0))
    assert not known.knows(name(2), sketch(tops, "float", "float32", 100, 0))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kin, "MAX_KIN", 5)
    monkeypatch.setattr(kin, "MAX_SKETCHES", 7)
    known = Kin()
    tops = np.arange(COUNT).astype("<u2")
    first, second = (sketch(tops, "float", "float32", 100, start) for start in (0, 8))
    for number in range(10):
        known.note(name(number), first)
        known.note(name(100 + number), second)
    held = [number for number in range(200) if known.knows(name(number), first)]
    held += [number for number in range(200) if known.knows(name(number), second)]
    assert len(held) == 7


def test_models_of_one_commit_are_stored_as_deltas_of_each_other(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    rng = np.random.default_rng(3)
    held = []
    for family in range(4):
        for _ in range(3):
            tuned = weights(family) + rng.normal(0, 1e-5, COUNT).astype(np.float32)
            held.append(tuned.tobytes())
    order = rng.permutation(len(held))
    with Transaction(store, tmp_path / "tmp") as tx:
        names = [
            next(
                tx.put_chunks(
                    [Words(held[number], 4, "float", (), "float32", 100, 0, trial=Trial())]
                )
            )
            for number in order
        ]
        tx.commit()
    entries = [store.chunk_entry(one)[1] for one in names]
    assert sum(entry.base is None for entry in entries) == 4
    for one, number in zip(names, order, strict=True):
        assert load_bytes(store, one, 4, 4 * COUNT) == held[number]
    store.close()

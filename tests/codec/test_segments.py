from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.dtypes import SEGMENTS
from mvc.codec.segments import join, split, swapped
from tests.codec.material import WORDS


@pytest.mark.parametrize("word", WORDS)
def test_words_are_cut_from_the_top(word: int) -> None:
    value = int.from_bytes(range(1, word + 1), "big")
    parts = split(value.to_bytes(word, "little") * 3, word)
    assert [part.itemsize for part in parts] == list(SEGMENTS[word])
    assert b"".join(part[:1].byteswap().tobytes() for part in parts) == bytes(range(1, word + 1))
    assert bytes(join(parts, word)) == value.to_bytes(word, "little") * 3


@given(st.sampled_from(WORDS), st.binary(max_size=400), st.integers(0, 7))
def test_segments_join_to_the_same_bytes_wherever_these_lie(
    word: int, data: bytes, offset: int
) -> None:
    whole = memoryview(bytes(offset) + data)[offset:]
    whole = whole[: len(whole) // word * word]
    assert bytes(join(split(whole, word), word)) == bytes(whole)


def test_the_top_segment_of_a_float32_is_its_truncation_to_bfloat16() -> None:
    data = np.random.default_rng(1).normal(0, 1, 100).astype("<f4")
    top = split(data.tobytes(), 4)[0].view(ml_dtypes.bfloat16).astype("<f4")
    assert np.all(np.abs(top) <= np.abs(data))
    assert np.all(np.abs(data - top) <= np.abs(data) * 2**-7)


@pytest.mark.parametrize("word", WORDS)
def test_swapping_twice_changes_nothing(word: int) -> None:
    data = bytes(range(16))
    assert bytes(swapped(data, word)[:word]) == data[:word][::-1]
    assert bytes(swapped(swapped(data, word), word)) == data

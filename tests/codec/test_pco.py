from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import pco
from mvc.codec.segments import UNITS
from tests.codec.material import ALONE

WIDTHS = sorted(UNITS)


@given(
    st.sampled_from(sorted(ALONE)),
    st.sampled_from(WIDTHS),
    st.sampled_from([1, 2, 255, 256, 257, 5000]) | st.integers(1, 300),
    st.integers(0, 2**32 - 1),
)
def test_numbers_come_back(shape: str, width: int, count: int, seed: int) -> None:
    numbers = ALONE[shape](np.random.default_rng(seed), count, width)
    again = pco.decompress(pco.compress(numbers), count, width)
    assert again.dtype == numbers.dtype
    assert again.tobytes() == numbers.tobytes()


@pytest.mark.parametrize("count", [pco.PAGE - 1, pco.PAGE, pco.PAGE + 1, (1 << 20) - 1, 1 << 20])
def test_numbers_of_several_pages_come_back(count: int) -> None:
    numbers = np.random.default_rng(count).geometric(0.1, count).astype("<u2")
    assert (pco.decompress(pco.compress(numbers), count, 2) == numbers).all()


def test_numbers_that_are_not_in_a_row_in_memory_come_back() -> None:
    numbers = np.arange(1000, dtype="<u2")[::3]
    assert pco.decompress(pco.compress(numbers), len(numbers), 2).tolist() == numbers.tolist()
    unaligned = np.frombuffer(b"x" + numbers.tobytes(), np.uint8)[1:].view("<u2")
    assert pco.decompress(pco.compress(unaligned), len(numbers), 2).tolist() == numbers.tolist()


@pytest.mark.parametrize("off", [-1, 1, 100])
def test_a_stream_of_another_number_of_numbers_is_refused(off: int) -> None:
    stream = pco.compress(np.arange(300, dtype="<u2"))
    with pytest.raises(FormatError):
        pco.decompress(stream, 300 + off, 2)


@pytest.mark.parametrize("width", [1, 4, 8])
def test_a_stream_of_other_units_is_refused(width: int) -> None:
    with pytest.raises(FormatError):
        pco.decompress(pco.compress(np.arange(300, dtype="<u2")), 300, width)


def test_signed_numbers_and_floats_are_refused() -> None:
    from pcodec import ChunkConfig, standalone

    for kind in ("<i2", "<f2", "<i4", "<f4"):
        stream = standalone.simple_compress(np.arange(300).astype(kind), ChunkConfig())
        with pytest.raises(FormatError):
            pco.decompress(stream, 300, int(kind[-1]))


def test_a_stream_cut_anywhere_is_refused() -> None:
    numbers = np.random.default_rng(1).geometric(0.2, 700).astype("<u2")
    stream = pco.compress(numbers)
    for end in range(len(stream)):
        with pytest.raises(FormatError):
            pco.decompress(stream[:end], len(numbers), 2)


@given(st.data())
def test_a_changed_stream_gives_numbers_or_a_format_error(data: st.DataObject) -> None:
    width = data.draw(st.sampled_from(WIDTHS))
    count = data.draw(st.sampled_from([1, 10, 300, 3000]))
    shape = data.draw(st.sampled_from(sorted(ALONE)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    stream = bytearray(pco.compress(ALONE[shape](np.random.default_rng(seed), count, width)))
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can go wrong is in the first bytes.
        at = data.draw(st.integers(0, min(len(stream), data.draw(st.sampled_from([40, 9999]))) - 1))
        stream[at] = data.draw(st.integers(0, 255))
    try:
        again = pco.decompress(bytes(stream), count, width)
    except FormatError:
        return
    assert (len(again), again.itemsize) == (count, width)


def test_bytes_that_were_never_a_stream_are_refused() -> None:
    for data in (b"", b"pco!", b"pco!\x03", bytes(40), b"\xff" * 40, b"pco!" + b"\xff" * 40):
        with pytest.raises(FormatError):
            pco.decompress(data, 4, 2)

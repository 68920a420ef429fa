from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, LimitError
from mvc.codec import zstd
from mvc.codec.lowrank import LARGEST, MAX_RANK, SMALLEST, Factor
from mvc.codec.lowrank_bytes import (
    _HEAD,
    MAX_LENGTH,
    MAX_VALUES,
    decode_left,
    decode_right,
    encode_left,
    encode_right,
)


@st.composite
def factors(draw: st.DrawFn) -> Factor:
    rank = draw(st.integers(1, 6) | st.sampled_from([64, MAX_RANK]))
    length = draw(st.integers(1, 50) | st.sampled_from([400]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = rng.integers(0, 32, (rank, 1)) if draw(st.booleans()) else draw(st.integers(0, 31))
    multiples = np.round(rng.uniform(-1, 1, (rank, length)) * (2.0**bits - 1))
    if draw(st.booleans()):
        multiples[:, rng.integers(0, length)] = -(2.0**31)
    if draw(st.booleans()):
        multiples[rng.integers(0, rank)] = 0.0
    return multiples * 2.0 ** rng.integers(-128, 128, (rank, 1)) + 0.0


@given(factors())
def test_factors_come_back(factor: Factor) -> None:
    rank, length = factor.shape
    assert np.array_equal(decode_right(encode_right(factor), length), factor)
    assert np.array_equal(decode_left(encode_left(factor.T), length, rank), factor.T)


@given(factors(), st.data())
def test_changed_bytes_give_factors_within_the_limits_or_a_format_error(
    factor: Factor, data: st.DataObject
) -> None:
    length = factor.shape[1]
    coded = bytearray(encode_right(factor))
    for _ in range(data.draw(st.integers(0, 3))):
        coded[data.draw(st.integers(0, len(coded) - 1))] ^= data.draw(st.integers(1, 255))
    coded = coded[: data.draw(st.integers(0, len(coded)) | st.just(len(coded)))]
    coded += data.draw(st.binary(max_size=3))
    try:
        again = decode_right(bytes(coded), length)
    except FormatError:
        return
    assert again.shape[1] == length
    size = np.abs(again)
    assert (((size >= SMALLEST) & (size <= LARGEST)) | (size == 0)).all()


@given(st.binary(max_size=80), st.integers(1, 40), st.integers(1, 4))
def test_random_bytes_raise_only_format_errors(data: bytes, length: int, rank: int) -> None:
    head = _HEAD.pack(rank, length, len(data) // 2)
    for whole in (data, head + data, head + bytes(2 * rank) + data):
        try:
            decoded = decode_left(whole, length, rank)
        except FormatError:
            continue
        assert decoded.shape == (length, rank)


def plain(rank: int, length: int, *, lower: int = 0, rest: bytes = b"") -> bytes:
    upper = bytes(rank * length)
    head = _HEAD.pack(rank, length, len(upper))
    return head + bytes(rank) + bytes([lower]) * rank + upper + rest


def test_values_are_what_the_table_says() -> None:
    data = _HEAD.pack(2, 3, 6) + b"\x00\xfe" + b"\x00\x04" + b"\x01\xff\x80" + b"\x00\x01\xff"
    data += b"\x21\x0f"
    assert decode_right(data, 3).tolist() == [[1.0, -1.0, -128.0], [0.25, 4.5, -0.25]]
    whole = np.array([[1.0, -1.0, -128.0], [0.25, 4.5, -0.25]])
    assert np.array_equal(decode_right(encode_right(whole), 3), whole)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        plain(2, 3)[:9],
        plain(2, 3)[:11],
        plain(2, 3)[:-1],
        plain(2, 3) + b"\x00",
        plain(2, 4),
        plain(1, 3),
        plain(3, 3),
        plain(2, 3, lower=1),
        plain(2, 3, lower=1, rest=b"\x00"),
        plain(2, 3, lower=1, rest=b"\x00\x08"),
        plain(2, 3, lower=25, rest=bytes(20)),
        _HEAD.pack(2, 3, 2**32 - 1) + bytes(100),
        _HEAD.pack(2, 3, 5) + bytes(9),
        _HEAD.pack(2, 3, 15) + bytes(4) + zstd.compress(bytes(7), 1),
    ],
    ids=lambda data: f"{len(data)} {data[10:20].hex()}",
)
def test_malformed_factors_are_refused(data: bytes) -> None:
    assert decode_left(plain(2, 3), 3, 2).shape == (3, 2)
    with pytest.raises(FormatError):
        decode_left(data, 3, 2)


@pytest.mark.parametrize(
    ("rank", "length"),
    [(0, 3), (MAX_RANK + 1, 3), (1, 0), (1, MAX_LENGTH + 1), (5, MAX_VALUES // 5 + 1)],
)
def test_limits_are_checked_before_anything_is_read(rank: int, length: int) -> None:
    with pytest.raises(LimitError):
        decode_right(_HEAD.pack(rank, length, 0), length)


@pytest.mark.parametrize(
    "factor",
    [
        np.array([[np.nan, 1.0]]),
        np.array([[np.inf, 1.0]]),
        np.array([[1.0, 2.0**-31]]),
        np.array([[2.0**-129]]),
        np.array([[2.0**159]]),
        np.array([[-0.0, 1.0]]),
        np.zeros((0, 3)),
        np.zeros(3),
    ],
    ids=str,
)
def test_what_is_not_on_a_grid_cannot_be_coded(factor: Factor) -> None:
    with pytest.raises(ValueError, match=r"component|matrix|zero"):
        encode_right(factor)


def test_factors_of_normal_values_take_hardly_more_than_their_entropy() -> None:
    factor = np.round(np.random.default_rng(1).normal(0, 2.0**16, (8, 4096)))
    entropy = 16 + np.log2(2 * np.pi * np.e) / 2
    assert len(encode_right(factor)) * 8 / factor.size < entropy + 0.15


def test_hostile_factors_allocate_little() -> None:
    program = (
        "import resource\n"
        "from mvc.base.errors import FormatError\n"
        "from mvc.codec import lowrank_bytes as lb, zstd\n"
        "bomb = zstd.compress(bytes(64 << 20), 1)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))\n"
        "head = lb._HEAD.pack\n"
        "cases = [head(256, 1 << 20, 4), head(4, 1 << 20, len(bomb)) + bytes(8) + bomb,\n"
        "         head(256, 1 << 14, 4) + bytes([24]) * 512 + bytes(4)]\n"
        "for data in cases:\n"
        "    try:\n        lb.decode_right(data, 1 << (14 if data is cases[2] else 20))\n"
        "    except FormatError:\n        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["refused"] * 3, done.stderr

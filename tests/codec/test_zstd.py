from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import zstd

TEXT = bytes(range(256)) * 40
MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = b"\x50\x2a\x4d\x18"


def frame() -> bytes:
    return zstd.compress(TEXT, 3)


@given(st.binary(max_size=5000), st.integers(1, 9))
def test_bytes_come_back(data: bytes, level: int) -> None:
    assert zstd.decompress(zstd.compress(data, level), len(data)) == data


def test_a_frame_that_claims_a_tebibyte_is_refused() -> None:
    claim = MAGIC + b"\xe0" + struct.pack("<Q", 1 << 40) + b"\x01\x00\x00"
    for size in (0, 100, 1 << 20):
        with pytest.raises(FormatError):
            zstd.decompress(claim, size)


def test_a_bomb_is_refused_by_the_size_of_its_record() -> None:
    bomb = zstd.compress(bytes(64 << 20), 1)
    assert len(bomb) < 10_000
    with pytest.raises(FormatError):
        zstd.decompress(bomb, 1 << 20)


@pytest.mark.parametrize("size", [0, 1, len(TEXT) - 1, len(TEXT) + 1, 2**62])
def test_another_size_than_declared_is_refused(size: int) -> None:
    with pytest.raises(FormatError):
        zstd.decompress(frame(), size)


def test_a_frame_without_a_size_is_refused() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    with pytest.raises(FormatError):
        zstd.decompress(unsized, len(TEXT))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        MAGIC,
        frame() + b"x",
        frame() + frame(),
        frame() + SKIPPABLE + bytes(4),
        SKIPPABLE + bytes(4) + frame(),
        SKIPPABLE + struct.pack("<I", len(TEXT)) + TEXT,
    ],
    ids=[
        "empty",
        "garbage",
        "magic",
        "garbage behind",
        "two",
        "skippable behind",
        "before",
        "only",
    ],
)
def test_anything_but_one_whole_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        zstd.decompress(data, len(TEXT))


def test_a_truncated_frame_is_refused_wherever_it_ends() -> None:
    whole = zstd.compress(TEXT[:300], 1)
    for end in range(len(whole)):
        with pytest.raises(FormatError):
            zstd.decompress(whole[:end], 300)


def test_a_frame_that_needs_a_dictionary_is_refused() -> None:
    trained = zstandard.train_dictionary(4096, [TEXT[n : n + 200] for n in range(2000)])
    packed = zstandard.ZstdCompressor(dict_data=trained).compress(TEXT)
    with pytest.raises(FormatError):
        zstd.decompress(packed, len(TEXT))


def test_a_flipped_bit_gives_as_many_bytes_or_a_format_error() -> None:
    whole = zstd.compress(TEXT[:400], 1)
    for at in range(len(whole) * 8):
        broken = bytearray(whole)
        broken[at // 8] ^= 1 << (at % 8)
        try:
            assert len(zstd.decompress(bytes(broken), 400)) == 400
        except FormatError:
            continue


def test_threads_do_not_share_a_coder() -> None:
    def work(number: int) -> bool:
        data = bytes([number]) * 10_000 + TEXT
        return zstd.decompress(zstd.compress(data, 1 + number % 3), len(data)) == data

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(work, range(100)))

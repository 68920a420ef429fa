"""Sections that claim more than they hold, read under a limit of memory (see test_hostile.py).

Run by itself, `python -m tests.codec.hostile`, it prints a line for each: what came of it, the
seconds it took, and its name.
"""

from __future__ import annotations

import resource
import struct
import sys
import time
from collections.abc import Iterator

import numpy as np
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, standalone

from mvc.base.errors import FormatError
from mvc.codec import chunk, pco, section, zstd
from mvc.codec.plain import Mode
from mvc.codec.section import Context
from mvc.codec.segments import UNITS
from tests.memory import peak

LIMIT = 3 << 29
COUNT = 1 << 20
LENGTH = struct.Struct("<I")
PLANE = struct.Struct("<BI")
SIZES = struct.Struct("<HIII")
MAGIC = b"\x28\xb5\x2f\xfd"


def frames() -> Iterator[tuple[str, bytes]]:
    yield "a tebibyte", MAGIC + b"\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\0\0"
    yield "no size", MAGIC + b"\x00\xff\x01\0\0"
    yield "four gibibytes", MAGIC + b"\xa0\xff\xff\xff\xff"
    yield "a bomb", zstd.compress(bytes(1 << 28), 1)
    large = bytearray(zstd.compress(bytes(1 << 28), 1))
    large[5:9] = COUNT.to_bytes(4, "little")
    yield "a bomb that claims less", bytes(large)
    # A window of 2 GiB for a content of the size that is asked for.
    yield "a large window", MAGIC + b"\x80\xa8" + COUNT.to_bytes(4, "little") + b"\x03\0\0" + b"a"


def streams(width: int) -> Iterator[tuple[str, bytes]]:
    unit = UNITS[width]
    many = standalone.simple_compress(np.zeros(1 << 24, unit), ChunkConfig(enable_8_bit=True))
    yield "2^24 numbers", bytes(many)
    rng = np.random.default_rng(width)
    numbers = np.tile(rng.integers(0, 200, 500).astype(unit), 20)
    modes = [ModeSpec.classic(), ModeSpec.try_dict(), ModeSpec.try_int_mult(3)]
    deltas = [
        DeltaSpec.no_op(),
        DeltaSpec.try_consecutive(7),
        DeltaSpec.try_lookback(),
        DeltaSpec.try_conv1(2),
    ]
    for number, mode in enumerate(modes if width == 2 else []):
        for step, delta in enumerate(deltas):
            config = ChunkConfig(mode_spec=mode, delta_spec=delta, enable_8_bit=True)
            try:
                stream = bytearray(standalone.simple_compress(numbers * 3, config))
            except RuntimeError:
                continue
            for at in range(5, 60):
                for value in (0xFF, 0x7F, stream[at] ^ 0x80):
                    changed = stream[:at] + bytes([value]) + stream[at + 1 :]
                    yield f"mode {number}, delta {step}, byte {at} is {value}", bytes(changed)
    one = pco.compress(np.array([5], unit))
    start = 9
    yield "a million chunks of one number", one[:start] + one[start:-1] * COUNT + one[-1:]


def nested(depth: int) -> bytes:
    inner = b"\x00a"
    for _ in range(depth):
        inner = b"\x05\x01\x08\x0c" + LENGTH.pack(len(inner)) + inner
    return inner


def numbers(*values: int) -> bytes:
    """Return numbers of less than 28 bits in groups of seven, each padded to four bytes."""
    return b"".join(
        bytes([value >> 7 * at & 0x7F | (0x80 if at < 3 else 0) for at in range(4)])
        for value in values
    )


def rungs(count: int) -> bytes:
    """Return four rungs, each of which says that all units are large."""
    return b"\x04" + (numbers(count, 1, count // 8) + b"\xff" * (count // 8)) * 4


def sections(width: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and sections for `COUNT` units of `width` bytes."""
    raw = b"\x01" + bytes(COUNT * width)
    for name, frame in frames():
        yield f"planes: {name}", b"\x02" + (PLANE.pack(2, len(frame)) + frame) * width
        yield f"sparse: {name}", b"\x07" + LENGTH.pack(len(frame)) + frame + raw
    for name, stream in streams(width):
        yield f"pco: {name}", b"\x03" + stream
    for name, stream in streams(1):
        if "mode" not in name:
            yield f"planes of pco: {name}", b"\x02" + (PLANE.pack(3, len(stream)) + stream) * width
    for name, stream in streams(width):
        if "mode" not in name:
            yield f"gaps: {name}", b"\x04" + rungs(COUNT) + bytes(COUNT // 8) + stream
    for name, rung in (
        ("more than there are", numbers(COUNT + 1, 1, COUNT // 8)),
        ("large divisors", numbers(COUNT, 1 << 27, COUNT // 8)),
        ("a long code", numbers(1, 1, (1 << 28) - 1)),
        ("a number without end", b"\xff" * 9),
    ):
        yield f"gaps: {name}", b"\x04\x01" + rung + b"\xff" * (COUNT // 8)
    for claim in (2**32 - 1, 2**31, 65536, 65537):
        yield f"lookup: {claim} pairs", b"\x06" + LENGTH.pack(claim) + bytes(1 << 19)
        yield f"groups: {claim} bytes", b"\x05\x01\x08\x0c" + LENGTH.pack(claim) + bytes(100)
    yield "groups in groups", nested(1000)
    yield "groups in groups in groups", nested(100_000)
    yield "sparse in sparse", b"\x07" + LENGTH.pack(0) + (b"\x07" + LENGTH.pack(0)) * 100_000
    for columns, start in ((16, 15), (1 << 20, (1 << 20) - 1), (2**32 - 1, 2**32 - 2)):
        head = b"\x05\x03\x07\x0c" + SIZES.pack(100, columns, start, 2) + b"\x00a"
        yield f"levels of {columns} columns", head + LENGTH.pack(len(raw)) + raw
    for number in (2, 256):
        part = LENGTH.pack(2) + b"\x00a"
        yield f"{number} columns", bytes([5, 2, number - 1, 0]) + part * 300


def factor(rank: int, length: int, upper: bytes, bits: int, rest: bytes = b"") -> bytes:
    head = struct.pack("<HII", rank, length, len(upper))
    return head + bytes(rank) + bytes([bits]) * rank + upper + rest


def left(rank: int, rows: int, data: bytes | None = None) -> bytes:
    return factor(rank, rows, bytes(rank * rows), 0) if data is None else data


def merges(width: int) -> Iterator[tuple[str, tuple[bytes, ...], bytes]]:
    """Yield names, sections and right factors of low-rank deltas of `COUNT` words."""
    kind = 0 if width == 4 else 1
    zeros = [bytes([Mode.CONSTANT]) + bytes(2)] * (width // 2)

    def sections(
        columns: int, start: int, coded: bytes, length: int | None = None
    ) -> tuple[bytes, ...]:
        head = struct.pack("<BIII", kind, columns, start, len(coded) if length is None else length)
        return (head + coded + zeros[0], *zeros[1:])

    for columns, rank in ((1, 4), (1, 256), (4096, 256), (1 << 20, 4), (1 << 20, 1), (64, 256)):
        rows = -(-COUNT // columns)
        right = factor(rank, columns, bytes(rank * columns), 0)
        coded = left(rank, rows) if rank * rows <= 1 << 24 else b""
        yield f"{rank} products, {columns} columns", sections(columns, 0, coded), right
        bits = (columns * 24 + 7) // 8
        wide = factor(rank, columns, bytes(rank * columns), 24, bytes(rank * bits))
        yield f"{rank} products, {columns} columns, all bits", sections(columns, 0, coded), wide
        for name, frame in frames():
            bomb = factor(rank, columns, frame, 0)
            yield f"{rank} x {columns} right: {name}", sections(columns, 0, coded), bomb
            bomb = factor(rank, rows, frame, 0)
            yield f"{rank} x {columns} left: {name}", sections(columns, 0, bomb), right
    one = factor(1, 1, b"a", 0)
    for rank, length in ((65535, 1), (1, 2**32 - 1), (256, 1 << 20), (256, 2**31), (0, 1)):
        yield (
            f"a claim of {rank} x {length}",
            sections(1, 0, one),
            struct.pack("<HII", rank, length, 1),
        )
        claim = struct.pack("<HII", rank, length, 2**32 - 1)
        yield f"a claim of {rank} x {length} to the left", sections(1, 0, claim), one
    for columns, start in ((0, 0), (2**32 - 1, 0), (16, 16), (1 << 20, 1 << 20)):
        yield f"{columns} columns from {start}", sections(columns, start, one), one
    yield "a long left factor", sections(1, 0, one, 2**32 - 1), one


def read_merges() -> None:
    for width in (2, 4):
        words = tuple(np.zeros(COUNT, "<u2") for _ in range(width // 2))
        for name, parts, right in merges(width):
            started = time.perf_counter()
            try:
                again = chunk.decode(4, parts, width, COUNT, words, right)
                said = "read" if all(len(part) == COUNT for part in again) else "wrong"
            except FormatError:
                said = "refused"
            print(f"{said} {time.perf_counter() - started:.3f} {width}: merged: {name}", flush=True)


def main() -> None:
    base = np.random.default_rng(1).integers(0, 1 << 16, COUNT).astype("<u2")
    above = np.sort(base)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    for width in (1, 2, 4):
        for name, data in sections(width):
            started = time.perf_counter()
            try:
                again = section.decode(data, width, Context(COUNT, base, above))
                said = "read" if (len(again), again.itemsize) == (COUNT, width) else "wrong"
            except FormatError:
                said = "refused"
            print(f"{said} {time.perf_counter() - started:.3f} {width}: {name}", flush=True)
    words = tuple(np.zeros(1, f"<u{width}") for width in (2, 2, 4))
    mode = bytes([Mode.CONSTANT])
    zeros = tuple(mode + bytes(width) for width in (2, 2, 4))
    started = time.perf_counter()
    again = chunk.decode(3, zeros, 8, COUNT, words)
    said = "read" if all(len(part) == COUNT for part in again) else "wrong"
    print(f"{said} {time.perf_counter() - started:.3f} 8: a base of one word", flush=True)
    read_merges()
    print(peak(), file=sys.stderr)


if __name__ == "__main__":
    main()

"""Records encoded once, which every later version must decode to the same bits.

They were made by mvc with NumPy 2.4, pcodec 1.1 and zstandard 0.25 and are never to be made again:
a library that decodes them differently would damage every store there is. Words come from integer
arithmetic alone, so that no other library has a part in what is expected.

Run by itself, `python -m tests.codec.golden`, it needs nothing but what mvc itself needs, and so
can be run beside any version of NumPy. It prints how many records it decoded.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvc.codec import chunk
from mvc.codec.segments import Segments, join, split

PATH = Path(__file__).parent / "golden_records.json"

Words = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Golden:
    """A record: its sections, how its words and its base are made, and what they hash to."""

    name: str
    word: int
    count: int
    transform: int
    sections: tuple[bytes, ...]
    words: str
    base: str | None
    sha256: str
    right: bytes | None = None


def records() -> list[Golden]:
    """Return all records."""
    return [
        Golden(
            **item
            | {"sections": tuple(map(bytes.fromhex, item["sections"]))}
            | {"right": bytes.fromhex(item["right"]) if item.get("right") else None}
        )
        for item in json.loads(PATH.read_text(encoding="ascii"))
    ]


def mixed(count: int, seed: int = 0) -> NDArray[np.uint64]:
    """Return numbers without a pattern (splitmix64, Steele, Lea, Flood 2014)."""
    z = (np.arange(count, dtype=np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def made(name: str, word: int, count: int) -> Words:
    """Return the words that a name stands for."""
    if name.startswith(("matrix", "merged")):
        return _matrix(*name.split(), count)
    return _floats(name, word, count) if name in FLOATS else _numbers(word, count)[name]


COLUMNS, START, RANK = 60, 7, 3
"""Words of a row of a matrix, where its chunk begins, and the rank of what was merged into it."""
_KINDS = {"float32": (4, 24, 127), "bfloat16": (2, 8, 127), "float16": (2, 11, 15)}
_OCTAVES, _ONE = 4, 1 << 23


def units(kind: str) -> int:
    """Return the logarithm of the unit in which a matrix is counted."""
    return _lowest(_KINDS[kind][2]) - _KINDS[kind][2] - 23


def _lowest(bias: int) -> int:
    return bias - 10 if bias > 15 else bias - 6


def adapter(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the factors of what was merged into a matrix, in whole numbers."""
    rows = (START + count - 1) // COLUMNS + 1
    left = (mixed(rows * RANK, 31) % np.uint64(401)).astype(np.int64) - 200
    right = (mixed(RANK * COLUMNS, 37) % np.uint64(2001)).astype(np.int64) - 1000
    return left.reshape(rows, RANK), right.reshape(RANK, COLUMNS)


def _matrix(name: str, kind: str, count: int) -> Words:
    """Return floats of a matrix, or these with a product added to them and rounded."""
    word, digits, bias = _KINDS[kind]
    few, spread = mixed(count, 99), mixed(count, 5)
    size = spread & np.uint64(_ONE - 1) | np.uint64(_ONE)
    size &= ~np.uint64((1 << (24 - digits)) - 1)
    values = (size << (few & np.uint64(_OCTAVES - 1))).astype(np.int64)
    values = np.where(few >> np.uint64(9) & np.uint64(1), -values, values)
    if name == "merged":
        left, right = adapter(count)
        at = np.arange(START, START + count)
        for k in range(RANK):
            values = values + left[at // COLUMNS, k] * right[k, at % COLUMNS]
        values = values + np.where(few % np.uint64(97) == 0, 1 << 17, 0)
    return _rounded(values, word, digits, _lowest(bias))


def _rounded(values: NDArray[np.int64], word: int, digits: int, lowest: int) -> Words:
    """Return the floats next to whole numbers of about 2^23 to 2^27, ties to even."""
    size = np.abs(values)
    octave = sum((size >= 1 << place).astype(np.int64) for place in range(22, 30)) - 2
    drop = octave + (24 - digits)
    size, drop = size << 2, drop + 2
    half = np.int64(1) << (drop - 1)
    size = (size + half - 1 + (size >> drop & 1)) >> drop
    bits = (octave + (lowest - 1) << (digits - 1)) + size
    bits |= (values < 0).astype(np.int64) << (word * 8 - 1)
    return bits.astype(f"<u{word}")


FLOATS = (
    "floats",
    "floats, trained",
    "floats, some steps",
    "floats, one run",
    "floats, special",
)


def _numbers(word: int, count: int) -> dict[str, Words]:
    unit = np.dtype(f"<u{word}")
    few, noise = mixed(count, 99), mixed(count, word).astype(unit)
    low = (few >> np.uint64(40)) & np.uint64(255)
    high = np.minimum(few & np.uint64(7), (few >> np.uint64(3)) & np.uint64(7))
    rows = np.zeros((-(-count // 18), 18), np.uint8)
    rows[:, :2] = (mixed(len(rows), 3) % np.uint64(3)).astype(np.uint8)[:, None]
    return {
        "noise": noise,
        "constant": np.full(count, mixed(1, word)[0].astype(unit)),
        "repeated": np.resize(noise[:37], count),
        "small": (few % np.uint64(3)).astype(unit),
        "small but for some": np.where(few % np.uint64(101) == 0, noise, few % np.uint64(3)).astype(
            unit
        ),
        "octaves": (few >> (np.uint64(64 - 8 * word) + (few & np.uint64(7)))).astype(unit),
        "half noise": noise & unit.type(0xFF) | unit.type(0x41) << unit.type(word * 8 - 8),
        "planes": (low | high << np.uint64(9)).astype(unit),
        "palette": mixed(5, 7)[(few % np.uint64(5)).astype(np.intp)].astype(unit),
        "palette of three uppers": _palette(word)[(few % np.uint64(40)).astype(np.intp)],
        "blocks": rows.reshape(-1)[:count].astype(unit),
    }


def _palette(word: int) -> Words:
    pairs = mixed(40, 8) >> np.uint64(64 - word * 8)
    shift = np.uint64(max(0, word - 2) * 8)
    low = (np.uint64(1) << shift) - np.uint64(1)
    top = (mixed(3, 9)[np.arange(40) % 3] >> np.uint64(48)) << shift
    return (top | pairs & low).astype(f"<u{word}")


def _floats(name: str, word: int, count: int) -> Words:
    """Return floats of a layer: signs, and magnitudes of a few octaves; or what became of them."""
    unit = np.dtype(f"<u{word}")
    few, spread, bits = mixed(count, 99), mixed(count, 5), word * 8
    exponent = {1: 3, 2: 7, 4: 23, 8: 52}[word]
    middle = {1: 7, 2: 120, 4: 120, 8: 1015}[word]
    octave = np.uint64(middle) - (few & np.uint64(3))
    base = (few >> np.uint64(9) & np.uint64(1)) << np.uint64(bits - 1)
    base |= octave << np.uint64(exponent) | spread & np.uint64((1 << exponent) - 1)
    words = base.astype(unit)
    if name == "floats, trained":
        # Steps up to a size that depends on the octave.
        size = np.uint64(1) << (few & np.uint64(3))
        words = words + (mixed(count, 11) % size).astype(unit)
    elif name == "floats, some steps":
        rows = np.arange(count) // 128
        step = np.where((rows % 3 == 0) & (mixed(count, 13) % np.uint64(50) == 0), 1, 0)
        words = words + (step << (bits // 2 if word > 2 else 0)).astype(unit)
    elif name == "floats, one run":
        words[300:340] ^= unit.type(21)
    elif name == "floats, special":
        special = mixed(count, 17) % np.uint64(40) == 0
        ones = unit.type((1 << bits) - 1)
        words = np.where(special, ones << (few & np.uint64(bits - 1)).astype(unit), words)
    return words


def segments(name: str, word: int, count: int) -> Segments:
    """Return the segments of the words that a name stands for."""
    return split(made(name, word, count).tobytes(), word)


def decoded(record: Golden) -> bytes:
    """Return the bytes of a record's words."""
    base = None if record.base is None else segments(record.base, record.word, record.count)
    right = () if record.right is None else (record.right,)
    parts = chunk.decode(record.transform, record.sections, record.word, record.count, base, *right)
    return bytes(join(parts, record.word))


def fault(record: Golden) -> str | None:
    """Return what is wrong with a record, if anything."""
    if hashlib.sha256(made(record.words, record.word, record.count).tobytes()).hexdigest() != (
        record.sha256
    ):
        return "the words themselves come out differently"
    if hashlib.sha256(decoded(record)).hexdigest() != record.sha256:
        return "it decodes to other bits"
    return None


def main() -> None:
    faults = {record.name: fault(record) for record in records()}
    for name, what in faults.items():
        if what:
            print(f"{name}: {what}", file=sys.stderr)
    print(f"{len(faults)} records, NumPy {np.__version__}")
    sys.exit(any(faults.values()))


if __name__ == "__main__":
    main()

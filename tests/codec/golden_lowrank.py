"""Adds records of low-rank deltas to golden_records.json where it has none.

Run once, `python -m tests.codec.golden_lowrank`, when the format was settled: what is there stays.
A fit may come out differently on another machine; what is made of it may not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from unittest import mock

import numpy as np

from mvc.codec import chunk, merged
from mvc.codec.chunk import Transform
from mvc.codec.matrix import Matrix
from mvc.codec.segments import Segments
from tests.codec import golden

COUNT = 9001


def sides(kind: str, word: int) -> tuple[Segments, Segments]:
    return (
        golden.segments(f"merged {kind}", word, COUNT),
        golden.segments(f"matrix {kind}", word, COUNT),
    )


def made(kind: str, word: int) -> merged.Merged:
    """Return a record with the right factor that was merged."""
    new, base = sides(kind, word)
    _, right = golden.adapter(COUNT)
    exact = right * 2.0 ** (golden.units(kind) + 8)
    with mock.patch.object(merged, "find_right", return_value=exact):
        record = merged.encode(new, base, Matrix(kind, golden.COLUMNS, golden.START))
    assert record is not None
    return record


def records() -> Iterator[dict[str, object]]:
    """Yield records as they are kept."""
    for kind, word in (("float32", 4), ("bfloat16", 2), ("float16", 2)):
        words = golden.made(f"merged {kind}", word, COUNT)
        record = made(kind, word)
        new, base = sides(kind, word)
        again = chunk.decode(Transform.LOW_RANK, record.sections, word, COUNT, base, record.right)
        assert all(map(np.array_equal, again, new))
        yield {
            "name": f"low-rank-{kind}",
            "word": word,
            "count": COUNT,
            "transform": int(Transform.LOW_RANK),
            "sections": [part.hex() for part in record.sections],
            "words": f"merged {kind}",
            "base": f"matrix {kind}",
            "sha256": hashlib.sha256(words.tobytes()).hexdigest(),
            "right": record.right.hex(),
        }


def main() -> None:
    held = json.loads(golden.PATH.read_text(encoding="ascii"))
    names = {item["name"] for item in held}
    held += [item for item in records() if item["name"] not in names]
    lines = ",\n".join(json.dumps(item) for item in held)
    content = f"[\n{lines}\n]\n"
    golden.PATH.write_text(content, encoding="ascii")
    print(hashlib.sha256(content.encode()).hexdigest())


if __name__ == "__main__":
    main()

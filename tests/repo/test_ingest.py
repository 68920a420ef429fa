"""What the store is told of the words of a file."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mvc.base.dtypes import CHUNK_WORDS
from mvc.base.ids import ObjectId
from mvc.formats.base import BytesSource, Extent
from mvc.objects.model import Content
from mvc.repo.ingest import NoBases, ingest
from mvc.store.chunks import Words
from mvc.store.transaction import Transaction
from tests.e2e.world import World, safetensors, weights


class Given(NoBases):
    """The same bases for everything."""

    def __init__(self, *contents: Content) -> None:
        self._contents = contents

    def tensor(self, extent: Extent) -> Sequence[Content]:
        return self._contents

    def blob(self) -> Sequence[Content]:
        return self._contents


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """Return the words that reach a transaction."""
    found: list[Words] = []
    put = Transaction.put_chunks

    def noted(self: Transaction, chunks: Iterable[Words]) -> Iterator[ObjectId]:
        def pass_on() -> Iterator[Words]:
            for words in chunks:
                found.append(words)
                yield words

        return put(self, pass_on())

    monkeypatch.setattr(Transaction, "put_chunks", noted)
    return found


def store(tmp_path: Path, data: bytes, bases: NoBases | None = None) -> None:
    world = World(tmp_path / "w")
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        ingest(tx, BytesSource(data), bases=bases)


def test_words_say_where_in_which_matrix_they_are(tmp_path: Path, drawn: list[Words]) -> None:
    rows = CHUNK_WORDS // 512 + 3
    parts = [
        ("w", "F32", [rows, 512], weights(1, rows * 512 * 4)),
        ("conv", "F32", [8, 3, 5, 5], weights(2, 2400)),
        ("bias", "F32", [600], weights(3, 2400)),
    ]
    store(tmp_path, safetensors(parts))
    matrix = [item for item in drawn if item.columns == 512]
    assert [(item.dtype, item.start) for item in matrix] == [
        ("float32", 0),
        ("float32", CHUNK_WORDS),
    ]
    conv, bias = drawn[-2:]
    assert (conv.columns, conv.start) == (75, 0)
    assert (bias.columns, bias.dtype) == (0, "float32")


def test_a_row_is_counted_in_words(tmp_path: Path, drawn: list[Words]) -> None:
    parts = [
        ("packed", "F4", [64, 40], bytes(1280)),
        ("complex", "C64", [40, 10], bytes(3200)),
        ("empty", "F32", [0, 9], b""),
    ]
    store(tmp_path, safetensors(parts))
    assert [item.columns for item in drawn if item.dtype] == [20, 20]


def test_big_endian_matrices_have_rows_too(tmp_path: Path, drawn: list[Words]) -> None:
    out = io.BytesIO()
    np.save(out, np.arange(2000, dtype=">f4").reshape(20, 100))
    store(tmp_path, out.getvalue())
    (words,) = drawn
    assert words.columns == 100
    assert np.array_equal(np.frombuffer(words.data, "<f4"), np.arange(2000))


def test_blocks_of_quantised_types_have_a_stride(tmp_path: Path, drawn: list[Words]) -> None:
    name, dims, kind = b"blk.0.w", (256, 40), 2
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", len(name)) + name
    header += struct.pack("<IQQIQ", len(dims), *dims, kind, 0)
    header += bytes(-len(header) % 32)
    store(tmp_path, header + bytes(range(240)) * 24)
    (words,) = drawn
    assert (words.dtype, words.stride, words.columns) == ("ggml_q4_0", 18, 256 // 32 * 18)


def test_a_file_kept_whole_has_no_matrix(tmp_path: Path, drawn: list[Words]) -> None:
    store(tmp_path, b"text " * 1000)
    (words,) = drawn
    assert (words.dtype, words.columns, words.stride, words.bases) == ("", 0, 0, ())


def test_every_chunk_gets_the_bases_at_its_place(tmp_path: Path, drawn: list[Words]) -> None:
    def content(first: int, words: int) -> Content:
        count = -(-words // CHUNK_WORDS)
        ids = tuple(ObjectId(bytes([first + n]) * 32) for n in range(count))
        return Content(words * 4, 4, b"", ids)

    words = CHUNK_WORDS + 5000
    shorter, longer, same = content(1, 4000), content(10, 3 * CHUNK_WORDS), content(10, words)
    two_bytes = Content(4000, 2, b"", (ObjectId(b"z" * 32),))
    data = safetensors([("w", "F32", [words], weights(1, words * 4))])
    store(tmp_path, data, Given(shorter, longer, two_bytes, same))
    assert [[name[0] for name in item.bases] for item in drawn] == [[1, 10], [11]]

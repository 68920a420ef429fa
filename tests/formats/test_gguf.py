"""GGUF: versions, byte orders, types and everything a header can get wrong."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, LimitError
from mvc.formats import gguf
from mvc.formats.base import BytesSource, Located, checked


@dataclass
class Writer:
    version: int = 3
    order: str = "<"
    alignment: int | None = None
    pairs: list[tuple[str, int, bytes]] = field(default_factory=list)
    tensors: list[tuple[str, list[int], int, bytes]] = field(default_factory=list)

    def number(self, code: str, value: int) -> bytes:
        return struct.pack(self.order + code, value)

    def count(self, value: int) -> bytes:
        return self.number("I" if self.version == 1 else "Q", value)

    def text(self, value: str) -> bytes:
        raw = value.encode()
        return self.count(len(raw)) + raw

    def build(self, **lies: Any) -> bytes:
        pairs = list(self.pairs)
        if self.alignment is not None:
            pairs.append(("general.alignment", 4, self.number("I", self.alignment)))
        align = self.alignment or 32
        head = b"GGUF" + self.number("I", self.version)
        head += self.count(lies.get("tensors", len(self.tensors)))
        head += self.count(lies.get("pairs", len(pairs)))
        for key, kind, raw in pairs:
            head += self.text(key) + self.number("I", kind) + raw
        data = b""
        for name, dims, kind, raw in self.tensors:
            head += self.text(name) + self.number("I", lies.get("rank", len(dims)))
            head += b"".join(self.count(dim) for dim in dims) + self.number("I", kind)
            head += self.number("Q", lies.get("offset", len(data)))
            data += raw + bytes(-len(raw) % align)
        return head + bytes(-len(head) % align) + data

    def add(self, name: str, dims: list[int], kind: int, raw: bytes) -> Writer:
        self.tensors.append((name, dims, kind, raw))
        return self


def find(data: bytes) -> Located:
    return checked(gguf.locate(BytesSource(data)), len(data))


def sample() -> Writer:
    writer = Writer()
    words = writer.number("I", 8) + writer.count(3) + b"".join(map(writer.text, "abc"))
    writer.pairs = [
        ("general.name", 8, writer.text("x")),
        ("tokens", 9, words),
        ("scores", 9, writer.number("I", 6) + writer.count(2) + bytes(8)),
        ("nested", 9, writer.number("I", 9) + writer.count(1) + words),
        ("rope", 12, bytes(8)),
    ]
    return writer.add("a.w", [2, 3], 0, bytes(range(24))).add("q", [32, 2], 3, bytes(range(40)))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tensors_are_found_in_every_version_and_byte_order(version: int, order: str) -> None:
    raw = bytes(range(24))
    writer = Writer(version=version, order=order).add("w", [4, 3], 1, raw)
    writer.add("q", [32], 2, bytes(18)).add("b", [5], 24, bytes(5))
    data = writer.build()
    assert gguf.matches(data[:512], BytesSource(data))
    first, block, small = find(data).extents
    assert (first.name, first.dtype, first.shape) == ("w", "float16", (3, 4))
    assert data[first.offset : first.offset + first.length] == raw
    assert first.big_endian == (order == ">")
    assert (block.dtype, block.length, block.big_endian) == ("ggml_q4_0", 18, False)
    assert not small.big_endian


def test_metadata_is_skipped_whatever_its_types() -> None:
    assert [extent.name for extent in find(sample().build()).extents] == ["a.w", "q"]


def test_a_type_nobody_knows_is_taken_up_to_the_next_tensor() -> None:
    writer = Writer().add("u", [7], 99, bytes(50)).add("v", [1], 0, bytes(4))
    located = find(writer.add("w", [3], 98, bytes(10)).build())
    assert [(e.dtype, e.length) for e in located.extents] == [
        ("ggml_type_99", 64),
        ("float32", 4),
        ("ggml_type_98", 32),
    ]
    assert len(located.notes) == 2


def test_empty_tensors_may_share_an_offset() -> None:
    writer = Writer().add("a", [0], 0, b"").add("b", [0, 4], 0, b"").add("c", [1], 0, bytes(4))
    assert len(find(writer.build()).extents) == 3


def test_a_scalar_has_no_dimensions() -> None:
    assert find(Writer().add("a", [], 0, bytes(4)).build()).extents[0].shape == ()


@pytest.mark.parametrize("alignment", [1, 8, 64, 65536])
def test_alignment_is_that_of_the_metadata(alignment: int) -> None:
    writer = Writer(alignment=alignment).add("a", [3], 24, b"abc").add("b", [2], 24, b"de")
    data = writer.build()
    parts = [data[e.offset : e.offset + e.length] for e in find(data).extents]
    assert parts == [b"abc", b"de"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Writer(version=4).build(), "version 4"),
        (Writer(version=0).build(), "version 0"),
        (sample().build(tensors=2**63), "limit of 1000000"),
        (sample().build(tensors=900_000), "more than the file"),
        (sample().build(pairs=2**63), "more than the file"),
        (sample().build(pairs=2**64 - 1), "more than the file"),
        (sample().build(rank=5), "5 dimensions"),
        (sample().build(rank=2**32 - 1), "dimensions"),
        (sample().build(offset=2**63), "past the end"),
        (sample().build(offset=32 * 10**6), "past the end"),
        (sample().build(offset=1), "not aligned"),
        (sample().build(offset=0), "overlaps"),
        (Writer(alignment=0).build(), "power of two"),
        (Writer(alignment=3).build(), "power of two"),
        (Writer(alignment=2**30).build(), "power of two"),
        (Writer().add("a", [2**42 + 1, 2**42], 0, b"").build(), "past the end"),
        (Writer().add("a", [4194305, 4194305, 211106198978564], 0, b"").build(), "past the end"),
        (Writer().add("a", [2**63], 0, b"").build(), "impossible dimension"),
        (Writer().add("a", [33], 2, bytes(36)).build(), "whole blocks"),
        (Writer().add("a", [], 2, bytes(18)).build(), "whole blocks"),
        (Writer().add("a", [1], 0, bytes(4)).add("a", [1], 0, bytes(4)).build(), "two tensors"),
        (Writer().add("a" * 4097, [1], 0, bytes(4)).build(), "above the limit"),
        (Writer(pairs=[("k", 13, b"")]).build(), "impossible type"),
        (Writer(pairs=[("k", 8, struct.pack("<Q", 2**63))]).build(), "cut short"),
        (Writer(pairs=[("k", 9, struct.pack("<IQ", 8, 2**63))]).build(), "more than the file"),
        (Writer(pairs=[("k", 9, struct.pack("<IQ", 10, 2**63))]).build(), "cut short"),
        (Writer(pairs=[("k", 9, struct.pack("<IQ", 9, 2**60))]).build(), "more than the file"),
        (Writer(pairs=[("k", 9, struct.pack("<IQ", 9, 1) * 12)]).build(), "impossible type 9"),
        (Writer(pairs=[("general.alignment", 8, bytes(8))]).build(), "general.alignment"),
        (
            Writer(alignment=8, pairs=[("general.alignment", 4, b"\x08\0\0\0")]).build(),
            "given twice",
        ),
        (Writer().add("?", [1], 0, bytes(4)).build().replace(b"?", b"\xff"), "UTF-8"),
    ],
)
def test_impossible_headers_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        find(data)


def test_a_header_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "MAX_HEADER", 64)
    with pytest.raises(LimitError):
        find(sample().build())


def test_every_truncation_is_refused() -> None:
    data = sample().build()
    end = find(data).extents[-1]
    for length in range(4, end.offset + end.length):
        with pytest.raises(FormatError):
            find(data[:length])


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 24, 25, 28]), st.binary(max_size=80)), max_size=6),
    st.sampled_from([None, 1, 16, 32]),
)
def test_bytes_at_every_extent_are_those_of_the_tensor(
    parts: list[tuple[int, bytes]], alignment: int | None
) -> None:
    width = {0: 4, 1: 2, 24: 1, 25: 2, 28: 8}
    writer = Writer(alignment=alignment)
    expected = {}
    for index, (kind, raw) in enumerate(parts):
        count = len(raw) // width[kind]
        expected[f"t{index}"] = raw[: count * width[kind]]
        writer.add(f"t{index}", [count], kind, expected[f"t{index}"])
    data = writer.build()
    found = {e.name: data[e.offset : e.offset + e.length] for e in find(data).extents}
    assert found == expected


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_raise_only_format_errors(data: bytes, real: bool) -> None:
    with suppress(FormatError):
        find(b"GGUF\3\0\0\0" + data if real else data)


@given(st.data())
def test_mutated_files_raise_only_format_errors(data: st.DataObject) -> None:
    raw = bytearray(sample().build())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        find(bytes(raw))

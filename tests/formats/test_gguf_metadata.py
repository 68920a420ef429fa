"""Key-values of GGUF files, and how they differ."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hostile import mutations
from hypothesis import given
from hypothesis import strategies as st
from test_gguf import Writer, sample

from mvc.base.errors import FormatError
from mvc.diff.results import DiffRequest, FileDiff
from mvc.formats import gguf_metadata
from mvc.formats.base import BytesSource
from mvc.ops.diff_files import diff_files


def read(data: bytes) -> dict[str, object]:
    return gguf_metadata.read(BytesSource(data))


def strings(writer: Writer, *values: str) -> bytes:
    return writer.number("I", 8) + writer.count(len(values)) + b"".join(map(writer.text, values))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_values_are_read_in_every_version_and_byte_order(version: int, order: str) -> None:
    writer = Writer(version, order)
    writer.pairs = [
        ("general.name", 8, writer.text("tiny")),
        ("block_count", 4, writer.number("I", 12)),
        ("offset", 5, writer.number("i", -3)),
        ("eps", 6, writer.number("f", 0.5)),
        ("tied", 7, b"\1"),
        ("big", 10, writer.number("Q", 1 << 40)),
        ("small.list", 9, strings(writer, "a", "b")),
        ("types", 9, writer.number("I", 5) + writer.count(40) + bytes(160)),
        ("nested", 9, writer.number("I", 9) + writer.count(1) + strings(writer, "x")),
    ]
    found = read(writer.build())
    types = found.pop("types")
    assert found == {
        "general.name": "tiny",
        "block_count": 12,
        "offset": -3,
        "eps": 0.5,
        "tied": True,
        "big": 1 << 40,
        "small.list": ["a", "b"],
        "nested": [["x"]],
    }
    assert str(types).startswith("40 integers #")


def test_long_lists_and_texts_are_a_number_and_a_digest() -> None:
    def summed(*values: str) -> str:
        writer = Writer()
        writer.pairs = [("t", 9, strings(writer, *values)), ("s", 8, writer.text("".join(values)))]
        found = read(writer.build())
        assert "... #" in str(found["s"])
        return str(found["t"])

    tokens = [f"token{number}" for number in range(300)]
    assert summed(*tokens).startswith("300 strings #")
    assert summed(*tokens) != summed(*tokens[:-1], "other")
    assert summed("ab", "c", *tokens) != summed("a", "bc", *tokens)


def compared(folder: Path, old: Writer, new: Writer) -> FileDiff:
    for name, writer in (("old", old), ("new", new)):
        writer.add("w", [4], 0, bytes(16))
        (folder / name).write_bytes(writer.build())
    (file,) = diff_files(Path("old"), Path("new"), DiffRequest(folder=folder)).files
    return file


def test_key_values_that_differ_are_fields(tmp_path: Path) -> None:
    old, new = Writer(), Writer()
    tokens = [f"t{number}" for number in range(40)]
    old.pairs = [
        ("general.name", 8, old.text("one")),
        ("gone", 4, old.number("I", 1)),
        ("same", 6, old.number("f", float("nan"))),
        ("tokenizer.ggml.tokens", 9, strings(old, *tokens)),
    ]
    new.pairs = [
        ("general.name", 8, new.text("two")),
        ("same", 6, new.number("f", float("nan"))),
        ("tokenizer.ggml.tokens", 9, strings(new, *tokens, "more")),
        ("\x1b[31m", 7, b"\0"),
    ]
    file = compared(tmp_path, old, new)
    assert file.tensors is not None
    assert not file.tensors.differs
    found = {change.path: (change.old, change.new) for change in file.header}
    before, after = found.pop("tokenizer.ggml.tokens")
    assert (str(before)[:12], str(after)[:12]) == ('"40 strings ', '"41 strings ')
    assert found == {
        "general.name": ('"one"', '"two"'),
        "gone": ("1", None),
        "\x1b[31m": (None, "false"),
    }
    assert 'general.name: "one" -> "two"' in file.summary


def test_huge_counts_are_refused_before_memory_is_taken() -> None:
    for kind in (0, 6, 8, 9, 12):
        writer = Writer()
        value = writer.number("I", kind) + writer.count(2**40)
        writer.pairs = [("k", 9, value)]
        data = writer.build()
        tracemalloc.start()
        with pytest.raises(FormatError):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
        tracemalloc.stop()


def test_lists_in_lists_without_end_are_refused() -> None:
    writer = Writer()
    value = (writer.number("I", 9) + writer.count(1)) * 400
    writer.pairs = [("k", 9, value)]
    with pytest.raises(FormatError, match="impossible type"):
        read(writer.build())


def test_every_truncation_is_refused_or_read() -> None:
    data = sample().build()
    for length in range(len(data)):
        with suppress(FormatError):
            assert len(read(data[:length])) == 5


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    for head in (b"", b"GGUF\3\0\0\0" + bytes(8) + b"\2" + bytes(7)):
        with suppress(FormatError):
            read(head + data)


@given(mutations(sample().build()))
def test_damaged_files_raise_only_format_errors(data: bytes) -> None:
    with suppress(FormatError):
        read(data)

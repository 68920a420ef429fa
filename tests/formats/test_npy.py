from __future__ import annotations

import io
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hostile import contents, locate, mutations, survives
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.formats import npy


def save(array: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version, allow_pickle=True)
    return out.getvalue()


def write(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin-1" if version < 3 else "utf-8")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def fields(descr: str = "'<f4'", fortran: str = "False", shape: str = "(1,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


SAMPLE = save(np.arange(6, dtype=np.float32).reshape(2, 3))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize(
    "code", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16", "?"]
)
def test_plain_types_are_found_in_every_version(code: str, version: tuple[int, int]) -> None:
    array = np.arange(6).astype(code).reshape(2, 3)
    data = save(array, version)
    label = np.dtype(code).name
    assert contents(locate(npy, data), data) == {"array": (label, (2, 3), array.tobytes())}


def test_big_endian_is_flagged_and_not_swapped() -> None:
    data = save(np.arange(3, dtype=">i4"))
    (extent,) = locate(npy, data).extents
    assert (extent.dtype, extent.big_endian) == ("int32", True)
    assert data.endswith(b"\0\0\0\2")


def test_fortran_order_reverses_the_shape() -> None:
    (extent,) = locate(npy, save(np.asfortranarray(np.ones((2, 3), np.float32)))).extents
    assert (extent.shape, extent.transposed) == ((3, 2), True)


def test_fortran_order_of_a_vector_means_nothing() -> None:
    (extent,) = locate(npy, write(fields(fortran="True"), bytes(4))).extents
    assert (extent.shape, extent.transposed) == ((1,), False)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2**40)])
def test_scalars_and_empty_arrays_are_found(shape: tuple[int, ...]) -> None:
    text = "(" + "".join(f"{dim}," for dim in shape) + ")"
    (extent,) = locate(npy, write(fields(shape=text), bytes(0 if shape else 4))).extents
    assert extent.shape == shape


@pytest.mark.parametrize(
    ("array", "label", "word"),
    [
        (np.zeros(3, ml_dtypes.bfloat16), "void2", 2),
        (np.zeros(3, "V1"), "void1", 1),
        (np.zeros(3, "V16"), "void16", 1),
        (np.zeros(3, "U5"), "unicode5", 4),
        (np.zeros(3, "S5"), "bytes5", 1),
        (np.zeros(3, "M8[ns]"), "datetime64[ns]", 8),
        (np.zeros(3, [("a", "<f4"), ("b", ">i2", (2, 3)), ("c", [("d", "u1")])]), "struct17", 1),
        (np.zeros(3, np.longdouble), "float128", 2),
    ],
)
def test_other_types_are_opaque(array: np.ndarray[Any, Any], label: str, word: int) -> None:
    (extent,) = locate(npy, save(array)).extents
    assert (extent.dtype, extent.word, extent.length) == (label, word, array.nbytes)


def test_trailing_bytes_are_noted() -> None:
    assert locate(npy, SAMPLE + b"more").notes == ("4 bytes after the array stay as they are.",)


MALFORMED = {
    "objects": save(np.array([{}], dtype=object)),
    "objects in a structure": write(fields("[('a', '|O')]"), bytes(8)),
    "2^40 elements in 4 bytes": write(fields(shape="(1099511627776,)"), bytes(4)),
    "a product above 2^64": write(fields(shape="(4294967296, 4294967296)"), bytes(4)),
    "negative dimension": write(fields(shape="(-1,)"), bytes(4)),
    "an expression in the shape": write(fields(shape="(1+1,)"), bytes(8)),
    "a call in the shape": write(fields(shape="(len('a'),)"), bytes(8)),
    "bool dimension": write(fields(shape="(True,)"), bytes(4)),
    "shape that is a list": write(fields(shape="[1]"), bytes(4)),
    "shape that is a number": write(fields(shape="(1)"), bytes(4)),
    "duplicate key": write("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}"),
    "extra key": write("{'a': 1, 'descr': '<f4', 'fortran_order': False, 'shape': ()}", bytes(4)),
    "missing key": write("{'descr': '<f4', 'shape': ()}", bytes(4)),
    "order that is a number": write(fields(fortran="0"), bytes(4)),
    "text after the end": write(fields() + "1", bytes(4)),
    "no dictionary": write("[]"),
    "an open dictionary": write("{'descr': "),
    "deep nesting": write("(" * 60_000),
    "deep structure": write(fields("[('a', " * 30 + "'<f4'" + ")]" * 30), bytes(4)),
    "a header above the limit": write(" " * 70_000, version=2),
    "a header longer than the file": SAMPLE[:20],
    "unknown version": b"\x93NUMPY\x04\x00" + SAMPLE[8:],
    "bad UTF-8": b"\x93NUMPY\x03\x00\x01\x00\x00\x00\xff",
    "unknown type": write(fields("'<q9'"), bytes(9)),
    "unknown type in a structure": write(fields("[('a', '<f4', 'b')]"), bytes(4)),
    "type that is a number": write(fields("4"), bytes(4)),
    "a structure of large items": write(fields("[('a', '<f4', (2147483647,))]"), bytes(4)),
    "escapes": write(fields("'\\x3cf4'"), bytes(4)),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        locate(npy, data)


def test_a_file_cut_anywhere_is_refused() -> None:
    for end in range(len(SAMPLE)):
        with pytest.raises(FormatError):
            locate(npy, SAMPLE[:end])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    survives(npy, data)
    survives(npy, b"\x93NUMPY\x01\x00" + data)


@given(st.text(max_size=60))
def test_arbitrary_headers_raise_only_format_errors(text: str) -> None:
    survives(npy, write(text.encode("utf-8", "replace").decode("latin-1"), bytes(8)))


@given(mutations(SAMPLE))
def test_a_damaged_file_raises_only_format_errors(data: bytes) -> None:
    survives(npy, data)

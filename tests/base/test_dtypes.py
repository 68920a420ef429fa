from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from mvc.base import dtypes

ADDRESSABLE = [
    kind for kind in dtypes.KNOWN.values() if kind.bits >= 8 and kind.label != "complex32"
]


@pytest.mark.parametrize("kind", dtypes.KNOWN.values(), ids=lambda kind: kind.label)
def test_a_word_can_be_cut_into_its_segments(kind: dtypes.Dtype) -> None:
    assert sum(dtypes.SEGMENTS[kind.word]) == kind.word


@pytest.mark.parametrize("kind", ADDRESSABLE, ids=lambda kind: kind.label)
def test_the_size_is_that_of_numpy(kind: dtypes.Dtype) -> None:
    found = dtypes.numpy_dtype(kind.label)
    assert found is not None
    assert dtypes.nbytes(kind.label, (3, 5)) == np.zeros((3, 5), found).nbytes


def test_bfloat16_is_the_type_of_ml_dtypes() -> None:
    assert dtypes.numpy_dtype("bfloat16") == np.dtype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("label", ["int4", "float6_e2m3fn", "complex32", "ggml_q4_1", "nonsense"])
def test_numpy_has_no_type_for_packed_and_unknown_elements(label: str) -> None:
    assert dtypes.numpy_dtype(label) is None


def test_packed_elements_fill_whole_bytes_at_the_end() -> None:
    assert dtypes.nbytes("int4", (3,)) == 2
    assert dtypes.nbytes("float6_e2m3fn", (4,)) == 3


@pytest.mark.parametrize(("shape", "size"), [((), 4), ((0, 2**62), 0), ((2**40, 2**40), 2**82)])
def test_sizes_do_not_wrap(shape: tuple[int, ...], size: int) -> None:
    assert dtypes.nbytes("float32", shape) == size


def test_an_unknown_label_is_opaque_and_keeps_its_name() -> None:
    found = dtypes.dtype("ggml_q4_1", 1)
    assert (found.label, found.family, found.bits) == ("ggml_q4_1", "opaque", 0)
    assert dtypes.nbytes("ggml_q4_1", (32,)) is None


def test_a_quantised_type_says_how_long_its_blocks_are() -> None:
    assert dtypes.block_bytes("ggml_q4_0") == 18
    assert dtypes.block_bytes("ggml_q6_k") == 210
    assert dtypes.block_bytes("float32") == dtypes.block_bytes("ggml_type_99") == 0
    assert all(label not in dtypes.KNOWN for label in dtypes.BLOCKS)

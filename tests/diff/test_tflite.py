"""TensorFlow Lite models of which one has integers: what these stand for is in no tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tflite_files import Model, quantisation

from mvc.diff.results import DiffRequest, FileDiff, TensorDiff
from mvc.diff.structure import Recoded
from mvc.ops.diff_files import diff_files
from tests.diff.sources import noise
from tests.diff.versions import model as safetensors

KERNEL = noise(1, 8, 3, 3, 8)
WIDE = noise(3, 300, 20)
BIAS = noise(2, 64)
FLOAT, INT32, INT8 = 0, 2, 9


def compared(folder: Path, old: bytes, new: bytes) -> tuple[FileDiff, TensorDiff]:
    for name, data in (("old", old), ("new", new)):
        (folder / name).write_bytes(data)
    (file,) = diff_files(Path("old"), Path("new"), DiffRequest(folder=folder)).files
    assert file.tensors is not None
    return file, file.tensors


def floats(**arrays: np.ndarray) -> bytes:
    model = Model()
    for name, array in arrays.items():
        model.weight(name, FLOAT, list(array.shape), array.astype("<f4").tobytes())
    return model.build()


def integers(
    array: np.ndarray, axis: int | None, *, name: str = "kernel", zero: int = 0
) -> tuple[Model, np.ndarray]:
    """Return a model with a tensor rounded to steps along an axis, and what it stands for."""
    others = None if axis is None else tuple(at for at in range(array.ndim) if at != axis)
    scale = np.abs(array).max(axis=others, keepdims=True).astype("f4") / np.float32(100)
    words = np.rint(array / scale + zero).astype("i1")
    scales = [float(one) for one in scale.reshape(-1)]
    said = quantisation(scales, [zero] * len(scales), axis or 0)
    model = Model().weight(name, INT8, list(array.shape), words.tobytes(), quantisation=said)
    return model, (words.astype("f8") - zero) * scale.astype("f8")


def only(found: TensorDiff) -> Recoded:
    (item,) = found.recast
    assert item.cast is not None
    return item


@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("zero", [0, -20])
def test_integers_are_called_quantised_by_what_the_file_says_of_them(
    tmp_path: Path, axis: int | None, zero: int
) -> None:
    model, values = integers(KERNEL, axis, zero=zero)
    file, found = compared(tmp_path, floats(kernel=KERNEL), model.build())
    cast = only(found).cast
    assert cast is not None
    assert (cast.kind, cast.differing, cast.scale, cast.zero_point) == ("quantised", 0, None, None)
    expected = np.linalg.norm(values - KERNEL) / np.linalg.norm(KERNEL.astype("f8"))
    assert cast.relative_l2 == pytest.approx(expected, rel=1e-12)
    assert file.summary[0].startswith("quantised float32 -> int8, 1 tensor, rounding only")


def test_a_scale_for_each_of_many_rows_is_quantised(tmp_path: Path) -> None:
    model, _ = integers(WIDE, 0)
    found = only(compared(tmp_path, floats(kernel=WIDE), model.build())[1]).cast
    assert found is not None
    assert (found.kind, found.differing) == ("quantised", 0)


def test_a_bias_of_wide_integers_is_quantised_as_well(tmp_path: Path) -> None:
    words = np.rint(BIAS / 0.001).astype("<i4")
    model = Model().weight("b", INT32, [64], words.tobytes(), quantisation=quantisation([0.001]))
    found = only(compared(tmp_path, floats(b=BIAS), model.build())[1]).cast
    assert found is not None
    assert (found.kind, found.differing) == ("quantised", 0)


def test_quantised_weights_are_found_under_another_name(tmp_path: Path) -> None:
    model, _ = integers(KERNEL, 3, name="tfl.pseudo_qconst7")
    item = only(compared(tmp_path, floats(kernel=KERNEL, bias=BIAS), model.build())[1])
    assert (item.old_name, item.name) == ("kernel", "tfl.pseudo_qconst7")


def test_floats_from_integers_are_dequantised_in_another_format_too(tmp_path: Path) -> None:
    model, values = integers(KERNEL, 0)
    new = safetensors({"kernel": values.astype("f4")})
    found = only(compared(tmp_path, model.build(), new)[1]).cast
    assert found is not None
    assert (found.kind, found.differing) == ("dequantised", 0)


def test_the_wrong_scale_is_no_quantisation(tmp_path: Path) -> None:
    words = integers(noise(9, 8, 3, 3, 8), None)[0]
    found = only(compared(tmp_path, floats(kernel=KERNEL), words.build())[1]).cast
    assert found is not None
    assert found.kind == "changed"


def test_scales_that_do_not_fit_the_tensor_do_no_harm(tmp_path: Path) -> None:
    for scales, axis in (([1.0, 2.0, 3.0], 0), ([1.0] * 8, -7), ([1.0] * 8, 99)):
        said = quantisation(scales, [0], axis)
        model = Model().weight("kernel", INT8, [8, 3, 3, 8], bytes(576), quantisation=said)
        found = only(compared(tmp_path, floats(kernel=KERNEL), model.build())[1]).cast
        assert found is not None
        assert found.kind == "changed"


def test_equal_integers_with_another_scale_differ_in_a_field(tmp_path: Path) -> None:
    def said(scales: list[float], zero: int) -> bytes:
        made = quantisation(scales, [zero] * len(scales))
        model = Model().weight("w", INT8, [3], b"abc", quantisation=made)
        model.weight("same", INT8, [3], b"xyz", quantisation=quantisation([0.5]))
        return model.build()

    file, found = compared(tmp_path, said([0.5], 0), said([0.25], 3))
    assert (found.unchanged, found.differs) == (2, False)
    assert [(one.path, one.old, one.new) for one in file.header] == [
        ("quantisation.w.scale", "0.5", "0.25"),
        ("quantisation.w.zero_point", "0", "3"),
    ]
    file, _ = compared(tmp_path, said([0.5, 1, 2], 0), said([0.5, 1, 4], 0))
    (change,) = file.header
    assert (change.old or "").startswith('"3 numbers #')
    assert change.old != change.new

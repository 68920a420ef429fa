"""Integers that stand for floats: which tensors hold their scale, and what was lost.

A value is (integer - zero point) * scale (ONNX, DequantizeLinear; Jacob et al. 2018, "Quantization
and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", eq. 1). Scales
are one number, one for each place along an axis, or an array that broadcasts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mvc.diff.casts import Errors
from mvc.diff.findings import Cast
from mvc.diff.values import Array, Floats, Run, as_floats, count, scalar
from mvc.repo.tensors import Held, TensorSource

MAX_SCALES = 1 << 22
MAX_TURNED = 1 << 25
"""Elements of a matrix compared after swapping its axes: one side is in memory as a whole."""

ROWS = 1 << 17
MIN_COSINE = 0.95
"""How alike values must be for integers to be called theirs; 8 bits give 0.999, 4 bits 0.99."""

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")
_SUFFIX = re.compile(r"(_quantized|_quantised|_q|_int8|_uint8|\.quantized|\.int8|_i8)$")
_SCALES = ("_scale", ".scale", "_scales", ".scales", "/scale")
_ZEROS = ("_zero_point", ".zero_point", "_zero_points", "_zp", "/zero_point")

Find = Callable[[str], Held | None]


@dataclass(frozen=True, slots=True)
class Stated:
    """Numbers that a file has beside its tensors, along the axes of the tensor they are for."""

    values: tuple[float, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scaling:
    """The numbers that turn integers into values, with the names of the tensors they are in."""

    scale_name: str | None
    scale: Held | Stated | None
    zero_name: str | None = None
    zero: Held | Stated | None = None


Tell = Callable[[], Mapping[str, Scaling]]
"""Gives what a file says of its integers where that is in no tensor, by names of tensors."""


def nothing() -> Mapping[str, Scaling]:
    """State nothing."""
    return {}


class Scalings:
    """Looks up how tensors of one file are scaled: by what it says of them, else by names."""

    def __init__(self, source: TensorSource, stated: Tell = nothing) -> None:
        self._source = source
        self._names = frozenset(source.names)
        self._read = stated

    @cached_property
    def _stated(self) -> Mapping[str, Scaling]:
        return self._read()

    def of(self, name: str) -> Scaling | None:
        """Return the scale and zero point that belong to a tensor."""
        return self._stated.get(name) or scaling(name, self._find)

    def _find(self, name: str) -> Held | None:
        return self._source.get(name) if name in self._names else None


def is_integer(held: Held) -> bool:
    """Tell whether a tensor may hold quantised values."""
    label = held.tensor.dtype
    return label in _INTEGERS or label.startswith("float8")


def is_float(held: Held) -> bool:
    """Tell whether a tensor may hold values that are quantised."""
    return held.tensor.dtype in ("float64", "float32", "float16", "bfloat16")


def stem(name: str) -> str:
    """Return the name of what a tensor with quantised values stands for."""
    return _SUFFIX.sub("", name)


def scaling(name: str, find: Find) -> Scaling | None:
    """Return the scale and zero point that belong to a tensor by their names."""
    stems = list(dict.fromkeys((stem(name), name)))
    scale = next(_named(stems, _SCALES, find), None)
    if scale is None:
        return None
    zero = next(_named(stems, _ZEROS, find), (None, None))
    return Scaling(*scale, *zero)


def _named(stems: list[str], endings: tuple[str, ...], find: Find) -> Iterator[tuple[str, Held]]:
    for start in stems:
        for ending in endings:
            held = find(start + ending)
            if held is not None and scalar(held.tensor.dtype) is not None:
                yield start + ending, held


class Values:
    """The values that a tensor of integers stands for, by rows of its first axis."""

    def __init__(self, held: Held, scaling: Scaling) -> None:
        self._run = Run(held)
        shape = held.tensor.shape
        self.shape = shape if shape else (1,)
        self.row = count(self.shape[1:])
        self._scale = _spread(scaling.scale, self.shape) if scaling.scale else None
        self._zero = _spread(scaling.zero, self.shape) if scaling.zero else None
        if self._scale is None or (scaling.zero is not None and self._zero is None):
            raise ValueError("no scale that fits")

    def rows(self, start: int, stop: int) -> tuple[Floats, Floats]:
        """Return the values of some rows, and the width of a step of each."""
        part = self._run.between(start * self.row, stop * self.row)
        values = as_floats(part).reshape(stop - start, *self.shape[1:])
        if self._zero is not None:
            values = values - self._zero[start:stop]
        width = self._scale[start:stop] if self._scale is not None else np.ones(1)
        return values * width, np.abs(np.broadcast_to(width, values.shape))


def _spread(held: Held | Stated, shape: tuple[int, ...]) -> Floats | None:
    """Return scales as an array that is read like the tensor they belong to."""
    own = held.shape if isinstance(held, Stated) else held.tensor.shape
    if not 0 < count(own) <= MAX_SCALES:
        return None
    if isinstance(held, Stated):
        flat = np.asarray(held.values, np.float64)
    else:
        run = Run(held)
        flat = as_floats(run.between(0, run.length))
    if len(flat) != count(own):
        return None
    if len(flat) == 1:
        return np.broadcast_to(flat.reshape((1,) * len(shape)), shape)
    if len(own) == 1:
        # Along which axis is not written beside it; of two that fit, weights have it first.
        axis = next((axis for axis, dim in enumerate(shape) if dim == own[0]), None)
        if axis is None:
            return None
        own = tuple(dim if place == axis else 1 for place, dim in enumerate(shape))
    if len(own) != len(shape) or any(a not in (1, b) for a, b in zip(own, shape, strict=True)):
        return None
    return np.broadcast_to(flat.reshape(own), shape)


def corner(held: Held, scaling: Scaling, size: int) -> Floats | None:
    """Return the values of the first rows and columns of a matrix, else of the first elements."""
    try:
        values = Values(held, scaling)
    except ValueError:
        return None
    if len(values.shape) == 2:
        return values.rows(0, min(size, values.shape[0]))[0][:, :size]
    rows = min(values.shape[0], -(-size * size // max(1, values.row)))
    return values.rows(0, rows)[0].reshape(-1)[: size * size]


def measure(old: Held, new: Held, scaling: Scaling, *, turned: bool = False) -> Cast | None:
    """Return how far integers are from the values that they stand for.

    `turned`: the axes of a matrix are swapped on the new side. The answer is `quantised` where the
    values are close enough to be the old ones, and None where they are something else or cannot be
    compared.
    """
    try:
        values = Values(new, scaling)
    except ValueError:
        return None
    if scalar(old.tensor.dtype) is None:
        return None
    source = _rows(old, values.row, turned=turned)
    if source is None:
        return None
    errors = Errors()
    differing = 0
    step = max(1, ROWS // max(1, values.row))
    for start in range(0, values.shape[0], step):
        stop = min(start + step, values.shape[0])
        got, width = values.rows(start, stop)
        wanted = source(start, stop)
        errors.take(wanted, got.reshape(-1))
        with np.errstate(all="ignore"):
            apart = np.abs(got.reshape(-1) - wanted) > width.reshape(-1) * 0.501
        differing += int(np.count_nonzero(apart))
    cosine = errors.cosine
    if cosine is None or cosine < MIN_COSINE:
        return None
    names = (scaling.scale_name, scaling.zero_name)
    return errors.cast("quantised", count(new.tensor.shape), differing, *names)


def reverse(cast: Cast | None) -> Cast | None:
    """Return the finding of `measure` with its sides exchanged."""
    return replace(cast, kind="dequantised") if cast else None


def _rows(old: Held, row: int, *, turned: bool) -> Callable[[int, int], Floats] | None:
    run = Run(old)
    if not turned:
        return lambda start, stop: as_floats(run.between(start * row, stop * row))
    shape = old.tensor.shape
    if len(shape) != 2 or count(shape) > MAX_TURNED:
        return None
    whole: Array = run.between(0, run.length).reshape(shape)
    return lambda start, stop: as_floats(whole[:, start:stop].T.reshape(-1))

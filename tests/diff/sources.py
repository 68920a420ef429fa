"""Sources of tensors that lie in memory, for comparisons without a repository."""

from __future__ import annotations

import numpy as np

from mvc.diff.structure import TensorChanges, compare_tensors
from mvc.formats.base import BytesSource, Extent, Located
from mvc.repo.tensors import DiskTensors
from tests.diff.versions import Arrays


def source(arrays: Arrays) -> DiskTensors:
    extents = []
    data = b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        extents.append(Extent(name, array.dtype.name, array.shape, len(data), len(raw)))
        data += raw
    return DiskTensors(BytesSource(data), Located("memory", tuple(extents)))


def compared(old: Arrays, new: Arrays, *, words: bool = True) -> TensorChanges:
    return compare_tensors(source(old), source(new), words=words)


def noise(seed: int, *shape: int, dtype: str = "f4") -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)

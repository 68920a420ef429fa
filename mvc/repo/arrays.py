"""Between tensors in the store and NumPy arrays in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from mvc.base.dtypes import KNOWN, check_precision, is_shortened, numpy_dtype
from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.formats.safetensors_writer import Array
from mvc.objects.model import Content, Placed, Tensor, ViewOf
from mvc.repo.metadata import read_checkpoint, read_layout, read_tensor
from mvc.repo.precision import inline_words, load_words
from mvc.repo.trees import tensors
from mvc.store.object_store import ObjectStore


class TensorFile(Protocol):
    """What an open safetensors file offers."""

    def keys(self) -> Any:
        """Return the tensor names."""
        ...

    def get_tensor(self, name: str) -> Any:
        """Return one tensor."""
        ...


def from_memory(given: Mapping[str, Any] | TensorFile) -> dict[str, Array]:
    """Return the bytes of named arrays: NumPy arrays, or anything with NumPy's or torch's views."""
    get = given.__getitem__ if isinstance(given, Mapping) else given.get_tensor
    return {str(name): _exported(str(name), get(name)) for name in given.keys()}  # noqa: SIM118


def load_checkpoint(
    store: ObjectStore, wanted: ObjectId, precision: int | None = None
) -> dict[str, NDArray[Any]]:
    """Return all tensors of a checkpoint by name, verified, as writable arrays.

    Types without a NumPy equivalent (below a byte, quantised blocks) come as uint8 arrays of
    their bytes. Names that share elements in the file share memory here. At `precision` 16 the
    words of wider floats come with their low bits zero. Raises UsageError for any other.
    """
    check_precision(precision)
    checkpoint = read_checkpoint(store, wanted)
    layout = read_layout(store, checkpoint.layout)
    turned = {part.name for part in layout.extents if isinstance(part, Placed) and part.transposed}
    flat: dict[str, NDArray[Any]] = {}
    found: dict[str, NDArray[Any]] = {}
    for name, entry in tensors(store, checkpoint.tensors).items():
        tensor = read_tensor(store, entry.id)
        array = load_tensor(store, tensor, precision)
        flat[name] = array.reshape(-1)
        found[name] = array.T if name in turned else array
    for view in layout.views:
        found[view.name] = _view(flat[view.source], view)
    return found


def load_tensor(store: ObjectStore, tensor: Tensor, precision: int | None = None) -> NDArray[Any]:
    """Return one tensor as a writable array in C order."""
    top = precision is not None and is_shortened(tensor.dtype)
    data = np.empty(tensor.content.size, np.uint8)
    at = 0
    for piece in _pieces(store, tensor.content, top=top):
        data[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    kind = numpy_dtype(tensor.dtype)
    return data if kind is None else data.view(kind).reshape(tensor.shape)


def _pieces(store: ObjectStore, content: Content, *, top: bool) -> Iterator[bytes | memoryview]:
    if not content.chunks:
        yield inline_words(content, top=top)
    jobs = ((name, content.chunk_bytes(number)) for number, name in enumerate(content.chunks))
    yield from ordered_map(
        lambda job: load_words(store, job[0], content.word, job[1], top=top), jobs
    )


def _view(source: NDArray[Any], view: ViewOf) -> NDArray[Any]:
    if 0 in view.shape:
        return np.empty(view.shape, source.dtype)
    reach = view.offset + sum(
        (dim - 1) * step for dim, step in zip(view.shape, view.strides, strict=True)
    )
    if reach >= source.size:
        raise IntegrityError(f"view {view.name[:80]!r} reaches outside its tensor")
    strides = tuple(step * source.itemsize for step in view.strides)
    return as_strided(source[view.offset :], view.shape, strides)


def _exported(name: str, value: Any) -> Array:
    array = _torch(value) if hasattr(value, "detach") else value
    if isinstance(array, Array):
        return array
    array = np.asarray(array)
    label = array.dtype.name
    if label not in KNOWN or array.dtype.hasobject:
        raise FormatError(f"tensor {name[:80]!r} has a type that cannot be stored: {label}")
    plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return Array(label, tuple(array.shape), plain.reshape(-1).view(np.uint8).data)


def _torch(value: Any) -> Any:
    """Return the array or bytes of a torch tensor, without importing torch."""
    tensor = value.detach().cpu().contiguous()
    label = str(tensor.dtype).removeprefix("torch.")
    try:
        return tensor.numpy()
    except TypeError:
        width = {1: "int8", 2: "int16"}.get(tensor.element_size())
        if label not in KNOWN or width is None:
            raise FormatError(f"torch's {label} cannot be stored") from None
        words = tensor.view(getattr(sys.modules["torch"], width)).numpy()
        return Array(label, tuple(tensor.shape), memoryview(bytes(words.data)))

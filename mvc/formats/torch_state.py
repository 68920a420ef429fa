"""Names the tensors in what a PyTorch pickle holds.

Specification: `torch/_utils.py` (the `_rebuild_*` functions) and `torch/serialization.py`
(persistent ids of storages) of PyTorch 2. `collect` walks what `pickle_stream` read and names
every tensor by its path; `mvc.formats.torch_layout` takes it from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mvc.base.errors import FormatError, LimitError
from mvc.formats import pickle_stream as ps
from mvc.formats.base import MAX_NAME, MAX_TENSORS, check_name, check_shape
from mvc.formats.torch_layout import PAIRS, Tensor, item_size, packed, summary, unique

MAX_DEPTH = 256
MAX_TOTAL_NAMES = 128 * 1024 * 1024

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "QInt32Storage": "int32",
    "UntypedStorage": "uint8",
}
# Names under which torch.dtype objects differ from the labels of mvc.
_DTYPES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "qint8": "int8",
    "quint8": "uint8",
    "qint32": "int32",
}
_TRANSPARENT = ("_parameters", "_buffers", "_modules")
_REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")
_WRAP = ("_rebuild_parameter", "_rebuild_parameter_with_state", "restore_type_tag")


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage as a persistent id declares it; `view` is its window in elements, if it is one."""

    key: str
    dtype: str
    count: int
    view: tuple[int, int] | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of the whole storage."""
        return self.count * item_size(self.dtype)


def storages(loaded: ps.Loaded) -> dict[str, Storage]:
    """Return the storages that a pickle refers to, by key.

    Raises:
        FormatError: One key is declared with two sizes.
    """
    found: dict[str, Storage] = {}
    for reference in loaded.persistent:
        storage = _storage(reference)
        if storage is None:
            continue
        first = found.setdefault(storage.key, storage)
        if first.nbytes != storage.nbytes:
            raise FormatError(f"storage {storage.key[:80]!r} is declared with two sizes")
    return found


def collect(
    value: Any, taken: set[str], prefix: str | None = None
) -> tuple[list[Tensor], list[str]]:
    """Find the tensors in what a pickle holds.

    Args:
        value: The value of a `pickle_stream.Loaded`.
        taken: The names in use, to which the new ones are added.
        prefix: The name to start from; None for a state dict whose keys are the names.

    Returns:
        The tensors in the order of the checkpoint with unique names, and notes.

    Raises:
        LimitError: There are too many tensors or names.
    """
    walk = _Walk(taken)
    walk.run(value, prefix)
    return walk.tensors, summary(walk.problems)


def mapping_get(value: Any, key: str) -> Any:
    """Return what an inert dict has for a text key (the last one wins), None without."""
    result = None
    if type(value) is ps.Mapping:
        for name, item in _pairs(value.pairs):
            if type(name) is str and name == key:
                result = item
    return result


def _pairs(flat: list[Any] | None) -> Iterator[tuple[Any, Any]]:
    items = iter(flat or ())
    return zip(items, items, strict=False)


def _dtype_label(value: Any) -> str | None:
    if type(value) is not ps.Global or value.module != "torch":
        return None
    label = _DTYPES.get(value.name, value.name)
    return label if label in PAIRS or item_size(label) else None


def _storage(reference: Any) -> Storage | None:
    value = reference.value if type(reference) is ps.PersistentId else None
    if type(value) is not tuple or len(value) not in (5, 6) or value[0] != "storage":
        return None
    cls, key, count = value[1], value[2], value[4]
    key = str(key) if type(key) is int else key
    if type(cls) is not ps.Global or type(key) is not str or type(count) is not int:
        return None
    label = _STORAGES.get(cls.name)
    if label is None or not cls.module.startswith("torch") or not 0 <= count < 2**62:
        return None
    view = value[5] if len(value) == 6 else None
    if view is None:
        return Storage(key, label, count)
    if type(view) is not tuple or [type(item) for item in view[1:]] != [int, int]:
        return None
    return Storage(key, label, count, (view[1], view[2]))


class _Walk:
    """Depth first, without recursion, entering each container once."""

    def __init__(self, taken: set[str]) -> None:
        self.tensors: list[Tensor] = []
        self.problems: list[str] = []
        self._seen: set[int] = set()
        self._taken = taken
        self._known: dict[int, Tensor | str | None] = {}
        self._bytes = 0

    def run(self, value: Any, path: str | None) -> None:
        stack = [iter([(path, value)])]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
                continue
            name, item = entry
            if type(item) is ps.Record and self._leaf(name, item):
                stack.append(_quantizer(name, item))
                continue
            if type(item) not in (ps.Record, ps.Mapping, list, tuple) or id(item) in self._seen:
                continue
            if len(stack) > MAX_DEPTH or len(name or "") > MAX_NAME:
                self.problems.append(f"What lies below {(name or '')[:80]!r} is too deep to name.")
                continue
            self._seen.add(id(item))
            stack.append(children(name, item))

    def _leaf(self, path: str | None, record: ps.Record) -> bool:
        """Note the tensor that a record describes, and tell whether it describes one."""
        found = self._known.get(id(record), "")
        if found == "":
            found = self._known[id(record)] = _tensor(record)
        if found is None:
            return False
        name = "tensor" if path is None else path
        if isinstance(found, str):
            self.problems.append(f"Tensor {name[:80]!r} stays literal: {found}.")
            return True
        if len(self.tensors) >= MAX_TENSORS:
            raise LimitError(f"the checkpoint names more than {MAX_TENSORS} tensors")
        try:
            name = check_name(unique(name, self._taken))
        except FormatError:
            self.problems.append(f"Tensor {name[:80]!r} stays literal: its name cannot be kept.")
            return True
        self._bytes += len(name)
        if self._bytes > MAX_TOTAL_NAMES:
            raise LimitError(f"the tensors' names take more than {MAX_TOTAL_NAMES} bytes")
        self.tensors.append(
            Tensor(name, found.storage, found.dtype, found.shape, found.offset, found.strides)
        )
        return True


def _join(path: str | None, part: str) -> str:
    return part if path is None else f"{path}.{part}"


def children(path: str | None, value: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield what a container or record holds, by names that begin with `path`."""
    if type(value) is ps.Mapping:
        yield from _named(path, _last_wins(value.pairs))
    elif type(value) is ps.Record:
        yield from _record_children(path, value)
    else:
        for index, item in enumerate(value):
            yield _join(path, str(index)), item


def _record_children(path: str | None, record: ps.Record) -> Iterator[tuple[str | None, Any]]:
    args = record.args if type(record.args) is tuple else ()
    if is_ordered_dict(record) and args and type(args[0]) is list:
        flat = [part for pair in args[0] if _is_pair(pair) for part in pair]
        yield from _named(path, _last_wins(flat))
    elif len(args) == 1 or (args and _is_wrapper(record)):
        yield path, args[0]
    else:
        for index, item in enumerate(args):
            yield _join(path, str(index)), item
    yield from _named(path, _last_wins(record.pairs))
    for index, item in enumerate(record.items or ()):
        yield _join(path, str(index)), item
    for state in record.states or ():
        yield from _state_children(path, state)


def _state_children(path: str | None, state: Any) -> Iterator[tuple[str | None, Any]]:
    """Name attributes; what nn.Module keeps in `_parameters` and such is named without it."""
    parts = state if type(state) is tuple and len(state) == 2 else (state,)
    for part in parts:
        if type(part) is not ps.Mapping:
            yield path, part
            continue
        for name, item in _last_wins(part.pairs):
            if name in _TRANSPARENT and (type(item) is ps.Mapping or is_ordered_dict(item)):
                yield path, item
            else:
                yield _join(path, name), item


def _quantizer(path: str | None, record: ps.Record) -> Iterator[tuple[str | None, Any]]:
    """Yield the scales and zero points of a tensor that is quantised per channel."""
    if type(record.func) is not ps.Global or record.func.name != "_rebuild_qtensor":
        return
    params = record.args[4] if len(record.args) > 4 else None
    if type(params) is tuple and len(params) > 2:
        yield _join(path, "scales"), params[1]
        yield _join(path, "zero_points"), params[2]


def _named(
    path: str | None, entries: Iterable[tuple[str, Any]]
) -> Iterator[tuple[str | None, Any]]:
    for name, item in entries:
        yield _join(path, name), item


def _last_wins(flat: list[Any] | None) -> Iterator[tuple[str, Any]]:
    """Yield text keys and values; of equal keys the last value counts, as in a dict."""
    entries: dict[str | int, Any] = {}
    for key, item in _pairs(flat):
        if type(key) in (str, int):
            entries[key] = item
        elif type(key) in (bool, float, tuple):
            entries[f"key{len(entries)}"] = item
    for name, item in entries.items():
        yield str(name), item


def _is_wrapper(record: ps.Record) -> bool:
    return type(record.func) is ps.Global and record.func.name in _WRAP


def _is_pair(value: Any) -> bool:
    return type(value) in (list, tuple) and len(value) == 2


def is_ordered_dict(value: Any) -> bool:
    """Tell whether a value is a record of an OrderedDict."""
    func = value.func if type(value) is ps.Record else None
    return type(func) is ps.Global and func == ps.Global("collections", "OrderedDict")


def _tensor(record: ps.Record) -> Tensor | str | None:
    """Return the tensor a record describes, a reason why it is unusable, or None for others."""
    func, args = record.func, record.args
    for _ in range(MAX_DEPTH):
        if type(func) is not ps.Global or type(args) is not tuple or not args:
            return None
        if func.name == "_rebuild_from_type_v2" and len(args) > 2:
            func, args = args[0], args[2]
        elif func.name in _WRAP and type(args[0]) is ps.Record:
            func, args = args[0].func, args[0].args
        else:
            break
    if func.name not in _REBUILD or not func.module.startswith("torch"):
        return None
    storage = _storage(args[0])
    if storage is None or len(args) < 4:
        return "its storage is of an unknown kind"
    label: str | None = storage.dtype
    if func.name == "_rebuild_tensor_v3":
        label = _dtype_label(args[6]) if len(args) > 6 else None
    if label is None:
        return "its data type is unknown"
    return _described(storage, label, args[1], args[2], args[3])


def _described(storage: Storage, label: str, offset: Any, shape: Any, strides: Any) -> Tensor | str:
    if type(offset) is not int or type(shape) is not tuple or type(strides) is not tuple:
        return "its shape is malformed"
    try:
        dims = check_shape(shape)
        steps = check_shape(strides)
    except FormatError as error:
        return error.message
    if offset < 0 or len(dims) != len(steps):
        return "its shape is malformed"
    # The stride of a dimension of one element means nothing and varies from writer to writer.
    plain = packed(dims)
    if 0 in dims:
        steps = plain
    else:
        steps = tuple(p if dim == 1 else s for dim, s, p in zip(dims, steps, plain, strict=True))
    within = storage.nbytes // item_size(label)
    first, within = storage.view or (0, within)
    tensor = Tensor("", storage.key, label, dims, 0 if 0 in dims else offset + first, steps)
    if first < 0 or tensor.span()[1] - first > within:
        return "it reaches outside its storage"
    return tensor

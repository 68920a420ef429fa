"""Locates tensors in files of torch.save before PyTorch 1.6 (and of its legacy switch).

Specification: `_legacy_load` in `torch/serialization.py`: three small pickles, the object, the list
of storage keys, and then for every storage its number of elements and its bytes.
"""

from __future__ import annotations

from typing import Any

from mvc.base.errors import FormatError, LimitError
from mvc.formats import pickle_stream, torch_state
from mvc.formats.base import MAX_TENSORS, Located, Source, check_range
from mvc.formats.torch_layout import Place, arrange, item_size

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
_MAGIC_BINARY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_MAGIC_TEXT = b"L119547037146038801333356L\n."


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file starts with the pickled magic number of torch.save."""
    return _MAGIC_BINARY in head[:32] or head.startswith(_MAGIC_TEXT)


def locate(source: Source) -> Located:
    """Find the tensors of a legacy PyTorch file.

    Args:
        source: The file.

    Returns:
        Extents and views, named like the keys of the state dict.

    Raises:
        FormatError: A pickle is malformed, or the storages do not fit the file.
    """
    magic = pickle_stream.load(source)
    version = pickle_stream.load(source, magic.end)
    system = pickle_stream.load(source, version.end)
    if magic.value != MAGIC or version.value != VERSION:
        raise FormatError("the file does not start like torch.save's")
    content = pickle_stream.load(source, system.end)
    keys = pickle_stream.load(source, content.end)
    declared = torch_state.storages(content)
    places, end = _places(source, keys, declared)
    taken: set[str] = set()
    tensors, notes = torch_state.collect(content.value, taken)
    arrangement = arrange(tensors, places, taken)
    notes += arrangement.notes
    if end < source.size:
        notes.append(f"{source.size - end} bytes after the last storage stay as they are.")
    return Located("pytorch-legacy", arrangement.extents, arrangement.views, tuple(notes))


def value(source: Source) -> Any:
    """Return what the pickle of the object holds, inert.

    Raises:
        FormatError: A pickle is malformed.
    """
    end = 0
    for _ in range(3):
        end = pickle_stream.load(source, end).end
    return pickle_stream.load(source, end).value


def _places(
    source: Source, keys: pickle_stream.Loaded, declared: dict[str, torch_state.Storage]
) -> tuple[dict[str, Place], int]:
    """Walk the storages in the order of the keys; their bytes are little-endian everywhere."""
    if type(keys.value) is not list or len(keys.value) > MAX_TENSORS:
        raise LimitError("the list of storages is missing or too long")
    places: dict[str, Place] = {}
    end = keys.end
    for key in keys.value:
        storage = declared.get(key) if type(key) is str else None
        if storage is None or key in places:
            raise FormatError("the list of storages does not agree with the tensors")
        check_range(end, 8, source.size)
        count = int.from_bytes(source.read_at(end, 8), "little")
        if count != storage.count:
            raise FormatError(f"storage {key[:80]!r} has {count} elements, not {storage.count}")
        length = count * item_size(storage.dtype)
        check_range(end + 8, length, source.size)
        places[key] = Place(end + 8, length, storage.dtype)
        end += 8 + length
    return places, end

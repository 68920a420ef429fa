"""Reduced precision: float words from their top segments alone, the low bits zero.

The top 16 bits of a float32 are its truncation to bfloat16, and pack heads hold them apart from
the rest. So a model at precision 16 is read from the heads, verified against the same ids, and no
tail is touched. Words that are no floats of four or eight bytes always come whole.
"""

from __future__ import annotations

import numpy as np

from mvc.base.dtypes import is_shortened
from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.objects.model import Content
from mvc.objects.tree import Entry
from mvc.repo.metadata import read_checkpoint, read_tensor
from mvc.repo.trees import tensors
from mvc.store.chunks import load_bytes, load_top
from mvc.store.object_store import ObjectStore

_UNIT = np.dtype("<u2")


def loses_bits(store: ObjectStore, entry: Entry) -> bool:
    """Tell whether a file at reduced precision differs from the file itself."""
    if entry.kind != "checkpoint":
        return False
    found = tensors(store, read_checkpoint(store, entry.id).tensors)
    return any(
        tensor.content.size and is_shortened(tensor.dtype)
        for tensor in (read_tensor(store, item.id) for item in found.values())
    )


def shortened(data: bytes, word: int) -> bytes:
    """Return little-endian words with all but their top 16 bits zero."""
    return bytes(expanded(_tops(np.frombuffer(data, _UNIT), word), word))


def load_words(
    store: ObjectStore, wanted: ObjectId, word: int, size: int, *, top: bool = False
) -> memoryview:
    """Return the `size` bytes of a chunk, of `top` segments alone the low bits being zero.

    Raises IntegrityError; either way the bytes are verified against the chunk's id.
    """
    if not top:
        return load_bytes(store, wanted, word, size)
    _, entry = store.chunk_entry(wanted)
    if (entry.word, entry.words * word) != (word, size):
        raise IntegrityError(f"chunk {wanted.hex()[:12]} has another size than its tensor")
    return expanded(load_top(store, wanted)[0], word)


def inline_words(content: Content, *, top: bool = False) -> bytes:
    """Return the bytes of a content that is kept inline."""
    return shortened(content.inline, content.word) if top else content.inline


def _tops(units: np.ndarray, word: int) -> np.ndarray:
    lanes = word // _UNIT.itemsize
    return units[lanes - 1 :: lanes]


def expanded(tops: np.ndarray, word: int) -> memoryview:
    """Return the words of top segments, all their other bits being zero."""
    out = np.zeros(len(tops) * word // _UNIT.itemsize, _UNIT)
    _tops(out, word)[:] = tops
    return out.view(np.uint8).data

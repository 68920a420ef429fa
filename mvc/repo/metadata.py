"""Reading what describes a file: blobs, checkpoints, layouts, tensors. Decodes no weights.

Apart from `restore` so that commands which only look need not load NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId
from mvc.objects.model import Blob, Checkpoint, Layout, Tensor
from mvc.objects.tree import Entry
from mvc.store.object_store import ObjectStore

Result = TypeVar("Result")


def read_blob(store: ObjectStore, wanted: ObjectId) -> Blob:
    """Return a blob, or raise IntegrityError."""
    return _decoded(wanted, lambda: Blob.decode(store.read(wanted, Blob.KIND)))


def read_checkpoint(store: ObjectStore, wanted: ObjectId) -> Checkpoint:
    """Return a checkpoint, or raise IntegrityError."""
    return _decoded(wanted, lambda: Checkpoint.decode(store.read(wanted, Checkpoint.KIND)))


def read_layout(store: ObjectStore, wanted: ObjectId) -> Layout:
    """Return a layout, or raise IntegrityError."""
    return _decoded(wanted, lambda: Layout.decode(store.read(wanted, Layout.KIND)))


def read_tensor(store: ObjectStore, wanted: ObjectId) -> Tensor:
    """Return a tensor's description, or raise IntegrityError."""
    return _decoded(wanted, lambda: Tensor.decode(store.read(wanted, Tensor.KIND)))


def file_sha256(store: ObjectStore, entry: Entry) -> bytes:
    """Return the SHA-256 of a file in a version."""
    if entry.kind == "checkpoint":
        return read_checkpoint(store, entry.id).sha256
    return read_blob(store, entry.id).sha256


def _decoded(wanted: ObjectId, action: Callable[[], Result]) -> Result:
    try:
        return action()
    except FormatError as error:
        raise IntegrityError(f"object {wanted.hex()[:12]} is malformed: {error.message}") from error

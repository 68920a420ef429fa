"""Files whose tensors another file describes: the external data of ONNX models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError, StorageError
from mvc.formats import onnx
from mvc.formats.base import Extent, Located


def located_elsewhere(
    root: Path, tracked: Iterable[str], wanted: Iterable[str]
) -> dict[str, Located]:
    """Return what tracked ONNX models say of where tensors lie in the `wanted` paths.

    Only models in the folder of a wanted file, or above it, are read: data lies beside or below
    its model.
    """
    files = {path for path in wanted if not path.endswith(".onnx")}
    folders = {folder for path in files for folder in _folders(path)}
    found: dict[str, Located] = {}
    for model in tracked:
        folder = model.rpartition("/")[0]
        if not model.endswith(".onnx") or folder not in folders:
            continue
        for name, extents in _references(root / model):
            target = f"{folder}/{name}".lstrip("/")
            if target in files:
                found[target] = Located(onnx.EXTERNAL_FORMAT, extents)
    return found


def _folders(path: str) -> Iterator[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path


def _references(model: Path) -> Iterator[tuple[str, tuple[Extent, ...]]]:
    try:
        with fileio.Reader(model) as reader:
            yield from onnx.external(reader).items()
    except (FormatError, NotFoundError, StorageError):
        return

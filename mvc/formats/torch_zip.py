"""Locates tensors in PyTorch's zip files: torch.save, TorchScript and torch.package.

Specification: `caffe2/serialize/inline_container.h` and `torch/serialization.py` of PyTorch 2. The
archive has one top folder of any name; `data.pkl` describes the tensors and `data/KEY` holds
the storages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mvc.base.errors import FormatError
from mvc.formats import pickle_stream, torch_state, zip_archive
from mvc.formats.base import BytesSource, Located, Source
from mvc.formats.torch_layout import Place, Tensor, arrange
from mvc.formats.zip_archive import Member

MAX_PACKED_PICKLE = 64 * 1024 * 1024
_MAIN = "/data.pkl"
_PACKAGE = "/.data/version"


@dataclass(frozen=True, slots=True)
class _Part:
    """A pickle, the name its tensors start with, and where its storages are."""

    pickle: Member
    prefix: str | None
    folder: str
    ending: str = ""


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file is a zip with a `data.pkl` in its top folder."""
    first = zip_archive.first_name(head)
    if first is None or first.endswith(".npy"):
        return False
    if _is_marker(first):
        return True
    try:
        names = zip_archive.names(source)
    except FormatError:
        return False
    return any(_is_marker(name) for name in names)


def locate(source: Source) -> Located:
    """Find the tensors of a PyTorch zip file.

    Args:
        source: The file.

    Returns:
        Extents and views, named like the keys of the state dict.

    Raises:
        FormatError: The zip or its pickle is malformed, or two storages contradict.
    """
    members = {member.name: member for member in zip_archive.members(source)}
    tops = {name.partition("/")[0] for name in members if _is_marker(name)}
    if len(tops) != 1:
        raise FormatError("the zip does not have exactly one top folder with a data.pkl")
    top = tops.pop()
    content = {
        name.removeprefix(f"{top}/"): member
        for name, member in members.items()
        if name.startswith(f"{top}/")
    }
    taken: set[str] = set()
    tensors: list[Tensor] = []
    notes: list[str] = []
    declared: dict[str, torch_state.Storage] = {}
    for part in _parts(content):
        loaded = pickle_stream.load(_readable(source, part.pickle))
        for key, storage in torch_state.storages(loaded).items():
            name = f"{part.folder}{key}{part.ending}"
            if declared.setdefault(name, storage).nbytes != storage.nbytes:
                raise FormatError(f"storage {key[:80]!r} is declared with two sizes")
        found, remarks = torch_state.collect(loaded.value, taken, part.prefix)
        notes += remarks
        tensors += (
            replace(tensor, storage=f"{part.folder}{tensor.storage}{part.ending}")
            for tensor in found
        )
    places, remarks = _places(content, declared)
    order = _is_big_endian(source, content)
    arrangement = arrange(tensors, places, taken, big_endian=order)
    notes += (*remarks, *arrangement.notes)
    script = "constants.pkl" in content or any(name.startswith("code/") for name in content)
    return Located(
        "torchscript" if script else "pytorch",
        arrangement.extents,
        arrangement.views,
        tuple(notes),
    )


def value(source: Source) -> Any:
    """Return what the main pickle of a file holds, inert; None for a file without one.

    Raises:
        FormatError: The zip or its pickle is malformed.
    """
    for member in zip_archive.members(source):
        if member.name.endswith(_MAIN) and _is_marker(member.name):
            return pickle_stream.load(_readable(source, member)).value
    return None


def _is_marker(name: str) -> bool:
    """Tell whether a member's name says that this is PyTorch's and not another zip."""
    ending = next((ending for ending in (_MAIN, _PACKAGE) if name.endswith(ending)), None)
    return ending is not None and "/" not in name.removesuffix(ending) and name != ending


def _parts(content: dict[str, Member]) -> Iterator[_Part]:
    if "data.pkl" in content:
        yield _Part(content["data.pkl"], None, "data/")
        if "constants.pkl" in content:
            yield _Part(content["constants.pkl"], "constants", "constants/")
        return
    for name, member in content.items():
        if name.endswith(".pkl") and not name.startswith(".data/"):
            prefix = name.removesuffix(".pkl").replace("/", ".")
            yield _Part(member, prefix, ".data/", ".storage")


def _readable(source: Source, member: Member) -> Source:
    if member.stored and not member.encrypted:
        return member.source(source)
    return BytesSource(zip_archive.read_member(source, member, MAX_PACKED_PICKLE))


def _places(
    content: dict[str, Member], declared: dict[str, torch_state.Storage]
) -> tuple[dict[str, Place], list[str]]:
    """Return where the storages lie; those that nothing refers to are bytes."""
    places: dict[str, Place] = {}
    packed = wrong = 0
    for name, member in content.items():
        storage = declared.get(name)
        if storage is None and (not name.startswith(("data/", "constants/")) or not member.size):
            continue
        if not member.stored or member.encrypted:
            packed += 1
        elif storage is None:
            places[name] = Place(member.data_offset, member.size)
        elif storage.nbytes != member.size:
            wrong += 1
        else:
            places[name] = Place(member.data_offset, member.size, storage.dtype)
    notes = []
    if packed:
        notes.append(f"{packed} compressed storages stay as they are.")
    if wrong:
        notes.append(f"{wrong} storages of another size than declared stay as they are.")
    return places, notes


def _is_big_endian(source: Source, content: dict[str, Member]) -> bool:
    member = content.get("byteorder")
    return member is not None and zip_archive.read_member(source, member, 16) == b"big"

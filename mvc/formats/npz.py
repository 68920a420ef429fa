"""Locates the arrays in a NumPy .npz archive: a zip of .npy files.

Specification: `numpy.savez`, and `mvc.formats.npy` for the members. Compressed members
stay as they are.
"""

from __future__ import annotations

from mvc.base.errors import FormatError
from mvc.formats import npy, zip_archive
from mvc.formats.base import Extent, Located, Source

MAX_NOTES = 5
_SUFFIX = ".npy"


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file is a zip with nothing but .npy files in it."""
    first = zip_archive.first_name(head)
    if first is None:
        return False
    try:
        names = zip_archive.names(source)
    except FormatError:
        return first.endswith(_SUFFIX)
    known = set(names)
    arrays = [name for name in names if name.endswith(_SUFFIX)]
    return bool(arrays) and all(name.endswith(_SUFFIX) or name + _SUFFIX in known for name in names)


def locate(source: Source) -> Located:
    """Find the arrays of a .npz archive; each has the name of its member without ".npy".

    Args:
        source: The file.

    Returns:
        One extent for each array that is neither compressed nor made of Python objects.

    Raises:
        FormatError: The archive is malformed or ambiguous.
    """
    members = zip_archive.members(source)
    names = {member.name for member in members}
    extents: list[Extent] = []
    notes: list[str] = []
    packed = packed_bytes = skipped = 0
    for member in members:
        if not member.name.endswith(_SUFFIX):
            if member.name + _SUFFIX in names:
                raise FormatError(f"the archive holds {member.name[:80]!r} with and without .npy")
            continue
        if not member.stored or member.encrypted:
            packed += 1
            packed_bytes += member.size
            continue
        try:
            header = npy.read_header(member.source(source))
        except FormatError as error:
            skipped += 1
            if skipped <= MAX_NOTES:
                notes.append(f"Member {member.name[:80]!r} stays as it is: {error.message}.")
            continue
        extents.append(header.extent(member.name.removesuffix(_SUFFIX), member.data_offset))
    if skipped > MAX_NOTES:
        notes.append(f"{skipped - MAX_NOTES} more members stay as they are.")
    if packed:
        notes.append(f"{packed} compressed members ({packed_bytes} bytes) stay as they are.")
    extents.sort(key=lambda extent: extent.offset)
    return Located("npz", tuple(extents), notes=tuple(notes))

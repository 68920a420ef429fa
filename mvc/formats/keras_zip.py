"""Keras 3 archives (.keras): the weights are an HDF5 file stored in a zip.

Owns where the weights lie in the archive; the rest is the business of `zip_archive` and `hdf5`.
Specification: keras/src/saving/saving_lib.py of the Keras project.
"""

from __future__ import annotations

from dataclasses import replace

from mvc.base.errors import FormatError
from mvc.formats import hdf5, zip_archive
from mvc.formats.base import Located, Source, checked

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file is a zip that holds a Keras configuration and its weights."""
    if zip_archive.first_name(head) is None:
        return False
    try:
        return {WEIGHTS, CONFIG} <= set(zip_archive.names(source))
    except FormatError:
        return False


def locate(source: Source) -> Located:
    """Find the datasets inside the weights of a Keras archive.

    Raises:
        FormatError: the archive is malformed or ambiguous, or the HDF5 library cannot read it.
        ImportError: h5py is not installed.
    """
    weights = [member for member in zip_archive.members(source) if member.name == WEIGHTS]
    if not weights:
        raise FormatError(f"it has no {WEIGHTS}")
    member = weights[0]
    if not member.stored or member.encrypted:
        return Located("keras", (), notes=("The weights stay literal: the zip compresses them.",))
    inner = checked(hdf5.locate(member.source(source)), member.size)
    extents = tuple(
        replace(extent, offset=extent.offset + member.data_offset) for extent in inner.extents
    )
    return Located("keras", extents, notes=inner.notes)

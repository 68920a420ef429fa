"""Brings the checksums of a zip up to date where bytes of stored members were changed.

A zip keeps the CRC-32 of a member in the central directory, and before or behind the member's
bytes. Readers such as Python's `zipfile` refuse a member that disagrees with it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

from mvc.base.errors import FormatError
from mvc.formats.base import Source
from mvc.formats.zip_archive import MAX_DIRECTORY, Member, headers, members

_ENTRY = struct.Struct("<4s6H3L5H2L")
_SIGNATURE = b"PK\x01\x02"
_DESCRIPTOR = b"PK\x07\x08"
_CRC_IN_ENTRY = 16
_CRC_IN_LOCAL = 14
_FLAGS_IN_LOCAL = 6
_STREAMED = 0x08
_STEP = 4 << 20

Span = tuple[int, int]


def repairs(source: Source, changed: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) that make a zip agree with itself again.

    Args:
        source: The archive as it is now.
        changed: Where its bytes were changed, as (start, end).

    Raises:
        FormatError: The archive is malformed.
    """
    start, local = headers(source)
    entries = _entries(source.read_at(start, min(source.size - start, MAX_DIRECTORY)))
    for member, header, entry in zip(members(source), local, entries, strict=True):
        if member.stored and not member.encrypted and _touches(member, changed):
            yield from _repair(source, member, start + entry, header)


def places(source: Source) -> Iterator[Span]:
    """Yield where the checksums of stored members are, as (start, end).

    Raises:
        FormatError: The archive is malformed.
    """
    start, local = headers(source)
    entries = _entries(source.read_at(start, min(source.size - start, MAX_DIRECTORY)))
    for member, header, entry in zip(members(source), local, entries, strict=True):
        if member.stored and not member.encrypted:
            for place in _places(source, member, start + entry, header):
                yield place, place + 4


def _places(source: Source, member: Member, entry: int, header: int) -> Iterator[int]:
    """Yield where the checksum of a member is; a streamed one has it behind its bytes, too."""
    yield entry + _CRC_IN_ENTRY
    yield header + _CRC_IN_LOCAL
    if int.from_bytes(source.read_at(header + _FLAGS_IN_LOCAL, 2), "little") & _STREAMED:
        end = member.data_offset + member.size
        # The signature of a data descriptor is optional.
        signed = source.read_at(end, min(4, source.size - end)) == _DESCRIPTOR
        yield end + 4 if signed else end


def _touches(member: Member, changed: Sequence[Span]) -> bool:
    end = member.data_offset + member.size
    return any(start < end and stop > member.data_offset for start, stop in changed)


def _repair(source: Source, member: Member, entry: int, header: int) -> Iterator[tuple[int, bytes]]:
    crc = 0
    end = member.data_offset + member.size
    for at in range(member.data_offset, end, _STEP):
        crc = zlib.crc32(source.read_at(at, min(_STEP, end - at)), crc)
    old = member.crc.to_bytes(4, "little")
    for place in _places(source, member, entry, header):
        # A streamed member leaves the field before its bytes empty, mostly.
        if source.read_at(place, 4) == old:
            yield place, crc.to_bytes(4, "little")


def _entries(directory: bytes) -> Iterator[int]:
    """Yield the offset of each entry of a central directory."""
    at = 0
    while directory[at : at + 4] == _SIGNATURE:
        if at + _ENTRY.size > len(directory):
            raise FormatError("the zip directory is cut off")
        yield at
        at += _ENTRY.size + sum(_ENTRY.unpack_from(directory, at)[10:13])

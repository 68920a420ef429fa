"""Locates the members of a zip archive, without reading what they hold.

Specification: PKWARE APPNOTE.TXT 6.3. The central directory is read by the standard library;
every local header must agree with it, so that no two readers can see two archives in one file.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import Source, SubSource, check_range
from mvc.formats.stream import SourceStream

MAX_MEMBERS = 1_000_000
MAX_DIRECTORY = 128 * 1024 * 1024

_LOCAL = struct.Struct("<4s5H3L2H")
_STREAMED = 0x08
_ENCRYPTED = 0x01 | 0x40 | 0x2000
_UTF8 = 0x800
_FULL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip. `size` is the size in the archive, `plain_size` the declared real one."""

    name: str
    data_offset: int
    size: int
    plain_size: int
    stored: bool
    encrypted: bool
    crc: int = 0

    def source(self, outer: Source) -> SubSource:
        """Return the bytes of a stored member as a source of its own."""
        if not self.stored or self.encrypted:
            raise FormatError(f"zip member {self.name[:80]!r} is compressed")
        return SubSource(outer, self.data_offset, self.size)


class _File(SourceStream):
    """Reads within the limits of a zip directory, for the standard library."""

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self._source.size - self._position)
        length = rest if size is None or size < 0 else min(size, rest)
        if length > MAX_DIRECTORY:
            raise LimitError(f"the zip directory is above the limit of {MAX_DIRECTORY} bytes")
        data = self._source.read_at(self._position, length)
        if length > MAX_MEMBERS and data.count(b"PK\x01\x02") > MAX_MEMBERS:
            raise LimitError(f"the zip has more than {MAX_MEMBERS} members")
        self._position += length
        return data


def first_name(head: bytes) -> str | None:
    """Return the name of the first member from the first bytes of a file, None if not a zip."""
    if not head.startswith(b"PK\x03\x04") or len(head) < _LOCAL.size:
        return None
    length = int.from_bytes(head[26:28], "little")
    return head[_LOCAL.size : _LOCAL.size + length].decode("utf-8", "replace")


def names(source: Source) -> tuple[str, ...]:
    """Return the members' names as the central directory has them; FormatError if unreadable."""
    with _directory(source) as archive:
        return tuple(info.orig_filename for info in archive.infolist())


def headers(source: Source) -> tuple[int, tuple[int, ...]]:
    """Return where the central directory begins, and each member's local header, in its order."""
    with _directory(source) as archive:
        return archive.start_dir, tuple(info.header_offset for info in archive.infolist())


def members(source: Source) -> tuple[Member, ...]:
    """Find the members of a zip archive.

    Args:
        source: The file.

    Returns:
        The members in the order of the central directory; folders are among them.

    Raises:
        FormatError: The archive is malformed, ambiguous or above a limit.
    """
    with _directory(source) as archive:
        infos = archive.infolist()
        directory_start = archive.start_dir
    if len(infos) > MAX_MEMBERS:
        raise LimitError(f"the zip has more than {MAX_MEMBERS} members")
    seen: set[str] = set()
    found = []
    for info in infos:
        name = info.orig_filename
        if "\0" in name:
            raise FormatError(f"the zip member name {name[:80]!r} has a zero byte")
        if name in seen:
            raise FormatError(f"two zip members are called {name[:80]!r}")
        seen.add(name)
        found.append(_member(source, info))
    _check_overlap(infos, found, directory_start)
    return tuple(found)


def read_member(source: Source, member: Member, limit: int) -> bytes:
    """Return the bytes of one member, decompressed if need be.

    Args:
        source: The archive.
        member: One of its members.
        limit: The most bytes to produce.

    Returns:
        The member's content, checked against its declared size and CRC.

    Raises:
        FormatError: It is encrypted, longer than `limit`, damaged, or of an unknown compression.
    """
    if member.plain_size > limit:
        raise LimitError(f"zip member {member.name[:80]!r} is above the limit of {limit} bytes")
    raw = SubSource(source, member.data_offset, member.size)
    if member.stored and not member.encrypted:
        data = raw.read_at(0, member.size)
    else:
        with _translated(), zipfile.ZipFile(_File(source)) as archive:
            info = {item.orig_filename: item for item in archive.infolist()}[member.name]
            with archive.open(info) as stream:
                data = stream.read(member.plain_size)
    if len(data) != member.plain_size or zlib.crc32(data) != member.crc:
        raise FormatError(f"zip member {member.name[:80]!r} is damaged")
    return data


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        ValueError,
        IndexError,
        KeyError,
        OverflowError,
    ) as error:
        raise FormatError(f"the zip is malformed ({type(error).__name__})") from None


@contextmanager
def _directory(source: Source) -> Iterator[zipfile.ZipFile]:
    with _translated(), zipfile.ZipFile(_File(source)) as archive:
        yield archive


def _member(source: Source, info: zipfile.ZipInfo) -> Member:
    name, offset = info.orig_filename, info.header_offset
    check_range(offset, _LOCAL.size, source.size)
    signature, _, flags, method, *_, crc, packed, plain, name_length, extra_length = _LOCAL.unpack(
        source.read_at(offset, _LOCAL.size)
    )
    if signature != b"PK\x03\x04":
        raise FormatError(f"zip member {name[:80]!r} has no local header")
    try:
        encoded = name.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    except UnicodeEncodeError:
        raise FormatError(f"the zip member name {name[:80]!r} cannot be kept") from None
    local_name = source.read_at(offset + _LOCAL.size, name_length)
    significant = _ENCRYPTED | _STREAMED
    if local_name != encoded or method != info.compress_type:
        raise FormatError(f"zip member {name[:80]!r} disagrees with its local header")
    if (flags ^ info.flag_bits) & significant:
        raise FormatError(f"zip member {name[:80]!r} has two sets of flags")
    start = offset + _LOCAL.size + name_length + extra_length
    check_range(start, info.compress_size, source.size)
    if not flags & _STREAMED:
        extra = source.read_at(start - extra_length, extra_length)
        if (crc, *_local_sizes(extra, packed, plain)) != (
            info.CRC,
            info.compress_size,
            info.file_size,
        ):
            raise FormatError(f"zip member {name[:80]!r} disagrees with its local header")
    stored = method == zipfile.ZIP_STORED
    encrypted = bool(info.flag_bits & _ENCRYPTED)
    if stored and not encrypted and info.compress_size != info.file_size:
        raise FormatError(f"zip member {name[:80]!r} has two sizes")
    return Member(name, start, info.compress_size, info.file_size, stored, encrypted, info.CRC)


def _local_sizes(extra: bytes, packed: int, plain: int) -> tuple[int, int]:
    """Return the sizes of a local header with those of its zip64 field put in."""
    if _FULL not in (packed, plain):
        return packed, plain
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        body = extra[position + 4 : position + 4 + length]
        position += 4 + length
        if kind != 1:
            continue
        values = [
            int.from_bytes(body[i : i + 8], "little") for i in range(0, len(body) // 8 * 8, 8)
        ]
        if plain == _FULL and values:
            plain = values.pop(0)
        if packed == _FULL and values:
            packed = values.pop(0)
        break
    return packed, plain


def _check_overlap(infos: list[zipfile.ZipInfo], found: list[Member], directory_start: int) -> None:
    spans = sorted(
        (info.header_offset, member.data_offset + member.size)
        for info, member in zip(infos, found, strict=True)
    )
    end = 0
    for start, stop in spans:
        if start < end:
            raise FormatError("two zip members overlap")
        end = stop
    if end > directory_start:
        raise FormatError("a zip member overlaps the directory")

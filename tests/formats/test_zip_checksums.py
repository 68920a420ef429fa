"""A zip whose members changed agrees with itself again."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from mvc.base.errors import FormatError
from mvc.formats.base import BytesSource
from mvc.formats.zip_archive import members
from mvc.formats.zip_checksums import repairs

CONTENT = {"a/one": b"1" * 100, "a/two": b"2" * 200, "a/three": bytes(300)}


class Stream(io.BytesIO):
    """A stream that cannot seek, so that checksums follow the members' bytes."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def archive(*, streamed: bool = False, prefix: bytes = b"", packed: str = "") -> bytearray:
    stream = Stream() if streamed else io.BytesIO(prefix)
    stream.seek(0, io.SEEK_END) if not streamed else None
    with zipfile.ZipFile(stream, "a" if prefix else "w") as made:
        for name, data in CONTENT.items():
            way = zipfile.ZIP_DEFLATED if name == packed else zipfile.ZIP_STORED
            made.writestr(zipfile.ZipInfo(name), data, way)
    return bytearray(stream.getvalue())


def changed(data: bytearray, name: str) -> tuple[int, int]:
    member = next(item for item in members(BytesSource(bytes(data))) if item.name == name)
    data[member.data_offset + 7] ^= 0x55
    return member.data_offset + 4, member.data_offset + 12


def repair(data: bytearray, spans: list[tuple[int, int]]) -> list[int]:
    found = list(repairs(BytesSource(bytes(data)), spans))
    for at, fixed in found:
        data[at : at + len(fixed)] = fixed
    return [at for at, _ in found]


@pytest.mark.parametrize(
    "options", [{}, {"streamed": True}, {"prefix": b"#!/bin/sh\n"}], ids=["plain", "late", "behind"]
)
@pytest.mark.parametrize("name", CONTENT)
def test_a_member_that_was_changed_passes_the_check_again(
    name: str, options: dict[str, object]
) -> None:
    data = archive(**options)  # type: ignore[arg-type]
    span = changed(data, name)
    with zipfile.ZipFile(io.BytesIO(data)) as broken:
        assert broken.testzip() == name
    repair(data, [span])
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        assert whole.testzip() is None
        assert whole.read(name)[7] == CONTENT[name][7] ^ 0x55
    # Both copies of the checksum agree, as the reader of checkpoints demands.
    assert len(members(BytesSource(bytes(data)))) == len(CONTENT)


def test_a_checksum_without_a_signature_is_found_behind_the_bytes() -> None:
    data = archive(streamed=True)
    at = data.index(b"PK\x07\x08")
    while at >= 0:
        del data[at : at + 4]
        at = data.find(b"PK\x07\x08")
    start = data.index(b"PK\x01\x02")
    shift, entry = 0, start
    while data[entry : entry + 4] == b"PK\x01\x02":
        (offset,) = struct.unpack_from("<L", data, entry + 42)
        struct.pack_into("<L", data, entry + 42, offset - shift)
        entry, shift = entry + 46 + sum(struct.unpack_from("<3H", data, entry + 28)), shift + 4
    struct.pack_into("<L", data, entry + 16, start)
    span = changed(data, "a/two")
    places = repair(data, [span])
    assert len(places) == 2
    crc = zlib.crc32(CONTENT["a/two"][:7] + b"g" + CONTENT["a/two"][8:])
    assert all(data[at : at + 4] == crc.to_bytes(4, "little") for at in places)


def test_members_that_did_not_change_keep_their_checksums_right_or_wrong() -> None:
    data = archive(packed="a/one")
    span = changed(data, "a/two")
    changed(data, "a/three")
    assert len(repair(data, [span])) == 2
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() == "a/three"


def test_what_is_no_zip_is_refused() -> None:
    with pytest.raises(FormatError):
        list(repairs(BytesSource(b"PK\x03\x04 and nothing else"), [(0, 8)]))

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hostile import contents, locate, mutations, state_dicts, survives
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, LimitError
from mvc.formats import npz, zip_archive
from mvc.formats.base import BytesSource

LABELS = ("float16", "float32", "float64", "int64", "uint8", "bool")


def pack(
    members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED, prefix: bytes = b""
) -> bytes:
    out = io.BytesIO()
    out.write(prefix)
    with zipfile.ZipFile(out, "a" if prefix else "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def array(value: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(value), allow_pickle=True)
    return out.getvalue()


def savez(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


W = array(np.arange(4, dtype=np.float32))
SAMPLE = savez(w=np.arange(6, dtype=np.float32).reshape(2, 3), b=np.zeros(2, np.int64))


@given(state_dicts(LABELS))
def test_every_array_of_a_generated_archive_is_found_with_its_bytes(arrays: Any) -> None:
    members = []
    for name, (label, shape, raw) in arrays.items():
        members.append((f"{name}.npy", array(np.frombuffer(raw, label).reshape(shape))))
    data = pack(members)
    assert contents(locate(npz, data), data) == arrays


def test_what_numpy_writes_is_recognised() -> None:
    assert npz.matches(SAMPLE[:512], BytesSource(SAMPLE))
    assert set(contents(locate(npz, SAMPLE), SAMPLE)) == {"w", "b"}


def test_a_zip_with_other_files_is_not_an_npz() -> None:
    data = pack([("a.npy", W), ("readme.txt", b"")])
    assert not npz.matches(data[:512], BytesSource(data))


def test_compressed_members_stay_literal_with_one_note() -> None:
    data = pack([("a.npy", W * 50), ("b.npy", W * 50)], zipfile.ZIP_DEFLATED)
    located = locate(npz, data)
    assert located.extents == ()
    assert len(located.notes) == 1
    assert located.notes[0].startswith("2 compressed members (")


def test_an_array_of_objects_stays_literal_with_a_note() -> None:
    located = locate(npz, pack([("o.npy", array(np.array([None]))), ("w.npy", W)]))
    assert [extent.name for extent in located.extents] == ["w"]
    assert "'o.npy'" in located.notes[0]


def test_notes_are_few_however_many_members_are_bad() -> None:
    assert len(locate(npz, pack([(f"{i}.npy", b"bad") for i in range(50)])).notes) == 6


def test_a_name_with_and_without_the_ending_is_ambiguous() -> None:
    data = pack([("w", W), ("w.npy", W)])
    assert npz.matches(data[:512], BytesSource(data))
    with pytest.raises(FormatError, match="with and without"):
        locate(npz, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_name_is_refused() -> None:
    with pytest.raises(FormatError, match="two zip members"):
        locate(npz, pack([("w.npy", W), ("w.npy", W)]))


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\\b", "C:x", "a/b"])
def test_a_hostile_member_name_is_only_a_name(name: str) -> None:
    (extent,) = locate(npz, pack([(f"{name}.npy", W)])).extents
    assert extent.name == name


def test_a_junk_prefix_is_read_right() -> None:
    data = pack([("w.npy", W)], prefix=b"junk" * 10)
    assert contents(locate(npz, data), data)["w"][2] == W[-16:]


def test_zip64_members_are_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("w.npy", "w", force_zip64=True) as f:
        f.write(W)
    data = out.getvalue()
    assert contents(locate(npz, data), data)["w"][2] == W[-16:]


def test_streamed_members_are_read() -> None:
    class Unseekable(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *args: int) -> int:
            raise OSError

        def tell(self) -> int:
            raise OSError

    out = Unseekable()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("w.npy", W)
    data = out.getvalue()
    assert contents(locate(npz, data), data)["w"][2] == W[-16:]


CENTRAL = SAMPLE.index(b"PK\x01\x02")


def patched(offset: int, raw: bytes) -> bytes:
    return SAMPLE[:offset] + raw + SAMPLE[offset + len(raw) :]


CONTRADICTIONS = {
    "local name": patched(30, b"v"),
    "local signature": patched(0, b"XX"),
    "local method": patched(8, b"\x08"),
    "local encryption flag": patched(6, b"\x01"),
    "central encryption flag": patched(CENTRAL + 8, b"\x01"),
    "central method": patched(CENTRAL + 10, b"\x08"),
    "central checksum": patched(CENTRAL + 16, b"\0\0\0\0"),
    "central sizes": patched(CENTRAL + 20, b"\x10\0\0\0\x10\0\0\0"),
    "central size past the end": patched(CENTRAL + 20, b"\0\0\0\x7f\0\0\0\x7f"),
    "central offset": patched(CENTRAL + 42, b"\x01\0\0\0"),
    "entry count and size": SAMPLE[:-10] + b"\xff" * 8 + SAMPLE[-2:],
}


@pytest.mark.parametrize("data", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_zip_that_contradicts_itself_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        locate(npz, data)


def test_overlapping_members_are_refused() -> None:
    inner = pack([("b.npy", W)])
    local = inner[: inner.index(b"PK\x01\x02")]
    outer = pack([("a.npy", local), ("b.npy", W)])
    directory = outer.rindex(b"PK\x01\x02")
    lying = outer.index(local)
    data = outer[: directory + 42] + lying.to_bytes(4, "little") + outer[directory + 46 :]
    with pytest.raises(FormatError, match="overlap"):
        locate(npz, data)


def test_a_member_is_decompressed_only_within_its_budget() -> None:
    source = BytesSource(pack([("a", bytes(1_000_000))], zipfile.ZIP_DEFLATED))
    (member,) = zip_archive.members(source)
    assert zip_archive.read_member(source, member, 1_000_000) == bytes(1_000_000)
    with pytest.raises(LimitError):
        zip_archive.read_member(source, member, 999_999)


def test_a_file_cut_anywhere_is_refused() -> None:
    for end in range(len(SAMPLE)):
        with pytest.raises(FormatError):
            locate(npz, SAMPLE[:end])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    survives(npz, data)
    survives(npz, SAMPLE[: len(SAMPLE) - 22] + data)


@given(mutations(SAMPLE))
def test_a_damaged_file_raises_only_format_errors(data: bytes) -> None:
    survives(npz, data)

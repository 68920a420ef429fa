from __future__ import annotations

import pytest
from blake3 import blake3

from mvc.base.errors import FormatError
from mvc.base.ids import check_id, digest, is_prefix, object_id, parse_id


def test_an_id_is_the_hash_of_kind_length_and_content() -> None:
    assert object_id("tree", b"\x90") == blake3(b"tree 1\x00\x90").digest()


def test_the_same_content_has_another_id_as_another_kind() -> None:
    assert object_id("blob", b"content") != object_id("tree", b"content")


def test_length_and_content_cannot_be_traded_against_each_other() -> None:
    assert object_id("a", b"1\0") != object_id("a", b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ab" * 31,
        "ab" * 33,
        "AB" * 32,
        "ab" * 32 + "\n",
        " " + "ab" * 32,
        "a_" * 32,
        "../" + "ab" * 31,
        "٣" * 64,
        "gg" * 32,
    ],
)
def test_only_64_lower_case_hex_digits_are_an_id(text: str) -> None:
    with pytest.raises(FormatError):
        parse_id(text)


def test_an_id_comes_back_from_its_text() -> None:
    name = object_id("blob", b"x")
    assert parse_id(name.hex()) == name


@pytest.mark.parametrize("value", ["ab" * 16, b"", b"x" * 31, b"x" * 33, None, bytearray(32), 7])
def test_only_32_plain_bytes_are_a_raw_id(value: object) -> None:
    with pytest.raises(FormatError):
        check_id(value)


@pytest.mark.parametrize("text", ["abcd", "0" * 64])
def test_four_to_64_digits_abbreviate_an_id(text: str) -> None:
    assert is_prefix(text)


@pytest.mark.parametrize("text", ["abc", "0" * 65, "ABCD", "abcd\n", "main", "٣٣٣٣"])
def test_other_text_abbreviates_nothing(text: str) -> None:
    assert not is_prefix(text)


def test_a_digest_does_not_depend_on_how_the_bytes_are_viewed() -> None:
    data = bytes(range(64))
    words = memoryview(data).cast("H")
    assert digest(words) == digest(data) == digest(bytearray(data)) == blake3(data).digest()

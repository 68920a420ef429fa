from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import FormatError, NegativeAnswer, NotAllowedError, NotFoundError, UsageError
from mvc.repo import keys

pytest.importorskip("cryptography")


def test_a_key_is_a_file_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    made = keys.generate(tmp_path / "keys", "ada", "ed25519")
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert keys.described(tmp_path / "keys", "ada") == made
    assert keys.own(tmp_path / "keys") == [made]
    assert fileio.names(tmp_path / "keys") == ["ada.pem"]
    public = keys.signing_key(tmp_path / "keys", "ada").public_key().public_bytes_raw()
    assert public.hex() == made.public
    assert "PRIVATE" not in made.pem


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    before = keys.generate(tmp_path, "ada", "ed25519")
    data = before.path.read_bytes()
    with pytest.raises(NegativeAnswer):
        keys.generate(tmp_path, "ada", "p256")
    assert before.path.read_bytes() == data
    assert fileio.names(tmp_path) == ["ada.pem"]


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    made = keys.generate(tmp_path, "ada", "ed25519")
    made.path.chmod(0o640)
    with pytest.raises(NotAllowedError, match="others than you"):
        keys.load(tmp_path, "ada")


def test_each_kind_of_key_is_for_one_purpose(tmp_path: Path) -> None:
    made = keys.generate(tmp_path, "bundle", "p256")
    assert made.kind == "p256"
    with pytest.raises(UsageError):
        keys.signing_key(tmp_path, "bundle")


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".a", "a b", "a\n", "ä", "x" * 65, "-a"])
def test_names_of_keys_are_harmless_names_of_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        keys.generate(tmp_path, name, "ed25519")
    with pytest.raises(UsageError):
        keys.load(tmp_path, name)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"\xff" * 50, b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"],
)
def test_a_file_that_is_no_key_is_malformed(tmp_path: Path, data: bytes) -> None:
    fileio.write_file(tmp_path / "ada.pem", data, tmp_path, private=True)
    with pytest.raises(FormatError):
        keys.load(tmp_path, "ada")


def test_a_key_of_another_kind_signs_nothing(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import x25519

    data = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    fileio.write_file(tmp_path / "ada.pem", data, tmp_path, private=True)
    with pytest.raises(FormatError, match="kind"):
        keys.load(tmp_path, "ada")


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no key ada") as caught:
        keys.load(tmp_path, "ada")
    assert caught.value.hint == "`mvc key generate --name ada`"


def test_a_public_key_is_read_from_hex_and_pem(tmp_path: Path) -> None:
    made = keys.generate(tmp_path, "ada", "ed25519")
    for text in (made.public, made.public.upper(), f" {made.public}\n", made.pem):
        assert keys.parse_public(text).hex() == made.public


def test_what_is_no_public_key_for_commits_is_malformed(tmp_path: Path) -> None:
    private = keys.generate(tmp_path, "ada", "ed25519").path.read_text()
    with pytest.raises(FormatError, match="private"):
        keys.parse_public(private)
    for text in ("", "00" * 33, "é", "\udcff", keys.generate(tmp_path, "b", "p256").pem):
        with pytest.raises(FormatError):
            keys.parse_public(text)


def test_keys_under_which_signatures_mean_nothing_are_refused() -> None:
    p = 2**255 - 19
    for y in (0, 1, p - 1, p, p + 1):
        for sign in (0, 1 << 255):
            with pytest.raises(FormatError):
                keys.check_public((y | sign).to_bytes(32, "little"))
    keys.check_public((2).to_bytes(32, "little"))


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UsageError, match="cryptography") as caught:
        keys.generate(tmp_path, "ada", "ed25519")
    assert caught.value.hint == "pip install 'mvc[sign]'"

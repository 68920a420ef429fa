from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError
from mvc.repo.trust import FILE, Trust, Trusted, add, revoke

NOW = 1_700_000_000_000_000
DAY = 86_400_000_000
ONE, TWO = b"\x11" * 32, b"\x22" * 32


def trust(folder: Path) -> Trust:
    return Trust.read(folder / "repository", folder / "user")


def put(folder: Path, name: str, key: bytes, **options: object) -> Trusted:
    given = {"expires": None, "origin": "repository", **options}
    return add(trust(folder), name, key, NOW, **given)  # type: ignore[arg-type]


def test_a_key_is_trusted_under_a_name_until_it_is_revoked(tmp_path: Path) -> None:
    assert trust(tmp_path).about(ONE) is None
    put(tmp_path, "ada", ONE)
    assert trust(tmp_path).about(ONE) == Trusted("ada", ONE, "repository", NOW)
    assert trust(tmp_path).about(TWO) is None
    revoke(trust(tmp_path), "ada", NOW + DAY)
    known = trust(tmp_path).about(ONE)
    assert known is not None
    assert known.revoked == NOW + DAY


def test_a_revoked_key_is_not_trusted_again_anywhere(tmp_path: Path) -> None:
    put(tmp_path, "ada", ONE)
    revoke(trust(tmp_path), "ada", NOW)
    for options in ({}, {"origin": "user"}):
        with pytest.raises(NegativeAnswer, match="revoked"):
            put(tmp_path, "bob", ONE, **options)
    put(tmp_path, "ada2", TWO)
    revoke(trust(tmp_path), "ada", NOW + DAY)
    known = trust(tmp_path).about(ONE)
    assert known is not None
    assert known.revoked == NOW


def test_a_revocation_in_either_file_is_the_last_word(tmp_path: Path) -> None:
    put(tmp_path, "ada", ONE)
    put(tmp_path, "a", ONE, origin="user")
    revoke(trust(tmp_path), "a", NOW)
    known = trust(tmp_path).about(ONE)
    assert known is not None
    assert known.revoked is not None
    assert known.name == "a"


def test_a_name_is_revoked_in_every_file_that_has_it(tmp_path: Path) -> None:
    put(tmp_path, "ada", ONE)
    put(tmp_path, "ada", TWO, origin="user")
    assert len(revoke(trust(tmp_path), "ada", NOW)) == 2
    assert all(item.revoked for item in trust(tmp_path).keys)
    with pytest.raises(NotFoundError):
        revoke(trust(tmp_path), "bob", NOW)


def test_one_name_has_one_key_and_one_key_one_name(tmp_path: Path) -> None:
    put(tmp_path, "ada", ONE)
    with pytest.raises(NegativeAnswer):
        put(tmp_path, "ada", TWO)
    with pytest.raises(NegativeAnswer):
        put(tmp_path, "bob", ONE)
    assert [item.name for item in trust(tmp_path).keys] == ["ada"]


def test_until_when_a_key_is_good_may_change(tmp_path: Path) -> None:
    for until in (NOW + DAY, NOW + 2 * DAY, None):
        put(tmp_path, "ada", ONE, expires=until)
        known = trust(tmp_path).about(ONE)
        assert known is not None
        assert known.expires == until
    with pytest.raises(UsageError):
        put(tmp_path, "ada", ONE, expires=NOW)


def test_what_people_write_into_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "repository" / FILE
    file.parent.mkdir()
    file.write_text(f'# by hand\n["cam.07@x"] # here\nkey = "{ONE.hex()}"\nexpires = 2027-11-21\n')
    put(tmp_path, "bob", TWO)
    text = file.read_text()
    assert text.startswith('# by hand\n["cam.07@x"] # here\n')
    known = trust(tmp_path).about(ONE)
    assert known is not None
    assert known.expires == 1_826_755_200_000_000


@pytest.mark.parametrize(
    "text",
    [
        "[ada]\n",
        "ada = 1\n",
        "[ada]\nkey = 5\n",
        "[ada]\nkey = '00'\n",
        f"[ada]\nkey = '{'00' * 32}'\n",
        f"[ada]\nkey = '{'11' * 32}'\nonly = ['refs/heads/x']\n",
        f"[ada]\nkey = '{'11' * 32}'\nexpires = '2027-11-21'\n",
        f"[ada]\nkey = '{'11' * 32}'\nexpires = 2027-11-21T00:00:00\n",
        f"[ada]\nkey = '{'11' * 32}'\nrevoked = false\n",
        f"['a b']\nkey = '{'11' * 32}'\n",
        "[ada\n",
        "\udcff",
        "a." * 5000 + "b = 1",
    ],
)
def test_a_list_that_is_not_understood_in_full_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FormatError, match=r"trusted\.toml"):
        trust(tmp_path)


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_file_is_a_list_or_malformed(tmp_path: Path, text: str) -> None:
    (tmp_path / "user").mkdir(exist_ok=True)
    (tmp_path / "user" / FILE).write_text(f"[ada]\nkey = '{'11' * 32}'\n{text}", "utf-8")
    try:
        found = trust(tmp_path).keys
    except FormatError:
        return
    assert found[0].name == "ada"

"""Tokens: hashed at rest, scoped, taken back at once."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError
from mvc.sync.grants import Grant
from mvc.sync.repository_names import check_glob, is_name, matches, parse_target
from mvc.sync.tokens import FILE, FOLDER, Token, Tokens, parse_grants

READ = frozenset({Grant("read", "refs/")})


def made(root: Path, name: str = "ada", **more: int) -> tuple[Token, str]:
    return Tokens(root).create(name, repositories=["fleet"], grants=READ, **more)


def test_a_token_is_found_by_its_secret_alone(tmp_path: Path) -> None:
    token, secret = made(tmp_path)
    held = Tokens(tmp_path)
    assert held.find(secret) == token
    assert held.valid(token)
    last = "0" if secret[-1] != "0" else "1"
    for wrong in ("", secret[:-1], secret[:-1] + last, secret.upper(), secret + "\n", f" {secret}"):
        assert held.find(wrong) is None


def test_the_secret_is_nowhere_on_the_disk_and_the_file_is_private(tmp_path: Path) -> None:
    _, secret = made(tmp_path)
    file = tmp_path / FOLDER / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for path in (tmp_path / FOLDER).iterdir():
        assert secret[-64:].encode() not in path.read_bytes()


def test_a_token_is_taken_back_at_once_in_every_process(tmp_path: Path) -> None:
    token, secret = made(tmp_path)
    other = Tokens(tmp_path)
    assert other.find(secret) == token
    Tokens(tmp_path).revoke("ada")
    assert other.find(secret) is None
    assert not other.valid(token)


def test_a_token_that_was_made_is_known_at_once(tmp_path: Path) -> None:
    held = Tokens(tmp_path)
    assert held.find("mvc_" + "0" * 12 + "_" + "0" * 64) is None
    for number in range(20):
        token, secret = made(tmp_path, f"t{number}")
        assert held.find(secret) == token


def test_a_token_is_over_when_its_time_is(tmp_path: Path) -> None:
    now = 1_000_000_000
    held = Tokens(tmp_path, lambda: now)
    token, secret = held.create("ada", repositories=["**"], grants=READ, seconds=60)
    assert held.valid(token)
    assert not token.expired(now + 59_999_999)
    assert token.expired(now + 60_000_000)
    later = Tokens(tmp_path, lambda: now + 60_000_000)
    assert later.find(secret) == token
    assert not later.valid(token)


def test_what_a_token_is_for_survives_the_file(tmp_path: Path) -> None:
    grants, server = parse_grants(["read:refs/", "append:refs/heads/x", "admin", "metrics"])
    token, secret = Tokens(tmp_path).create(
        "Åda of the north",
        repositories=["a/*", "**"],
        grants=grants,
        server=server,
        requests_per_minute=7,
        bytes_per_day=1 << 40,
    )
    assert Tokens(tmp_path).find(secret) == token
    assert token.granted() == ["append:refs/heads/x", "read:refs/", "admin", "metrics"]


def test_names_are_taken_once(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(NegativeAnswer):
        made(tmp_path)
    with pytest.raises(NotFoundError):
        Tokens(tmp_path).revoke("bob")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[31m", "<x>", "x" * 101])
def test_a_name_is_one_line_that_can_be_shown(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        made(tmp_path, name)


def test_a_token_that_grants_nothing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Tokens(tmp_path).create("ada", repositories=["**"], grants=())
    with pytest.raises(UsageError):
        Tokens(tmp_path).create("ada", repositories=[], grants=READ)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "read",
        "read:",
        "read:heads/",
        "write:refs/",
        "admin:refs/",
        "read:refs/a b",
        "READ:refs/",
    ],
)
def test_what_is_no_grant_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_grants([text])


def damaged(data: str) -> list[str]:
    found = json.loads(data)
    row = found["tokens"][0]
    changed = [
        {**row, "digest": "0" * 63},
        {**row, "id": "../../x"},
        {**row, "grants": "read:refs/"},
        {**row, "grants": ["all"]},
        {**row, "repositories": ["../x"]},
        {**row, "created": "now"},
        {**row, "expires": 1.5},
        {**row, "more": 1},
        {key: value for key, value in row.items() if key != "expires"},
        [],
        None,
    ]
    texts = [json.dumps({**found, "tokens": [item]}) for item in changed]
    return [*texts, "", "[]", "null", "{}", data[:-3], '{"version": 2, "tokens": []}', "[" * 99999]


def test_a_malformed_file_lets_nobody_in(tmp_path: Path) -> None:
    token, secret = made(tmp_path)
    held = Tokens(tmp_path)
    assert held.find(secret)
    file = tmp_path / FOLDER / FILE
    whole = file.read_text()
    for text in damaged(whole):
        file.write_text(text)
        for _ in range(2):
            with pytest.raises(FormatError):
                held.find(secret)
            with pytest.raises(FormatError):
                held.valid(token)
    file.write_text(whole)
    assert held.find(secret) == token


@pytest.mark.parametrize(
    ("glob", "name", "meant"),
    [
        ("**", "a", True),
        ("**", "a/b/c", True),
        ("a", "a", True),
        ("a", "a/b", False),
        ("a", "b", False),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/*", "a", False),
        ("*", "a/b", False),
        ("a/**", "a", True),
        ("a/**", "a/b/c", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "ab/z", False),
        ("car-?", "car-1", True),
        ("car-?", "car-12", False),
        ("Car", "car", False),
    ],
)
def test_patterns_of_repositories(glob: str, name: str, meant: bool) -> None:
    assert matches(check_glob(glob), name) is meant


@pytest.mark.parametrize("glob", ["", "/", "a//b", "../a", ".hidden", "a b", "[a]", "a/" * 9])
def test_what_is_no_pattern_is_refused(glob: str) -> None:
    with pytest.raises(UsageError):
        check_glob(glob)


@pytest.mark.parametrize("name", ["fleet", "a/b/c", "a.b_c-d", "x~y+z=1@2,3", "A1", "con-2"])
def test_plain_names_are_names(name: str) -> None:
    assert is_name(name)
    target = parse_target(f"/{name}/-/mvc/refs".encode())
    assert target == (name, "refs")


@pytest.mark.parametrize(
    "path",
    [
        b"fleet/-/mvc/refs",
        b"//fleet/-/mvc/refs",
        b"/fleet//-/mvc/refs",
        b"/../fleet/-/mvc/refs",
        b"/a/../fleet/-/mvc/refs",
        b"/./fleet/-/mvc/refs",
        b"/%66leet/-/mvc/refs",
        b"/%2e%2e/fleet/-/mvc/refs",
        b"/%252e%252e/fleet/-/mvc/refs",
        b"/..%2ffleet/-/mvc/refs",
        b"/..%5cfleet/-/mvc/refs",
        b"/a\\b/-/mvc/refs",
        b"/fleet%00/-/mvc/refs",
        b"/fleet\0/-/mvc/refs",
        b"/fleet;x/-/mvc/refs",
        b"/fleet%3bx/-/mvc/refs",
        b"/fleet%23/-/mvc/refs",
        b"/\xc0\xae\xc0\xae/-/mvc/refs",
        b"/%c0%ae/-/mvc/refs",
        b"/file:///etc/-/mvc/refs",
        b"/C:/-/mvc/refs",
        b"/.mvc-server/-/mvc/refs",
        b"/fleet/.mvc/-/mvc/refs",
        b"/-/-/mvc/refs",
        b"/-/mvc/refs",
        b"/fleet/-/mvc/refs/",
        b"/fleet/-/mvc/",
        b"/fleet/-/mvc/Refs",
        b"/fleet/-/mvc/refs/-/mvc/refs",
        b"/fleet/-/web/refs",
        b"/fleet.lock/-/mvc/refs",
        b"/fleet./-/mvc/refs",
        b"/nul/-/mvc/refs",
        b"/mvc~1/-/mvc/refs",
        b"/" + b"a/" * 9 + b"-/mvc/refs",
        b"http://localhost/fleet/-/mvc/refs",
        b"*",
        b"",
    ],
)
def test_a_path_that_could_lead_elsewhere_names_nothing(path: bytes) -> None:
    assert parse_target(path) is None


@given(some.binary(max_size=60))
def test_a_path_names_one_repository_or_none(raw: bytes) -> None:
    for path in (raw, b"/" + raw + b"/-/mvc/refs"):
        found = parse_target(path)
        if found is not None:
            assert f"/{found.repository}/-/mvc/{found.verb}".encode() == path
            assert ".." not in found.repository.split("/")

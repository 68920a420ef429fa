from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import (
    IntegrityError,
    MvcError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from mvc.sync.address import SshAddress, parse
from mvc.sync.link import FutileError, UnreachableError
from mvc.sync.ssh import command, ended, program, quoted


def address(text: str) -> SshAddress:
    found = parse(text)
    assert isinstance(found, SshAddress)
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hub:fleet", ["hub", "--", "mvc", "serve", "--stdio", "'fleet'"]),
        ("ada@hub:/x", ["ada@hub", "--", "mvc", "serve", "--stdio", "'/x'"]),
        ("ssh://hub:2222/x", ["-p", "2222", "hub", "--", "mvc", "serve", "--stdio", "'/x'"]),
        ("ssh://ada@[::1]/~/x", ["ada@::1", "--", "mvc", "serve", "--stdio", "'x'"]),
    ],
)
def test_ssh_is_run_with_a_list_of_arguments(text: str, words: list[str]) -> None:
    assert command(address(text)) == ["ssh", *words]


def test_the_program_and_its_options_can_be_chosen() -> None:
    words = command(address("hub:x"), program("'/opt/my ssh' -i key -F none"))
    assert words[:5] == ["/opt/my ssh", "-i", "key", "-F", "none"]
    assert words[5] == "hub"


@pytest.mark.parametrize("text", ["", "  ", "'", "''"])
def test_a_setting_that_is_no_program_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        program(text)


@given(st.text(max_size=12))
def test_a_path_is_one_word_for_every_shell_or_is_refused(path: str) -> None:
    try:
        word = quoted(path)
    except UsageError:
        return
    assert shlex.split(word) == [path]
    assert "'" not in path
    assert "\\" not in path


@pytest.mark.parametrize(
    ("status", "said", "kind", "message"),
    [
        (255, "connect to hub: No route", UnreachableError, "ssh cannot reach hub: connect"),
        (255, "", UnreachableError, "ssh cannot reach hub"),
        (255, "client_loop: send disconnect: Broken pipe", NetworkError, "hub was cut off"),
        (255, "Connection to hub closed by remote host.", NetworkError, "hub was cut off"),
        (255, "Connection closed by 10.0.0.1 port 22", UnreachableError, "ssh cannot reach hub"),
        (255, "ada@hub: Permission denied (publickey).", FutileError, "cannot reach hub: ada"),
        (255, "Host key verification failed.", FutileError, "Host key verification failed"),
        (127, "sh: 1: mvc: not found", FutileError, "hub has no mvc"),
        (127, "fish: Unknown command: mvc", FutileError, "hub has no mvc"),
        (3, "error: there is no repository 'x'", NotFoundError, "hub refused: there is no repo"),
        (5, "error: this key is for\nhint: h", NotAllowedError, "hub refused: this key is for"),
        (2, "error: no such option --stdio", UsageError, "hub refused: no such option"),
        (6, "error: a pack is damaged", IntegrityError, "hub refused: a pack is damaged"),
        (6, "", NetworkError, "ended with status 6"),
        (1, "This account is closed.", NetworkError, "status 1: This account is closed."),
        (0, "", NetworkError, "the connection to hub was cut off"),
        (-9, "", NetworkError, "the connection to hub was cut off"),
    ],
)
def test_the_end_of_ssh_says_what_it_means(
    status: int, said: str, kind: type[MvcError], message: str
) -> None:
    error = ended("hub", status, said.split("\n") if said else [])
    assert type(error) is kind
    assert message in error.message


@pytest.mark.parametrize("status", [0, 1, 3, 127, 255, -9])
def test_a_host_that_had_answered_can_be_reached(status: int) -> None:
    error = ended("hub", status, ["Permission denied"], begun=True)
    assert type(error) is NetworkError
    assert error.message == "the connection to hub was cut off"

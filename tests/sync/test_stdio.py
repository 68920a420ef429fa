from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mvc.base.errors import FormatError, MvcError, NetworkError, NotAllowedError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.sync.link import FutileError
from mvc.sync.messages import Done, GiveRequest, PartRequest, RefsReply, RefsRequest
from mvc.sync.stdio import StdioLink
from tests.sync.speaker import PIECE

REFS = RefsRequest(("refs/",))
GIVE = GiveRequest((), ())
BODY = [PIECE] * 40
PART = PartRequest(ObjectId(bytes(32)), 32 << 20, 8 << 20)
Make = Callable[..., StdioLink]


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    made: list[StdioLink] = []

    def make(
        way: str = "plain", idle: float = 20, told: Callable[[str], None] = print
    ) -> StdioLink:
        command = [sys.executable, "-m", "tests.sync.speaker", way]
        made.append(StdioLink(command, "hub", idle=idle, told=told))
        return made[-1]

    yield make
    for item in made:
        item.close()


def whom(link: StdioLink) -> tuple[int, int]:
    """The process that answers, and how many requests it had."""
    reply = link.ask(REFS).reply
    assert isinstance(reply, RefsReply)
    assert reply.head is not None
    pid, asked = reply.head.split()
    return int(pid), int(asked)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_process_answers_one_request_after_another(link: Make) -> None:
    hub = link()
    pid, asked = whom(hub)
    assert asked == 1
    assert hub.ask(PART, BODY).reply == Done()
    body = hub.ask(GIVE).body
    assert sum(map(len, body)) == 64 << 20
    assert whom(hub) == (pid, 4)
    hub.close()
    assert gone(pid)


def test_closing_before_anything_was_asked_starts_nothing(link: Make) -> None:
    hub = link("no-such-way")
    hub.close()
    hub.close()


def test_a_closed_link_begins_anew_when_it_is_asked(link: Make) -> None:
    hub = link()
    first, _ = whom(hub)
    hub.close()
    second, asked = whom(hub)
    assert (first != second, asked) == (True, 1)


@pytest.mark.parametrize("way", ["refuse", "refuse-later"])
def test_a_refusal_comes_before_the_body_is_sent_and_is_told(link: Make, way: str) -> None:
    hub = link(way)
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield PIECE

    with pytest.raises(NotAllowedError, match="the server refused: nothing"):
        hub.ask(PART, body())
    assert sent < 1000
    assert whom(hub)[1] == 1


def test_a_part_that_is_there_already_is_not_sent_to_its_end(link: Make) -> None:
    hub = link("have")
    assert hub.ask(PART, [PIECE] * 1000).reply == Done()
    assert whom(hub)[1] == 1


def test_a_server_that_stops_reading_where_the_body_ends_goes_on(link: Make) -> None:
    hub = link("exact")
    assert hub.ask(PART, BODY).reply == Done()
    assert whom(hub)[1] == 2


def test_an_unread_body_does_not_get_into_the_next_answer(link: Make) -> None:
    hub = link()
    pid, _ = whom(hub)
    next(hub.ask(GIVE).body)
    assert whom(hub)[1] == 1
    assert gone(pid)
    body = hub.ask(GIVE).body
    next(body)
    body.close()  # type: ignore[attr-defined]
    assert whom(hub)[1] == 1


@pytest.mark.parametrize("way", ["break", "die"])
def test_an_answer_that_breaks_off_is_no_answer(link: Make, way: str) -> None:
    hub = link(way)
    body = hub.ask(GIVE).body
    with pytest.raises(NetworkError, match="the connection to hub was cut off") as caught:
        list(body)
    assert "secret" not in str(caught.value)
    assert whom(hub)[1] == 1


def test_a_server_that_dies_while_it_is_sent_something_is_noticed(link: Make) -> None:
    with pytest.raises(NetworkError, match="cut off"):
        link("die").ask(PART, BODY)


def test_a_process_that_is_killed_between_two_requests_is_noticed(link: Make) -> None:
    hub = link()
    pid, _ = whom(hub)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(NetworkError, match="cut off"):
        hub.ask(REFS)
    assert whom(hub)[1] == 1


def test_what_the_server_fails_at_is_told_without_details(link: Make) -> None:
    hub = link()
    with pytest.raises(NetworkError, match="the server refused: the server has failed"):
        hub.ask(RefsRequest((), "fail"))
    assert whom(hub)[1] == 2


def test_a_server_that_works_for_long_is_waited_for(link: Make) -> None:
    hub = link(idle=1)
    whom(hub)
    assert isinstance(hub.ask(RefsRequest((), "slow")).reply, RefsReply)


@pytest.mark.parametrize("way", ["silent", "half", "waiting", "deaf"])
def test_silence_ends_a_connection(link: Make, way: str) -> None:
    with pytest.raises(NetworkError, match="hub was silent for 1 seconds"):
        link(way, idle=1).ask(PART, BODY)


def test_a_server_that_writes_before_it_reads_blocks_nobody(link: Make) -> None:
    hub = link("flood")
    with pytest.raises(FormatError):
        hub.ask(PART, BODY)
    assert sum(map(len, link("flood").ask(GIVE).body)) == 64 << 20


def test_an_endless_answer_can_be_left(link: Make) -> None:
    body = link("endless").ask(GIVE).body
    for _ in range(50):
        next(body)
    body.close()  # type: ignore[attr-defined]


def test_a_body_that_cannot_be_made_ends_the_connection_and_is_told_as_it_is(link: Make) -> None:
    def body() -> Iterator[bytes]:
        yield PIECE
        raise MvcError("the disk is damaged")

    hub = link()
    pid, _ = whom(hub)
    with pytest.raises(MvcError, match="the disk is damaged"):
        hub.ask(PART, body())
    assert gone(pid)


def test_what_is_printed_on_standard_error_is_told_without_what_a_terminal_obeys(
    link: Make,
) -> None:
    told: list[str] = []
    with pytest.raises(NetworkError, match="ended with status 1"):
        link("chatty", told=told.append).ask(REFS)
    assert told[:2] == ["hub: line 0", "hub: line 1"]
    assert len(told) == 200
    assert all(len(line) <= 1010 and line.isprintable() for line in told)


@pytest.mark.parametrize(
    ("way", "kind", "message"),
    [
        ("motd", FutileError, "hub answered with something else than mvc's protocol"),
        ("absent", FutileError, "hub has no mvc that a login by ssh finds"),
        ("unreachable", NetworkError, "ssh cannot reach hub: ssh: connect to host hub port 22"),
        ("refusing", NotFoundError, "hub refused: there is no repository 'x'"),
    ],
)
def test_an_end_says_what_it_means(
    link: Make, way: str, kind: type[MvcError], message: str
) -> None:
    told: list[str] = []
    with pytest.raises(kind, match=message) as caught:
        link(way, told=told.append).ask(PART, BODY)
    assert not [line for line in told if "no repository" in line]
    assert caught.value.hint
    assert isinstance(caught.value, FutileError) == (kind is FutileError)


def test_a_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(FutileError, match=r"cannot run .*: No such file"):
        StdioLink([str(tmp_path / "ssh")], "hub").ask(REFS)


def test_no_process_is_left_behind(link: Make) -> None:
    for way in ("motd", "half", "chatty", "die", "refuse"):
        with pytest.raises(MvcError):
            link(way, idle=1, told=lambda _: None).ask(PART, BODY)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)

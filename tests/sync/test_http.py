"""The HTTP carrier: a client and a server of ours, with somebody behind it who says anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base.errors import (
    IntegrityError,
    MissingObjectError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from mvc.base.ids import ObjectId
from mvc.sync.address import HttpAddress
from mvc.sync.http_link import HttpLink, HttpSettings
from mvc.sync.link import Answer
from mvc.sync.messages import (
    Asked,
    Done,
    GiveReply,
    GiveRequest,
    PartRequest,
    RefsRequest,
    Request,
)
from mvc.sync.server_config import Limits
from tests.sync.http_world import ALL, MIB, NAME, REFS, HttpWorld, running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpWorld]:
    with running(tmp_path_factory.mktemp("root"), limits=Limits(idle_seconds=5)) as found:
        found.secret = found.token(*ALL)  # type: ignore[attr-defined]
        yield found


@pytest.fixture
def link(world: HttpWorld) -> Iterator[HttpLink]:
    world.fake.act = lambda request, body: None
    found = world.link(world.secret)  # type: ignore[attr-defined]
    yield found
    found.close()


def give(count: int) -> GiveRequest:
    return GiveRequest((), tuple(Asked(ObjectId(bytes([n]) * 32), None) for n in range(count)))


def test_a_request_without_a_body_is_answered_on_one_connection(link: HttpLink) -> None:
    for _ in range(3):
        answer = link.ask(RefsRequest(("refs/heads/",)))
        assert answer.reply == REFS
        assert list(answer.body) == []


def test_a_body_goes_out_in_pieces(world: HttpWorld, link: HttpLink) -> None:
    before = world.fake.received
    body = [b"a" * 7, b"b" * (3 * MIB), b"", b"c"]
    answer = link.ask(PartRequest(NAME, 3 * MIB + 8, 0), body)
    assert answer.reply == Done()
    assert world.fake.received - before == 3 * MIB + 8


def test_a_body_comes_back_in_pieces(link: HttpLink) -> None:
    answer = link.ask(give(9))
    assert answer.reply == GiveReply(NAME, 9 * MIB, 0)
    assert sum(len(piece) for piece in answer.body) == 9 * MIB
    assert link.ask(RefsRequest(())).reply == REFS


def test_a_reply_that_is_not_read_to_its_end_does_not_confuse_the_next(link: HttpLink) -> None:
    body = link.ask(give(5)).body
    next(body)
    body.close()  # type: ignore[attr-defined]
    assert link.ask(RefsRequest(())).reply == REFS


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (NotFoundError("nothing here"), NotFoundError),
        (NotAllowedError("not for you"), NotAllowedError),
        (MissingObjectError("a gap"), MissingObjectError),
        (UsageError("what?"), UsageError),
        (IntegrityError("damaged"), NetworkError),
    ],
)
def test_errors_of_whoever_answers_are_errors_of_the_client(
    world: HttpWorld, link: HttpLink, raised: Exception, seen: type[Exception]
) -> None:
    def act(request: Request, body: Iterator[bytes]) -> None:
        raise raised

    world.fake.act = act
    with pytest.raises(seen, match=str(raised)):
        link.ask(RefsRequest(()))
    world.fake.act = lambda request, body: None
    assert link.ask(RefsRequest(())).reply == REFS


def test_a_refusal_before_the_body_was_read_reaches_the_client(
    world: HttpWorld, link: HttpLink
) -> None:
    def act(request: Request, body: Iterator[bytes]) -> None:
        raise NotAllowedError("no parts from you")

    world.fake.act = act
    with pytest.raises(NotAllowedError, match="no parts from you"):
        link.ask(PartRequest(NAME, 20 * MIB, 0), (bytes(MIB) for _ in range(20)))


def test_an_unexpected_error_tells_nothing_but_where_to_look(
    world: HttpWorld, link: HttpLink
) -> None:
    def act(request: Request, body: Iterator[bytes]) -> None:
        raise ZeroDivisionError("/srv/secret/path")

    world.fake.act = act
    with pytest.raises(NetworkError) as caught:
        link.ask(RefsRequest(()))
    assert "secret" not in caught.value.message
    number = caught.value.message.rpartition(" ")[2]
    assert "ZeroDivisionError" in str(world.logged(request=number)["failure"])


def test_paths_of_the_server_are_told_to_nobody(world: HttpWorld, link: HttpLink) -> None:
    def act(request: Request, body: Iterator[bytes]) -> None:
        raise NotAllowedError(f"cannot open {world.root}/fleet/packs: Permission denied")

    world.fake.act = act
    with pytest.raises(NotAllowedError) as caught:
        link.ask(RefsRequest(()))
    assert str(world.root) not in caught.value.message


def test_a_reply_that_breaks_off_is_an_error_of_the_network(
    world: HttpWorld, link: HttpLink
) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(MIB)
        raise ZeroDivisionError

    world.fake.act = lambda request, body: Answer(GiveReply(NAME, 2 * MIB, 0), pieces())
    answer = link.ask(give(1))
    with pytest.raises(NetworkError, match="cut off"):
        list(answer.body)


def test_a_body_that_fails_at_the_client_ends_the_request(world: HttpWorld, link: HttpLink) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(MIB)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        link.ask(PartRequest(NAME, 2 * MIB, 0), pieces())
    assert link.ask(RefsRequest(())).reply == REFS


def test_a_server_that_works_for_long_says_so(tmp_path: Path) -> None:
    go = threading.Event()

    def act(request: Request, body: Iterator[bytes]) -> None:
        go.wait(30)

    def prepare(app: object) -> None:
        app.exchanges.wait_seconds = 0.05  # type: ignore[attr-defined]

    with running(tmp_path, prepare=prepare) as world:
        world.fake.act = act
        # Silence of a second would end it; the server is not silent.
        link = world.link(world.token(*ALL), idle_seconds=1.0)
        threading.Timer(2.5, go.set).start()
        assert link.ask(RefsRequest(())).reply == REFS
        link.close()


def test_a_server_that_is_silent_is_given_up(world: HttpWorld) -> None:
    go = threading.Event()
    world.fake.act = lambda request, body: go.wait(30) and None  # type: ignore[func-returns-value]
    link = world.link(world.secret, idle_seconds=0.2)  # type: ignore[attr-defined]
    with pytest.raises(NetworkError, match="does not answer"):
        link.ask(RefsRequest(()))
    go.set()


def test_a_token_goes_to_its_origin_alone() -> None:
    address = HttpAddress("https", "models.example.org", "/fleet")
    with pytest.raises(NotAllowedError, match="is for https://other"):
        HttpLink(address, HttpSettings("t", token_origin="https://other.example.org:443"))
    HttpLink(address, HttpSettings("t", token_origin="https://models.example.org:443"))


@pytest.mark.parametrize("host", ["models.example.org", "127.0.0.1.example.org", "10.0.0.1"])
def test_a_token_is_not_sent_unencrypted(host: str) -> None:
    address = HttpAddress("http", host, "/fleet")
    with pytest.raises(NotAllowedError, match="unencrypted"):
        HttpLink(address, HttpSettings("t"))
    HttpLink(address, HttpSettings("t", plain_token=True))
    HttpLink(address, HttpSettings())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_this_machine_may_be_told_a_token(host: str) -> None:
    HttpLink(HttpAddress("http", host, "/fleet"), HttpSettings("t"))


@pytest.mark.parametrize("token", ["", "a b", "a\r\nHost: x", "ä", "a\0"])
def test_what_is_no_token_is_no_header(token: str) -> None:
    with pytest.raises(UsageError):
        HttpLink(HttpAddress("https", "h.example", "/x"), HttpSettings(token))

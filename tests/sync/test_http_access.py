"""Who gets past the layer of access: nobody, unless a token says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.routing import Route

from mvc.base.errors import NetworkError, NotAllowedError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.frames import read_message
from mvc.sync.link import Answer
from mvc.sync.messages import (
    GiveReply,
    PartRequest,
    PlanRequest,
    RefsRequest,
    Refusal,
    Request,
    UpdateRequest,
    decode_reply,
)
from mvc.sync.server_config import Limits, ServerConfig
from mvc.sync.service import Service
from mvc.sync.tokens import Token
from tests.sync.http_world import ALL, MIB, NAME, Fake, HttpWorld, request_body, running
from tests.sync.test_http import give

KINDS = ("none", "malformed", "unknown", "expired", "revoked", "other")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpWorld]:
    root = tmp_path_factory.mktemp("root")
    Repository.init(root / "others" / "theirs", bare=True).close()
    with running(root) as found:
        yield found


@pytest.fixture(scope="module")
def bad(world: HttpWorld) -> dict[str, str | None]:
    """Tokens that open nothing of the repository `fleet`."""
    expired = world.token(*ALL, name="expired", seconds=0)
    revoked = world.token(*ALL, name="revoked")
    world.tokens.revoke("revoked")
    return {
        "none": None,
        "malformed": "hunter2",
        "unknown": "mvc_" + "0" * 12 + "_" + "0" * 64,
        "expired": expired,
        "revoked": revoked,
        "other": world.token(*ALL, name="other tenant", repository="others/**"),
    }


def refusal(body: bytes) -> Refusal:
    at = [0]

    def read(most: int) -> bytes:
        piece = body[at[0] : at[0] + most]
        at[0] += len(piece)
        return piece

    found = decode_reply(read_message(read)[0], RefsRequest)
    assert isinstance(found, Refusal)
    return found


def every_route(world: HttpWorld) -> list[tuple[str, str]]:
    """Return method and path of all routes there are, so that new ones are walked, too."""
    found = []
    for route in world.app.routes.routes:
        assert isinstance(route, Route)
        filled = route.path.replace("{repository:path}", "fleet").replace("{verb}", "refs")
        assert "{" not in filled
        found += [(method, filled) for method in sorted(route.methods or ())]
    return found


def test_every_route_but_health_refuses_whoever_has_no_token_for_it(
    world: HttpWorld, bad: dict[str, str | None]
) -> None:
    walked = 0
    for method, path in every_route(world):
        for kind in KINDS:
            status, body = world.post(path.encode(), bad[kind], method=method.encode())
            if path == "/healthz":
                assert status == 200
                continue
            walked += 1
            wanted = (403 if path == "/metrics" else 404) if kind == "other" else 401
            assert status == wanted, (method, path, kind)
            if method != "HEAD":
                code = {401: "auth", 404: "not-found", 403: "not-allowed"}[wanted]
                assert refusal(body).error == code
    assert walked >= 18
    assert world.fake.asked == []


@pytest.mark.parametrize(
    "path", [b"/", b"/docs", b"/fleet", b"/healthz/", b"/fleet/-/mvc/", b"/%68ealthz"]
)
def test_what_is_no_route_is_refused_like_all_else(world: HttpWorld, path: bytes) -> None:
    for method in (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"):
        assert world.post(path, None, method=method)[0] == 401


def test_others_repositories_are_as_if_they_did_not_exist(
    world: HttpWorld, bad: dict[str, str | None]
) -> None:
    token = bad["other"]
    there = world.post(b"/fleet/-/mvc/refs", token)
    absent = world.post(b"/nowhere/-/mvc/refs", token)
    assert there[0] == absent[0] == 404
    told = [refusal(body) for _, body in (there, absent)]
    assert told[0] == replace(told[1], message=told[1].message.replace("nowhere", "fleet"))
    assert world.post(b"/others/theirs/-/mvc/refs", token)[0] == 200
    assert world.post(b"/others/absent/-/mvc/refs", token)[0] == 404


def test_metrics_need_a_token_of_their_own(world: HttpWorld) -> None:
    token = world.token("metrics", name="prometheus")
    status, body = world.post(b"/metrics", token, method=b"GET")
    assert status == 200
    assert re.search(rb'^mvc_requests_total\{verb="[a-z]+",status="\d+"\} \d+$', body, re.M)
    assert b"ada" not in body
    assert world.post(b"/metrics", world.token(*ALL, name="all refs"), method=b"GET")[0] == 403


def test_no_token_is_in_the_log(world: HttpWorld) -> None:
    secret = world.token(*ALL, name="logged")
    world.post(token=secret)
    world.post(token=secret[:-1])
    world.post(headers=b"X-Odd: \x1b[31m\r\n", path=b"/a%0a%1b[31m")
    world.logged(path="/a%0a%1b[31m")
    text = "\n".join(world.lines)
    assert secret[-60:] not in text
    assert text.isascii()
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(world.lines)


def test_a_header_twice_is_refused(world: HttpWorld) -> None:
    secret = world.token(*ALL, name="twice")
    extra = b"Authorization: Bearer x\r\n"
    assert world.post(token=secret, headers=extra)[0] == 400


def test_a_read_only_token_sends_nothing(tmp_path: Path) -> None:
    def make(repo: Repository, token: Token) -> Service:
        return Service(repo, token.held(), token.who)

    with running(tmp_path, make=make) as world:  # type: ignore[arg-type]
        reader = world.link(world.token("read:refs/", name="reader"))
        assert reader.ask(RefsRequest(())).reply
        for request in (PartRequest(NAME, 4, 0), UpdateRequest(bytes(16), (), (), ())):
            body = [b"1234"] if isinstance(request, PartRequest) else ()
            with pytest.raises(NotAllowedError):
                reader.ask(request, body)
        reader.close()
        assert not list((tmp_path / "fleet").glob("incoming/**/*.head"))
        nobody = world.link(world.token("metrics", name="nobody"))
        for request in (RefsRequest(()), PartRequest(NAME, 1, 0)):
            with pytest.raises(NotAllowedError):
                nobody.ask(request, [b"1"] if isinstance(request, PartRequest) else ())
        nobody.close()


def test_a_token_that_is_taken_back_is_refused_between_two_parts_and_within_one(
    world: HttpWorld,
) -> None:
    link = world.link(world.token(*ALL, name="leaver"))
    link.ask(PartRequest(NAME, MIB, 0), [bytes(MIB)])

    def pieces() -> Iterator[bytes]:
        yield bytes(MIB)
        world.tokens.revoke("leaver")
        for _ in range(8):
            yield bytes(MIB)

    with pytest.raises(NotAllowedError, match="revoked"):
        link.ask(PartRequest(NAME, 9 * MIB, 0), pieces())
    with pytest.raises(NotAllowedError, match="revoked"):
        link.ask(RefsRequest(()))
    link.close()


def test_a_reply_stops_when_its_token_is_taken_back(world: HttpWorld) -> None:
    link = world.link(world.token(*ALL, name="reader"))

    def act(request: Request, body: Iterator[bytes]) -> Answer:
        def pieces() -> Iterator[bytes]:
            yield bytes(MIB)
            world.tokens.revoke("reader")
            yield bytes(MIB)

        return Answer(GiveReply(NAME, 2 * MIB, 0), pieces())

    world.fake.act = act
    try:
        with pytest.raises(NetworkError, match="cut off"):
            list(link.ask(give(1)).body)
    finally:
        world.fake.act = lambda request, body: None
        link.close()


def test_only_an_admin_makes_repositories_and_only_by_sending(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        everyone = world.link(world.token(*ALL, name="all refs"), "new/one")
        with pytest.raises(NotFoundError):
            everyone.ask(RefsRequest(()))
        admin = world.link(world.token(*ALL, "admin", name="admin", repository="new/*"), "new/one")
        assert admin.ask(RefsRequest(())).reply.refs == ()  # type: ignore[union-attr]
        with pytest.raises(NotFoundError):
            admin.ask(PlanRequest((ObjectId(bytes(32)),), ()))
        assert not (tmp_path / "new").exists()
        admin.ask(PartRequest(NAME, 1, 0), [b"1"])
        Repository(tmp_path / "new" / "one", None).close()
        everyone.ask(RefsRequest(()))
        for inside in ("new/one/packs", "fleet/sub"):
            other = world.link(world.token(*ALL, "admin", name=inside), inside)
            with pytest.raises(NotFoundError):
                other.ask(PartRequest(NAME, 1, 0), [b"1"])
            other.close()
        everyone.close()
        admin.close()


def test_links_below_the_root_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    Repository.init(outside / "secret", bare=True).close()
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    with running(root) as world:
        token = world.token(*ALL, "admin")
        for name in ("linked", "folder/secret", "folder/new"):
            path = f"/{name}/-/mvc/refs".encode()
            sent = request_body(PartRequest(NAME, 1, 0), (b"1",))
            assert world.post(path, world.token(*ALL, name=name))[0] == 404
            assert world.post(path.replace(b"refs", b"part"), token, sent)[0] == 404
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_a_repository_that_is_replaced_is_opened_anew(tmp_path: Path) -> None:
    made: list[Repository] = []

    def make(repo: Repository, token: Token) -> Fake:
        made.append(repo)
        return Fake()

    with running(tmp_path, make=make) as world:
        token = world.token(*ALL)
        assert [world.post(token=token)[0] for _ in range(3)] == [200] * 3
        assert len(made) == 1
        (tmp_path / "fleet" / "config.toml").write_text("[sign]\nrequired = ['refs/heads/main']\n")
        world.post(token=token)
        assert len(made) == 2


def test_a_server_that_only_this_machine_reaches_answers_to_its_names_only(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        token = world.token(*ALL)
        for host, status in (
            (b"localhost", 200),
            (b"LOCALHOST:80", 200),
            (b"127.0.0.1:1", 200),
            (b"[::1]:1", 200),
            (b"evil.example", 400),
            (b"localhost.evil.example", 400),
            (b"", 400),
        ):
            data = request_body()
            answer = world.raw(
                b"POST /fleet/-/mvc/refs HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                b"Authorization: Bearer %s\r\nContent-Type: application/x-mvc\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (host, token.encode(), len(data), data)
            )
            assert int(answer.split()[1]) == status, host


def test_hosts_that_are_configured_are_the_only_ones(tmp_path: Path) -> None:
    config = ServerConfig(port=0, hosts=("models.example.org",))
    with running(tmp_path, config=config) as world:
        assert world.post(token=world.token(*ALL))[0] == 400


def test_too_many_requests_a_minute_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        token = world.token(*ALL, requests_per_minute=3)
        assert [world.post(token=token)[0] for _ in range(4)] == [200, 200, 200, 429]
        data = request_body()
        answer = world.raw(
            b"POST /fleet/-/mvc/refs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
            % (token.encode(), len(data), data)
        )
        assert re.search(rb"retry-after: (\d+)", answer)
        link = world.link(token)
        with pytest.raises(NotAllowedError, match="3 requests a minute"):
            link.ask(RefsRequest(()))
        link.close()


def test_too_many_bytes_a_day_are_refused(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        link = world.link(world.token(*ALL, bytes_per_day=MIB))
        link.ask(PartRequest(NAME, MIB, 0), [bytes(MIB)])
        with pytest.raises(NotAllowedError, match="bytes a day"):
            link.ask(RefsRequest(()))
        link.close()


def test_a_server_without_tokens_or_with_malformed_ones_lets_nobody_in(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits()) as world:
        assert world.post(token="mvc_" + "0" * 12 + "_" + "0" * 64)[0] == 401
        token = world.token(*ALL)
        assert world.post(token=token)[0] == 200
        (tmp_path / ".mvc-server" / "tokens.json").write_text("{")
        body = world.post(token=token)[1]
        assert refusal(body).error == "internal"
        assert b"tokens.json" not in body

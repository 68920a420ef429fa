from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import MvcError, NotAllowedError, NotFoundError, StorageError, UsageError
from mvc.ops.serve_stdio import ServeRequest, asked, granted, inside, serve_stdio
from mvc.repo.repository import Environment, Repository
from mvc.sync.frames import frames, read_message
from mvc.sync.link import refusal
from mvc.sync.messages import RefsRequest, Refusal, decode_reply, encode_request

REFS = RefsRequest(("refs/",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with repositories, beside one that nobody must reach through it."""
    folder = tmp_path / "served"
    Repository.init(folder / "fleet", bare=True).close()
    Repository.init(folder / "team" / "x", bare=True).close()
    Repository.init(folder / "ada").close()
    Repository.init(tmp_path / "private", bare=True).close()
    Repository.init(tmp_path / "served-too", bare=True).close()
    (folder / "out").symlink_to(tmp_path / "private")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "near").symlink_to("team")
    (folder / "half").mkdir()
    (folder / "half" / ".mvc").symlink_to(tmp_path / "private")
    return folder


def original(words: str) -> ServeRequest:
    return ServeRequest(original=words, root=Path("served"))


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("mvc serve --stdio fleet", "fleet"),
        ("mvc serve --stdio 'team/x'", "team/x"),
        ("mvc serve --stdio '/srv/models/x'", "/srv/models/x"),
        ("mvc  serve\t--stdio  'a b'", "a b"),
    ],
)
def test_the_path_is_taken_from_what_the_client_asks_ssh_to_run(words: str, path: str) -> None:
    assert asked(original(words)) == path


@pytest.mark.parametrize(
    "words",
    [
        "",
        "mvc",
        "mvc serve --stdio",
        "mvc serve --stdio fleet other",
        "mvc serve --stdio fleet; id",
        "mvc serve --stdio fleet --root /",
        "mvc serve --stdio --root=/",
        "mvc serve --stdio -- fleet",
        "mvc serve --stdio -x",
        "mvc serve fleet",
        "mvc serve --stdio 'fleet",
        "mvc token create /",
        "mvc -C / serve --stdio fleet",
        "/bin/mvc serve --stdio fleet",
        "sh -c 'mvc serve --stdio fleet'",
        "id",
        "scp -t /etc",
        "mvc serve --stdio " + "x" * 9000,
    ],
)
@pytest.mark.parametrize("path", [None, "fleet"])
def test_anything_else_that_ssh_is_asked_to_run_is_refused(words: str, path: str | None) -> None:
    request = ServeRequest(path, words, Path("served"))
    with pytest.raises(NotAllowedError, match="this key is for `mvc serve --stdio PATH`"):
        asked(request)


def test_a_path_of_the_command_line_counts_more_than_what_the_client_asks_for() -> None:
    assert asked(ServeRequest("fleet", "mvc serve --stdio private")) == "fleet"


@pytest.mark.parametrize(
    "request_",
    [ServeRequest(), ServeRequest(root=Path("x")), ServeRequest(original="mvc serve --stdio x")],
)
def test_without_a_root_the_client_chooses_no_path(request_: ServeRequest) -> None:
    with pytest.raises(UsageError, match="no repository is named"):
        asked(request_)


@pytest.mark.parametrize("path", ["fleet", "team/x", "ada", "fleet/", "near/x", "nothing"])
def test_a_path_is_seen_from_the_root(root: Path, path: str) -> None:
    assert inside(root, path) == root / path.rstrip("/")
    assert inside(root, f"{root}/{path}") == root / path.rstrip("/")


def test_a_root_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    for path in ("fleet", f"{link}/fleet", f"{root}/fleet"):
        assert inside(link, path) == link / "fleet"


OUTSIDE = [
    "",
    ".",
    "..",
    "../private",
    "fleet/../../private",
    "fleet/..",
    "./fleet",
    "team//x",
    "/",
    "//",
    "/private",
    "/etc",
    "~",
    "~root",
    "~/fleet",
    "team/~",
    "-fleet",
    "fleet\0",
    "fl\neet",
    "fleet\r",
    "\x1b[2J",
    "\udcff",
    "fleet//",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_could_mean_one_elsewhere_is_refused(root: Path, path: str) -> None:
    with pytest.raises(NotAllowedError):
        inside(root, path)


@pytest.mark.parametrize("path", ["-too", "/../private", "/./fleet"])
def test_an_absolute_path_beside_the_root_is_refused(root: Path, path: str) -> None:
    with pytest.raises(NotAllowedError):
        inside(root, f"{root}{path}")


@pytest.mark.parametrize("path", ["out", "up", "up/private", "loop", "loop/x", "out/refs"])
def test_a_link_that_leads_elsewhere_leads_nowhere(root: Path, path: str) -> None:
    with pytest.raises(NotFoundError, match="there is no repository"):
        inside(root, path)


@given(st.text(st.sampled_from("./~-ab\0\n\\ "), max_size=10))
def test_whatever_path_is_asked_for_stays_below_the_root(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    top = tmp_path_factory.getbasetemp()
    try:
        found = inside(top, path)
    except (NotAllowedError, NotFoundError):
        return
    assert Path(os.path.normpath(found)) == found
    assert found.is_relative_to(top)
    assert found != top


def served(request: ServeRequest, here: Path) -> tuple[object, MvcError | None]:
    """Send one request and return its reply, and what was raised at the end."""
    reading, source = os.pipe()
    target, writing = os.pipe()
    error = None
    with os.fdopen(source, "wb") as stream:
        stream.writelines(frames(encode_request(REFS)))
    try:
        serve_stdio(request, here, reading, writing, environment=Environment(author="Ada"))
    except MvcError as found:
        error = found
    finally:
        os.close(reading)
        os.close(writing)
    with os.fdopen(target, "rb") as stream:
        try:
            message, body = read_message(stream.read)
        except EOFError:
            return None, error
        assert list(body) == []
    return decode_reply(message, RefsRequest), error


@pytest.mark.parametrize("path", ["nothing", "out", "half", "team", "up/private"])
def test_a_repository_that_is_not_there_is_told_to_the_client(root: Path, path: str) -> None:
    reply, error = served(ServeRequest(path, root=root), root.parent)
    assert isinstance(reply, Refusal)
    assert reply.error == "not-found"
    assert reply.message == f"there is no repository {path!r}"
    assert str(root) not in f"{reply.message} {reply.hint}"
    assert isinstance(error, NotFoundError)


def test_a_path_outside_is_told_to_the_client(root: Path) -> None:
    reply, error = served(ServeRequest("../private", root=root), root.parent)
    assert isinstance(reply, Refusal)
    assert reply.error == "not-allowed"
    assert isinstance(error, NotAllowedError)


def test_a_command_that_is_refused_gets_no_answer_at_all(root: Path) -> None:
    reply, error = served(ServeRequest(original="id", root=root), root.parent)
    assert reply is None
    assert isinstance(error, NotAllowedError)


@pytest.mark.parametrize("device", [None, "cam-07"])
def test_whoever_is_confined_hears_nothing_of_files(
    root: Path, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / "fleet"
    errors = [NotAllowedError(f"cannot read {folder}/HEAD"), StorageError("the disk is full")]
    for error in errors:

        def fail(*_: object, error: MvcError = error) -> None:
            raise error

        monkeypatch.setattr("mvc.sync.service.Service.answer", fail)
        reply, _ = served(ServeRequest("fleet", root=root, device=device), root.parent)
        assert isinstance(reply, Refusal)
        assert reply.message == "the server has failed"
        assert (reply.error, reply.hint) == (refusal(error).error, None)
        reply, _ = served(ServeRequest(str(folder)), root.parent)
        assert isinstance(reply, Refusal)
        assert reply.message == error.message


def test_a_device_adds_below_its_prefix_and_nothing_else() -> None:
    grants = granted(ServeRequest(device="cam-07"))
    assert grants.name == "device cam-07"
    assert grants.allows("append", "refs/heads/devices/cam-07/main")
    assert not grants.allows("force", "refs/heads/devices/cam-07/main")
    assert not grants.allows("append", "refs/heads/devices/cam-070/main")
    assert not grants.allows("append", "refs/heads/main")
    assert not grants.allows("read", "refs/heads/devices/cam-08/main")


def test_append_only_and_read_only_take_grants_away() -> None:
    ref = "refs/heads/main"
    owner = Environment(author="Ada")
    for append_only, read_only, verbs in (
        (False, False, ["read", "append", "force"]),
        (True, False, ["read", "append"]),
        (False, True, ["read"]),
        (True, True, ["read"]),
    ):
        request = ServeRequest(append_only=append_only, read_only=read_only)
        grants = granted(request, owner)
        assert grants.name == "Ada"
        assert [verb for verb in ("read", "append", "force") if grants.allows(verb, ref)] == verbs  # type: ignore[arg-type]
    reader = granted(ServeRequest(device="cam-07", read_only=True))
    assert not reader.appends
    assert reader.allows("read", "refs/heads/devices/cam-07/main")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "a b", "x.lock", "a\n", "*", "a:b"])
def test_a_device_has_a_name_that_can_be_part_of_a_ref(name: str) -> None:
    with pytest.raises(UsageError):
        granted(ServeRequest(device=name))

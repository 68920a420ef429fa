"""Refs of a server that take signed commits only (R50)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.ops import tag
from mvc.ops.commit import CommitRequest, commit
from mvc.repo import keys
from mvc.repo.repository import Environment, Repository
from mvc.repo.signed_refs import SignedRefs
from mvc.repo.trust import Trust, add, revoke
from mvc.sync.messages import Change
from tests.e2e.world import World
from tests.sync.exchange import MAIN, bare, client

pytest.importorskip("cryptography")

NOW = 1_700_000_000_000_000
PLAIN, SIDE = "refs/heads/plain", "refs/heads/side"


class Scene:
    """A device with a key, and a server that wants main and releases signed."""

    def __init__(self, folder: Path) -> None:
        user = folder / "user"
        self.public = bytes.fromhex(keys.generate(user / "keys", "default", "ed25519").public)
        self.device = World(folder / "device")
        self.device.repo.environment = Environment(user / "config.toml", "Ada", clock=lambda: NOW)
        self.server = bare(folder / "server", Environment(clock=lambda: NOW))
        text = f'[sign]\nrequired = ["{MAIN}", "refs/heads/releases/", "refs/tags/"]\n'
        fileio.write_file(
            self.server.folder / "config.toml", text.encode(), self.server.folder / "tmp"
        )

    def save(self, text: str, *, sign: bool) -> bytes:
        self.device.write("a.txt", text.encode())
        self.device.add()
        return commit(self.device.repo, CommitRequest(text, sign=sign)).id

    def trust(self, expires: int | None = None) -> None:
        trust = Trust.of(self.server)
        add(trust, "cam", self.public, NOW - 1, expires=expires, origin="repository")

    def push(self, new: bytes, ref: str = MAIN, old: bytes | None = None) -> tuple[str, str]:
        pushing = client(self.device, self.server)
        bases = [item.target for item in pushing.refs().refs]
        pushing.send(pushing.plan(new, bases))  # type: ignore[arg-type]
        (done,) = pushing.outcomes(Change(ref, old, new, True), bases=bases)  # type: ignore[arg-type]
        return done.code, done.message


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def refs(repo: Repository) -> dict[str, bytes]:
    return {**repo.refs.all()}


def test_only_what_a_trusted_key_signed_reaches_such_a_ref(scene: Scene) -> None:
    one = scene.save("one", sign=True)
    code, message = scene.push(one)
    assert code == "not-allowed"
    assert "signed by a key that is not trusted there" in message
    assert refs(scene.server) == {}
    scene.trust()
    assert scene.push(one) == ("ok", "")
    two = scene.save("two", sign=False)
    code, message = scene.push(two, old=one)
    assert code == "not-allowed"
    assert f"{two.hex()[:12]} is not signed" in message
    assert scene.push(two, PLAIN) == ("ok", "")
    revoke(Trust.of(scene.server), "cam", NOW)
    three = scene.save("three", sign=True)
    assert "revoked" in scene.push(three, old=one)[1]
    assert refs(scene.server) == {MAIN: one, PLAIN: two}


def test_what_came_by_another_ref_is_judged_all_the_same(scene: Scene) -> None:
    scene.trust()
    one = scene.save("one", sign=True)
    assert scene.push(one)[0] == "ok"
    two = scene.save("two", sign=False)
    three = scene.save("three", sign=True)
    assert scene.push(three, SIDE)[0] == "ok"
    for ref, old in ((MAIN, one), ("refs/heads/releases/1", None)):
        code, message = scene.push(three, ref, old)
        assert (code, two.hex()[:12] in message) == ("not-allowed", True)
    assert scene.push(one, "refs/heads/releases/1")[0] == "ok"


def test_a_tag_is_judged_by_the_commit_that_it_is_for(scene: Scene) -> None:
    scene.trust()
    scene.save("one", sign=True)
    good = tag.create(scene.device.repo, "good", message="text")
    assert scene.push(scene.device.repo.refs.all()["refs/tags/good"], "refs/tags/good")[0] == "ok"
    assert scene.push(good, "refs/tags/light")[0] == "ok"
    bad = scene.save("two", sign=False)
    tag.create(scene.device.repo, "bad", message="text")
    assert (
        scene.push(scene.device.repo.refs.all()["refs/tags/bad"], "refs/tags/bad")[0]
        == "not-allowed"
    )
    assert scene.push(bad, "refs/tags/bad2")[0] == "not-allowed"


def test_a_key_that_has_expired_by_the_clock_of_the_server_is_of_no_use(scene: Scene) -> None:
    one = scene.save("one", sign=True)
    scene.trust(expires=NOW)
    assert "expired" in scene.push(one)[1]


def test_of_an_atomic_batch_nothing_moves(scene: Scene) -> None:
    one = scene.save("one", sign=False)
    pushing = client(scene.device, scene.server)
    pushing.send(pushing.plan(one))  # type: ignore[arg-type]
    changes = [Change(ref, None, one, False) for ref in (PLAIN, MAIN)]  # type: ignore[arg-type]
    codes = pushing.update(*changes, atomic=True)
    assert codes == {PLAIN: "not-moved", MAIN: "not-allowed"}
    assert refs(scene.server) == {}
    assert pushing.update(*changes, push=b"another push ...") == {
        PLAIN: "ok",
        MAIN: "not-allowed",
    }


DEVICE, OTHER = "refs/heads/devices/cam/main", "refs/heads/devices/bus/main"


def rules(scene: Scene, text: str) -> None:
    fileio.write_file(scene.server.folder / "config.toml", text.encode(), scene.server.scratch)


def test_a_ref_takes_the_signatures_of_its_own_keys(scene: Scene) -> None:
    rules(
        scene,
        '[sign.keys]\n"refs/heads/devices/{key}/" = ["{key}"]\n'
        f'"{MAIN}" = ["ada"]\n"refs/heads/" = ["cam", "ada"]\n',
    )
    scene.trust()
    one, plain = scene.save("one", sign=True), scene.save("two", sign=False)
    assert scene.push(one, SIDE) == ("ok", "")
    assert scene.push(one, DEVICE) == ("ok", "")
    for ref in (OTHER, MAIN):
        code, message = scene.push(one, ref)
        assert code == "not-allowed"
        assert "is signed by that of cam" in message
    assert "is not signed" in scene.push(plain, SIDE, one)[1]
    assert set(refs(scene.server)) == {DEVICE, SIDE}


def test_what_stricter_refs_took_is_not_looked_at_again(scene: Scene) -> None:
    scene.trust()
    old = scene.save("before signatures were required", sign=False)
    rules(scene, "")
    assert scene.push(old) == ("ok", "")
    keys_of = f'[sign.keys]\n"{MAIN}" = ["ada"]\n"{SIDE}" = ["cam"]\n"{PLAIN}" = ["cam", "ada"]\n'
    rules(scene, keys_of)
    new = scene.save("new", sign=True)
    assert "is not signed" in scene.push(new, SIDE)[1]
    assert scene.push(new, PLAIN) == ("ok", "")


@pytest.mark.parametrize(
    "text",
    [
        '[sign]\nkeys = ["refs/heads/main"]\n',
        '[sign.keys]\n"main" = ["cam"]\n',
        '[sign.keys]\n"refs/heads/main" = "cam"\n',
        '[sign.keys]\n"refs/heads/main" = [1]\n',
        '[sign.keys]\n"refs/heads/main" = ["{key}"]\n',
        '[sign.keys]\n"refs/heads/x{key}/" = ["cam"]\n',
        '[sign.keys]\n"refs/{key}/{key}/" = ["cam"]\n',
        '[sign.keys]\n"refs/heads/main" = ["a b\\n"]\n',
    ],
)
def test_rules_that_are_not_understood_let_nothing_in(scene: Scene, text: str) -> None:
    scene.trust()
    one = scene.save("one", sign=True)
    rules(scene, text)
    assert scene.push(one)[0] == "not-allowed"
    assert refs(scene.server) == {}


@pytest.mark.parametrize(
    ("ref", "names"),
    [
        ("refs/heads/main", {"ada"}),
        ("refs/heads/main/x", {"all"}),
        ("refs/heads/devices/cam", {"all"}),
        ("refs/heads/devices/cam/a/b", {"cam", "ben"}),
        ("refs/tags/v1", None),
    ],
)
def test_the_entry_with_most_parts_decides(ref: str, names: set[str] | None) -> None:
    found = SignedRefs(
        (),
        (
            ("refs/heads/", ("all",)),
            ("refs/heads/main", ("ada",)),
            ("refs/heads/devices/{key}/", ("{key}", "ben")),
        ),
    )
    assert found.names(ref) == names
    assert found.cover(ref) == (names is not None)

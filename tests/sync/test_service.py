"""A server for one repository, as one asker sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import (
    FormatError,
    MissingObjectError,
    NotAllowedError,
    NotFoundError,
)
from mvc.base.ids import ObjectId
from mvc.ops import branch, tag
from mvc.ops.gc import gc
from mvc.ops.repack import RepackRequest, repack
from mvc.repo.repository import Repository
from mvc.sync.grants import Grant, Grants, device
from mvc.sync.messages import Asked, Change, GiveRequest, PartRequest, PlanRequest, RefsRequest
from tests.e2e.world import World, network, nudged, weights
from tests.sync.exchange import MAIN, PUSH, bare, client, files_at, leftovers

OWN = "refs/heads/devices/cam/main"
APPENDER = Grants("appender", frozenset({Grant("read", "refs/"), Grant("append", "refs/")}))


def model(seed: int, step: float = 0.0) -> dict[str, bytes]:
    data = weights(seed, 1 << 16)
    return {"m.safetensors": network({"a": nudged(data, 5, step) if step else data}), "n.txt": b"n"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


@pytest.fixture
def server(tmp_path: Path) -> Repository:
    return bare(tmp_path / "server")


def test_what_was_pushed_is_there_byte_for_byte(
    world: World, server: Repository, tmp_path: Path
) -> None:
    one = world.save(model(1)).id
    assert client(world, server).push(one) == "ok"
    two = world.save(model(1, 1e-5)).id
    pushing = client(world, server)
    assert pushing.push(two, old=one) == "ok"
    assert pushing.moved < 40_000, "the second version went as a delta"
    assert files_at(server, "main", tmp_path / "out") == model(1, 1e-5)
    assert files_at(server, "main~1", tmp_path / "out1") == model(1)
    assert leftovers(server) == []
    assert server.refs.history(MAIN)[0].author == "owner"


def test_what_was_fetched_is_there_byte_for_byte(
    world: World, server: Repository, tmp_path: Path
) -> None:
    one = world.save(model(1)).id
    client(world, server).push(one)
    other = World(tmp_path / "other")
    fetching = client(other, server)
    with fetching.fetched([one]):
        other.repo.refs.update(MAIN, None, one, other.repo.change(None, one, "fetch"))
    two = world.save(model(1, 1e-5)).id
    client(world, server).push(two, old=one)
    fetching.moved = 0
    with fetching.fetched([two], [one]):
        other.repo.refs.update(MAIN, one, two, other.repo.change(one, two, "fetch"))
    assert fetching.moved < 40_000
    assert files_at(other.repo, "main", tmp_path / "out") == model(1, 1e-5)
    assert leftovers(other.repo) == []
    assert leftovers(server) == []


def test_a_long_history_of_a_repacked_repository_survives_both_ways(
    world: World, server: Repository, tmp_path: Path
) -> None:
    data = weights(1, 1 << 13)
    saved = []
    for number in range(40):
        data = nudged(data, number, 1e-6)
        saved.append((world.save({"m.safetensors": network({"a": data})}, str(number)).id, data))
        if number == 20:
            repack(world.repo, RepackRequest())
    pushing = client(world, server)
    pushing.part_bytes = 20_000
    assert pushing.push(saved[-1][0]) == "ok"
    assert len(pushing.parts) > 3
    repack(server, RepackRequest())
    other = World(tmp_path / "other")
    with client(other, server).fetched([saved[-1][0]]):
        other.repo.refs.update(
            MAIN, None, saved[-1][0], other.repo.change(None, saved[-1][0], "fetch")
        )
    for number, (version, words) in enumerate(saved):
        found = files_at(other.repo, version.hex(), tmp_path / str(number))
        assert found == {"m.safetensors": network({"a": words})}


def test_a_chain_that_would_become_too_long_is_coded_anew(
    world: World, server: Repository, tmp_path: Path
) -> None:
    data = weights(1, 1 << 13)
    old, at_server = None, 0
    for number in range(50):
        data = nudged(data, number, 1e-6)
        new = world.save({"m.safetensors": network({"a": data})}, str(number)).id
        if number % 2:
            # Each time the chain grows by two against what the server has.
            assert client(world, server).push(new, old=old) == "ok"
            old, at_server = new, number
    assert at_server == 49
    assert files_at(server, "main", tmp_path / "out") == {"m.safetensors": network({"a": data})}


def test_refs_are_told_in_pages_and_only_if_they_changed(
    world: World, server: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvc.sync.service.MAX_REFS", 2)
    one = world.save(model(1)).id
    pushing = client(world, server)
    pushing.push(one)
    for name in ("b", "a", "c"):
        branch.create(server, name, "main")
    first = pushing.refs("refs/heads/")
    assert [item.ref for item in first.refs] == ["refs/heads/a", "refs/heads/b"]
    assert (first.more, first.same, first.head) == (True, False, MAIN)
    request = RefsRequest(("refs/heads/",), "refs/heads/b")
    second = pushing.ask(request).reply
    assert [item.ref for item in second.refs] == ["refs/heads/c", MAIN]  # type: ignore[union-attr]
    assert second.state == first.state  # type: ignore[union-attr]
    again = pushing.ask(RefsRequest(("refs/heads/",), "", first.state)).reply
    assert (again.refs, again.same, again.more) == ((), True, False)  # type: ignore[union-attr]
    assert pushing.refs("refs/tags/").head is None


def test_a_lost_reply_is_success_on_retry(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    pushing = client(world, server)
    assert pushing.push(one) == "ok"
    again = Change(MAIN, None, one, False)
    assert pushing.update(again) == {MAIN: "ok"}
    two = world.save(model(2)).id
    assert client(world, server).push(two, old=one, push=b"another push....") == "ok"
    assert pushing.update(again) == {MAIN: "ok"}, "it was moved on since"
    assert pushing.update(again, push=b"not that push...") == {MAIN: "moved"}
    assert server.refs.get(MAIN) == two


def test_only_fast_forwards_are_taken_unless_force_is_asked_for_and_granted(
    world: World, server: Repository
) -> None:
    one = world.save(model(1)).id
    two = world.save(model(2)).id
    pushing = client(world, server)
    pushing.push(two)
    back = Change(MAIN, two, one, False)
    assert pushing.update(back, bases=[two], parts=()) == {MAIN: "not-forward"}
    mean = client(world, server, APPENDER)
    assert mean.update(back._replace(force=True), bases=[two], parts=()) == {MAIN: "not-allowed"}
    assert mean.update(Change(MAIN, two, None, True)) == {MAIN: "not-allowed"}
    assert pushing.push(two, "refs/heads/more") == "ok"
    gone = Change("refs/heads/more", two, None, False)
    assert pushing.update(gone) == {"refs/heads/more": "not-forward"}
    assert pushing.update(back._replace(force=True), bases=[two], parts=()) == {MAIN: "ok"}
    other = "refs/heads/other"
    assert pushing.push(one, other) == "ok"
    assert pushing.update(Change(other, one, None, True)) == {other: "ok"}
    assert pushing.update(Change(other, one, None, True)) == {other: "ok"}, "it is gone already"


def test_the_branch_that_clones_begin_with_is_not_deleted(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    pushing = client(world, server)
    pushing.push(one)
    assert pushing.update(Change(MAIN, one, None, True)) == {MAIN: "not-allowed"}
    assert server.refs.get(MAIN) == one


def test_tags_do_not_move_and_branches_are_not_at_tags(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    two = world.save(model(2)).id
    tag.create(world.repo, "v1", message="first")
    annotated = world.repo.refs.get("refs/tags/v1")
    assert annotated is not None
    pushing = client(world, server)
    assert pushing.push(annotated, "refs/tags/v1") == "ok"
    assert pushing.push(annotated, "refs/heads/x") == "format"
    assert pushing.push(one, "refs/tags/plain") == "ok"
    assert pushing.push(two, "refs/tags/plain", one) == "not-forward"
    assert server.refs.get("refs/tags/v1") == annotated


ODD = [
    *("refs/remotes/a/b", "HEAD", "refs/heads/../x", "refs/heads/", "refs/heads/a.lock", "x"),
    *("refs/heads/-x", "refs/heads/a b", "refs/heads/a\x1bb", "refs/tags/@{1}"),
    "refs/heads/" + "x" * 300,
]


@pytest.mark.parametrize("ref", ODD)
def test_odd_names_are_no_refs(world: World, server: Repository, ref: str) -> None:
    one = world.save(model(1)).id
    assert client(world, server).push(one, ref) == "format"
    assert server.refs.all() == {}


def test_a_name_that_is_taken_in_another_way_is_told_so(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    pushing = client(world, server)
    assert pushing.push(one) == "ok"
    assert pushing.push(one, "refs/heads/main/x") == "format"
    assert pushing.push(one, "refs/heads/Main") == "format"


def test_of_an_atomic_batch_all_refs_move_or_none(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    pushing = client(world, server)
    other = "refs/heads/other"
    pushing.push(one, other)
    good, bad = Change("refs/heads/good", None, one, False), Change(other, None, None, True)
    wrong = Change("refs/heads/gone", one, None, True)
    clash = Change("refs/heads/other/x", None, one, False)
    for mean in (clash, wrong._replace(ref="refs/bad")):
        found = pushing.update(good, mean, bases=[one], atomic=True, push=b"other push id...")
        assert found["refs/heads/good"] == "not-moved"
        assert found[mean.ref] == "format"
        assert list(server.refs.all()) == [other]
    assert pushing.update(good, bad._replace(old=one), bases=[one], atomic=True) == {
        "refs/heads/good": "ok",
        other: "ok",
    }
    assert list(server.refs.all()) == ["refs/heads/good"]
    found = pushing.update(good, Change("refs/bad", None, one, False), bases=[one])
    assert found == {"refs/heads/good": "ok", "refs/bad": "format"}


def test_a_branch_with_a_working_copy_stays(world: World, tmp_path: Path) -> None:
    one = world.save(model(1)).id
    other = World(tmp_path / "other")
    assert client(world, other.repo).push(one) == "not-allowed"
    assert client(world, other.repo).push(one, "refs/heads/side") == "ok"


def test_a_device_adds_below_its_prefix_and_nowhere_else(world: World, server: Repository) -> None:
    release = world.save(model(1)).id
    client(world, server).push(release)
    own = client(world, server, device("cam"))
    tuned = world.save(model(1, 1e-5)).id
    assert own.push(tuned, OWN) == "ok"
    assert own.moved < 40_000, "it stands on the release, which the device reads"
    assert own.push(tuned, "refs/heads/devices/cam2/main") == "not-allowed"
    assert own.push(tuned, MAIN, release) == "not-allowed"
    assert own.update(Change(OWN, tuned, None, True)) == {OWN: "not-allowed"}
    forked = own.update(Change(OWN, tuned, release, True), bases=[release], parts=())
    assert forked == {OWN: "not-allowed"}
    assert server.refs.get(OWN) == tuned


def test_what_a_device_may_not_read_is_as_if_it_were_not_there(
    world: World, server: Repository
) -> None:
    secret = world.save(model(1)).id
    pushing = client(world, server)
    pushing.push(secret, "refs/heads/devices/other/main")
    found = [item.id for item in pushing.planned([secret])]
    spy = client(world, server, device("cam"))
    assert spy.refs().refs == ()
    assert spy.missing([*found, ObjectId(b"x" * 32)], [secret]) == {*found, b"x" * 32}
    for request in (
        PlanRequest((secret,), ()),
        GiveRequest((secret,), (Asked(found[0], None),)),
        GiveRequest((), (Asked(found[0], None),)),
    ):
        with pytest.raises(NotFoundError):
            spy.ask(request)
    with pytest.raises(MissingObjectError):
        spy.update(Change(OWN, None, secret, False), bases=[secret])
    with pytest.raises(MissingObjectError) as absent:
        spy.update(Change(OWN, None, ObjectId(b"x" * 32), False), bases=[secret])
    assert "neither sent nor" in absent.value.message
    assert server.refs.get(OWN) is None


def test_a_version_that_a_device_may_read_can_be_branched_off_without_sending_anything(
    world: World, server: Repository
) -> None:
    release = world.save(model(1)).id
    client(world, server).push(release)
    own = client(world, server, device("cam"))
    assert own.update(Change(OWN, None, release, False)) == {OWN: "ok"}


def test_a_delta_against_what_may_not_be_read_is_not_given(
    world: World, server: Repository
) -> None:
    secret = world.save(model(1)).id
    owner = client(world, server)
    owner.push(secret, "refs/heads/devices/other/main")
    hidden = max(owner.planned([secret]), key=lambda item: item.size)
    # The same file a little later, in a history of its own.
    apart = World(world.root.parent / "apart")
    release = apart.save(model(1, 1e-5)).id
    client(apart, server).push(release)
    device_client = client(apart, server, device("cam"))
    entries = device_client.planned([release])
    largest = max(entries, key=lambda item: item.size)
    asked = [Asked(item.id, hidden.id if item is largest else None) for item in entries]
    part = device_client.given([release], asked)
    with_base = owner.given([release], asked)
    assert len(with_base.head) + len(with_base.tail) < 40_000
    assert len(part.head) + len(part.tail) > 45_000, "coded without that base"


def test_who_is_granted_nothing_is_refused_everything(world: World, server: Repository) -> None:
    nobody = client(world, server, Grants("nobody"))
    reader = client(world, server, Grants("reader", frozenset({Grant("read", "refs/")})))
    with pytest.raises(NotAllowedError):
        nobody.refs()
    for one in (nobody, reader):
        with pytest.raises(NotAllowedError):
            one.ask(PartRequest(ObjectId(b"x" * 32), 10, 0), [b"0123456789"])
        with pytest.raises(NotAllowedError):
            one.update()
    assert reader.refs().refs == ()


def test_a_body_where_none_belongs_is_refused(world: World, server: Repository) -> None:
    with pytest.raises(FormatError, match="no body"):
        client(world, server).ask(RefsRequest(("refs/",)), [b"x"])


def test_what_joined_outlives_a_collection(
    world: World, server: Repository, tmp_path: Path
) -> None:
    one = world.save(model(1)).id
    client(world, server).push(one)
    two = world.save(model(1, 1e-5)).id
    client(world, server).push(two, old=one)
    gc(server)
    assert files_at(server, "main", tmp_path / "out") == model(1, 1e-5)


def test_objects_that_no_version_needs_do_not_join(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    two = world.save({"other": weights(7, 1 << 13)}).id
    pushing = client(world, server)
    pushing.send(pushing.plan(two))
    assert pushing.update(Change(MAIN, None, one, False)) == {MAIN: "ok"}
    assert server.store.kind(two) is None
    assert pushing.push(two, MAIN, one, push=PUSH[::-1]) == "ok"


def test_parts_that_a_client_forgot_to_name_count_and_go(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    first = client(world, server)
    first.send(first.plan(one))
    assert client(world, server).push(one) == "ok", "nothing was missing, so nothing was sent"
    assert leftovers(server) == []


def test_a_push_that_lost_a_race_is_told_so_and_need_not_send_again(
    world: World, server: Repository
) -> None:
    one = world.save(model(1)).id
    two = world.save(model(2)).id
    client(world, server).push(one)
    late = client(world, server)
    late.send(late.plan(two, [one]))
    assert late.update(Change(MAIN, None, two, False), bases=[one]) == {MAIN: "moved"}
    assert late.missing([two]) == set(), "it lies in quarantine"
    assert late.update(Change(MAIN, one, two, False), bases=[one]) == {MAIN: "ok"}


def test_prefixes_lead_to_no_other_place(world: World, server: Repository) -> None:
    one = world.save(model(1)).id
    pushing = client(world, server)
    pushing.push(one)
    for odd in (
        "refs/../packs/",
        "refs/../../",
        "/",
        "refs/heads/../",
        "refs/heads/ma\0",
        "packs/",
    ):
        assert pushing.refs(odd).refs == ()
    for some in ("refs", "", "refs/he", "refs/heads/", "refs/heads/ma", MAIN):
        assert [item.ref for item in pushing.refs(some).refs] == [MAIN]
    own = client(world, server, device("cam"))
    own.update(Change(OWN, None, one, False))
    for some in ("refs/", "refs/heads/devices/", "refs/heads/devices/cam/", OWN, "refs/heads/d"):
        assert OWN in [item.ref for item in own.refs(some).refs]
    assert own.refs("refs/heads/devices/cam2/", "refs/tags/").refs == ()


def test_a_ref_that_takes_signed_versions_only_takes_no_other(
    world: World, server: Repository
) -> None:
    pytest.importorskip("cryptography")
    one = world.save(model(1)).id
    settings = server.folder / "config.toml"
    settings.write_text('[sign]\nrequired = ["refs/heads/main"]\n')
    pushing = client(world, server)
    assert pushing.push(one) == "not-allowed"
    assert pushing.push(one, "refs/heads/other") == "ok"
    settings.write_text('[sign]\nrequired = ["main"]\n')
    two = world.save(model(2)).id
    pushing.parts = []
    names = pushing.send(pushing.plan(two, [one]))
    told = pushing.update(Change(MAIN, None, two, False), bases=[one])
    assert told == {MAIN: "not-allowed"}, "the settings are not understood"
    settings.unlink()
    assert pushing.service._quarantine().parts() == sorted(names), "what was sent is not to blame"
    assert pushing.update(Change(MAIN, None, two, False), bases=[one]) == {MAIN: "ok"}


def test_a_base_that_no_ref_leads_to_any_more_is_none_though_one_did(
    world: World, server: Repository
) -> None:
    one = world.save(model(1)).id
    client(world, server).push(one)
    spy = client(world, server, Grants("spy", frozenset({Grant("read", MAIN)})))
    assert spy.refs().refs[0].target == one
    tree = world.repo.commit(one).tree
    assert spy.missing([tree], [one]) == set()
    server.refs.update(MAIN, one, None, server.change(one, None, "test"))
    server.refs.update(OWN, None, one, server.change(None, one, "test"))
    assert spy.missing([tree], [one]) == {tree}
    with pytest.raises(NotFoundError):
        spy.ask(PlanRequest((one,), ()))


def test_few_refs_of_thousands_are_read_for_a_push(
    world: World, server: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.save(model(1)).id
    client(world, server).push(one)
    for number in range(50):
        ref = f"refs/heads/devices/cam-{number}/main"
        server.refs.update(ref, None, one, server.change(None, one, "test"))
    two = world.save(model(1, 1e-5)).id
    pushing = client(world, server)
    pushing.refs(MAIN)
    read: list[str] = []
    real = type(server.storage).read

    def noted(self: object, key: str) -> bytes:
        read.append(key)
        return real(self, key)  # type: ignore[arg-type]

    monkeypatch.setattr(type(server.storage), "read", noted)
    pushing.send(pushing.plan(two, [one]))
    assert pushing.update(Change(MAIN, one, two, False), bases=[one]) == {MAIN: "ok"}
    assert {key for key in read if key.startswith("refs/")} == {MAIN}

"""Repositories with some of the files of each version: they do as others, and take in more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvc.base.errors import LeftOutError, MissingObjectError, NegativeAnswer, NotFoundError
from mvc.ops.checkout import switch
from mvc.ops.clone import CloneRequest, clone
from mvc.ops.commit import CommitRequest
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.export import export
from mvc.ops.fetch import FetchRequest, fetch
from mvc.ops.gc import GcRequest, gc
from mvc.ops.log import LogRequest, log
from mvc.ops.pull import pull
from mvc.ops.push import PushRequest, push
from mvc.ops.repack import RepackRequest, repack
from mvc.ops.restore import restore
from mvc.ops.stats import stats
from mvc.repo import remotes, revisions, trees
from mvc.repo.repository import Repository
from mvc.repo.scope import scope_of
from mvc.sync.messages import PlanRequest
from tests.e2e.world import ENVIRONMENT, World, contents, network, nudged, weights

FIRST = weights(1, 400_000)
OTHER = weights(2, 800_000)


def body(number: int) -> dict[str, bytes]:
    return {
        "m.safetensors": network({"w": nudged(FIRST, number)}),
        "big/other.safetensors": network({"w": nudged(OTHER, number // 2), "same": FIRST}),
        "big/note": b"note %d" % (number // 3),
        "n": b"%d" % number,
    }


def some(number: int, *names: str) -> dict[str, bytes]:
    return {name: data for name, data in body(number).items() if name in names}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "there")
    for number in range(4):
        world.save(body(number), f"v{number}")
    return world


def cloned(source: Path, target: Path, *paths: str, **options: object) -> World:
    clone(CloneRequest(str(source), target, paths=paths, **options), ENVIRONMENT)  # type: ignore[arg-type]
    return World(target)


@pytest.fixture
def here(world: World, tmp_path: Path) -> Iterator[World]:
    found = cloned(world.root, tmp_path / "here", "m.safetensors", "n")
    yield found
    found.repo.close()


def files(repo: Repository, revision: str) -> dict[str, bytes]:
    commit = revisions.resolve(repo, revision)
    found = trees.files(repo.store, repo.commit(commit).tree)
    return {path: entry.id for path, entry in found.items()}


def test_a_clone_of_paths_has_these_files_and_all_of_history(world: World, here: World) -> None:
    assert contents(here.root) == some(3, "m.safetensors", "n")
    assert here.status().clean
    assert here.stored() < 0.5 * world.stored()
    for revision in ("HEAD", "HEAD~3"):
        assert files(here.repo, revision) == files(world.repo, revision)
    here.check()
    assert [item.commit.message for item in log(here.repo, LogRequest())] == [
        "v3",
        "v2",
        "v1",
        "v0",
    ]
    assert len(stats(here.repo).versions) == 4
    switch(here.repo, "old", create=True, start="HEAD~2")
    assert contents(here.root) == some(1, "m.safetensors", "n")


def test_a_version_made_there_has_the_other_files_as_they_were(world: World, here: World) -> None:
    here.save({"n": b"mine"}, "mine")
    now, before = files(here.repo, "HEAD"), files(here.repo, "HEAD~1")
    assert {path for path in now if now[path] != before[path]} == {"n"}
    assert push(here.repo, PushRequest(specs=("main:side",))).rows[0].status == "new"
    assert world.exported("side", here.root.parent / "out") == {**body(3), "n": b"mine"}
    world.check()
    here.check()


def test_later_versions_come_in_the_same_files(world: World, here: World) -> None:
    world.save({**body(7), "new.bin": FIRST}, "v7")
    stored = here.stored()
    assert pull(here.repo, FetchRequest()).status == "forward"
    assert contents(here.root) == some(7, "m.safetensors", "n")
    assert here.stored() - stored < 0.5 * len(OTHER)
    here.check()


@pytest.mark.parametrize("name", ["big/note", "big", "."])
def test_whoever_needs_a_file_that_is_not_here_is_told_how_it_comes(
    here: World, name: str, tmp_path: Path
) -> None:
    (here.root / "m.safetensors").unlink()
    if name == ".":
        restore(here.repo, [here.root / name])
        assert contents(here.root) == some(3, "m.safetensors", "n"), "those that are here"
        return
    with pytest.raises(LeftOutError, match="some of the files only") as told:
        restore(here.repo, [here.root / name])
    assert f"fetch --path {name}" in str(told.value.hint)
    assert told.value.exit_code == NotFoundError.exit_code
    with pytest.raises(LeftOutError):
        export(here.repo, "HEAD", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_gc_and_repack_leave_it_whole(here: World) -> None:
    here.save({"n": b"mine"})
    repack(here.repo, RepackRequest(everything=True))
    gc(here.repo, GcRequest(grace_days=0, reflog_days=0))
    here.check()
    assert len(contents(here.root)) == 2


def test_damage_to_a_file_that_is_chosen_is_damage(here: World) -> None:
    here.repo.chosen.change([*here.repo.chosen.patterns, "big/note"])
    from mvc.ops.fsck import fsck

    report = fsck(here.repo)
    assert {item.object for item in report.problems} == {"big/note"}


def test_more_paths_can_be_fetched_of_all_versions(world: World, here: World) -> None:
    done = fetch(here.repo, FetchRequest(paths=("big/note",))).widened
    assert done is not None
    assert (done.paths, done.written) == (("m.safetensors", "n", "big/note"), 1)
    assert contents(here.root) == some(3, "m.safetensors", "n", "big/note")
    assert here.status().clean
    here.check()
    switch(here.repo, "old", create=True, start="HEAD~3")
    assert contents(here.root) == some(0, "m.safetensors", "n", "big/note")
    again = fetch(here.repo, FetchRequest(paths=("big/note",))).widened
    assert again is not None
    assert again.sent.parts == 0


def test_a_full_fetch_brings_all_files(world: World, here: World) -> None:
    here.save({"n": b"mine"}, "mine")
    done = fetch(here.repo, FetchRequest(full=True))
    assert done.widened is not None
    assert done.widened.written == 2
    assert here.repo.chosen.scope is None
    assert contents(here.root) == {**body(3), "n": b"mine"}
    assert here.exported("HEAD~4", here.root.parent / "out") == body(0)
    here.check()
    assert fetch(here.repo, FetchRequest(paths=("n",))).widened is None


def test_what_the_user_has_in_the_place_of_a_file_stays(here: World) -> None:
    here.write("big/note", b"my own")
    fetch(here.repo, FetchRequest(paths=("big",)))
    assert here.read("big/note") == b"my own"
    assert here.status().modified == ("big/note",)
    assert here.read("big/other.safetensors") == body(3)["big/other.safetensors"]


def test_a_new_file_counts_from_then_on(world: World, here: World) -> None:
    here.save({"mine.json": b"{}", "odd[1]": b"x"}, "mine")
    assert here.status().clean
    assert here.repo.chosen.patterns[2:] == ("mine.json", "odd[[]1]")
    here.check()
    push(here.repo, PushRequest(specs=("main:side",)))
    assert world.exported("side", here.root.parent / "out")["odd[1]"] == b"x"


@pytest.mark.parametrize("name", ["big/note", "Big/x", "BIG"])
def test_a_new_file_in_the_place_of_one_that_was_left_out_is_refused(
    here: World, name: str
) -> None:
    here.write(name, b"mine")
    here.add()
    with pytest.raises((LeftOutError, NegativeAnswer)):
        here.commit()
    assert here.repo.chosen.patterns == ("m.safetensors", "n")
    here.check()


def test_a_file_from_memory_counts_as_well(here: World) -> None:
    arrays = {"w": np.zeros(3000, np.float32)}
    commit_arrays(here.repo, arrays, "mine.safetensors", CommitRequest("from memory"))
    assert here.repo.chosen.patterns[2:] == ("mine.safetensors",)
    here.check()


def test_a_bare_copy_of_paths_gives_what_it_has_and_says_so(
    world: World, here: World, tmp_path: Path
) -> None:
    middle = tmp_path / "middle"
    clone(CloneRequest(str(world.root), middle, bare=True, paths=("big", "n")), ENVIRONMENT)
    below = cloned(middle, tmp_path / "below", "n")
    assert contents(below.root) == some(3, "n")
    below.check()
    with pytest.raises(NotFoundError, match="some files of these versions are not here"):
        cloned(middle, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    remotes.add(here.repo, remotes.Remote("middle", str(middle)))
    here.save({"n": b"mine"}, "mine")
    assert push(here.repo, PushRequest("middle", ("main:side",))).rows[0].status == "new"
    fetch(here.repo, FetchRequest("middle", paths=("big",)))
    assert contents(here.root) == {**body(3), "n": b"mine"}
    with pytest.raises(NotFoundError):
        fetch(below.repo, FetchRequest(full=True))
    assert below.repo.chosen.patterns == ("n",)


def test_a_server_without_the_other_files_is_not_given_half_a_version(
    here: World, tmp_path: Path
) -> None:
    Repository.init(tmp_path / "empty", bare=True, environment=ENVIRONMENT).close()
    remotes.add(here.repo, remotes.Remote("empty", str(tmp_path / "empty")))
    with pytest.raises(MissingObjectError) as told:
        push(here.repo, PushRequest("empty", ("main",)))
    assert "fetch --full" in str(told.value.hint)


def test_what_no_remote_has_keeps_the_paths_as_they_were(
    world: World, here: World, tmp_path: Path
) -> None:
    other = cloned(world.root, tmp_path / "other")
    other.save({"big/note": b"elsewhere"}, "elsewhere")
    remotes.add(here.repo, remotes.Remote("other", str(other.root)))
    fetch(here.repo, FetchRequest("other"))
    with pytest.raises(LeftOutError, match="big/note of version"):
        fetch(here.repo, FetchRequest("origin", paths=("big",)))
    assert here.repo.chosen.patterns == ("m.safetensors", "n")
    here.check()
    fetch(here.repo, FetchRequest("other", paths=("big",)))
    here.check()
    assert contents(here.root) == body(3)


def test_paths_depth_and_precision_go_together(world: World, tmp_path: Path) -> None:
    here = cloned(world.root, tmp_path / "here", "m.*", depth=2, precision=16)
    assert list(contents(here.root)) == ["m.safetensors"]
    assert here.status().reduced == ("m.safetensors",)
    here.check()
    fetch(here.repo, FetchRequest(paths=("big/other.safetensors",)))
    assert len(contents(here.root)) == 2
    assert len(here.status().reduced) == 2
    here.check()
    fetch(here.repo, FetchRequest(full=True))
    here.check()
    assert here.repo.offloaded.packs() == {}
    assert here.exported("HEAD~1", tmp_path / "out") == body(2)
    assert len([*log(here.repo, LogRequest())]) == 2
    fetch(here.repo, FetchRequest(depth=0))
    here.check()
    assert here.exported("HEAD~3", tmp_path / "first") == body(0)


def test_a_clone_of_other_paths_that_was_cut_off_starts_anew(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.ops import clone as module

    def cut(*_: object) -> None:
        raise MissingObjectError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_written", cut)
        with pytest.raises(MissingObjectError):
            cloned(world.root, tmp_path / "here", "n")
    here = cloned(world.root, tmp_path / "here", "m.safetensors")
    assert contents(here.root) == some(3, "m.safetensors")
    assert here.repo.chosen.patterns == ("m.safetensors",)
    here.check()


NAMES = ["a", "b", "d/a", "d/b", "d/e/a", "f/a"]
GLOBS = st.lists(
    st.sampled_from(["a", "b", "d", "d/*", "**/a", "d/e", "*/b", "f/a", "nothing"]),
    min_size=1,
    max_size=3,
)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    versions=st.lists(
        st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3), min_size=1),
        min_size=1,
        max_size=4,
    ),
    first=GLOBS,
    second=GLOBS,
)
def test_whatever_is_chosen_is_here_of_all_versions(
    versions: list[dict[str, int]],
    first: list[str],
    second: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("chosen")
    world = World(folder / "there")
    for number, found in enumerate(versions):
        for path in contents(world.root):
            (world.root / path).unlink()
        data = {path: b"%d" % value * 3000 for path, value in found.items()}
        world.save({**data, "always": b"%d" % number})
    here = cloned(world.root, folder / "here", *first)
    for paths in (first, [*first, *second]):
        here.check()
        scope = scope_of(paths)
        assert scope is not None
        for back in range(len(versions)):
            revision = f"HEAD~{back}"
            entries = trees.files(
                here.repo.store, here.repo.commit(revisions.resolve(here.repo, revision)).tree
            )
            for path, entry in entries.items():
                if scope.chooses(path):
                    assert here.repo.store.contains(entry.id)
        last = {path: world.read(path) for path in contents(world.root) if scope.chooses(path)}
        assert contents(here.root) == last
        assert here.status().clean
        fetch(here.repo, FetchRequest(paths=tuple(second)))
    world.repo.close()
    here.repo.close()


def test_a_server_refuses_patterns_that_are_none(world: World) -> None:
    from mvc.base.errors import UsageError
    from mvc.sync.grants import everything
    from mvc.sync.service import Service

    service = Service(world.repo, everything("owner"))
    head = revisions.resolve(world.repo, "HEAD")
    with pytest.raises(UsageError):
        service.answer(PlanRequest((head,), (), paths=("../x",)), iter(()))

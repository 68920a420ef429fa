"""Lower bits that another repository holds: given up, read from there, brought back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, NotFoundError, TailAwayError, UsageError
from mvc.objects.tree import Entry
from mvc.ops import offload as offloading
from mvc.ops.checkout import checkout
from mvc.ops.fsck import fsck
from mvc.ops.offload import bring_back, offload, offloaded, places
from mvc.repo import revisions
from mvc.repo.repository import Repository
from mvc.store.decode import load
from tests.e2e.world import World, contents, network, nudged, safetensors, weights

BODY = weights(1, 4_400_000)
STEPS = np.arange(5000, dtype="<i8").tobytes()


def model(body: bytes) -> bytes:
    parts = [("w", "F32", [len(body) // 4], body), ("n", "I64", [5000], STEPS)]
    return safetensors(parts)  # type: ignore[arg-type]


ONE = {"m": model(BODY), "text": b"one"}
TWO = {"m": model(nudged(BODY, 2)), "text": b"two"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save(ONE, "one")
    world.save(TWO, "two")
    return world


@pytest.fixture
def twin(world: World, tmp_path: Path) -> World:
    """A repository with the same versions in other packs: nothing of it is a copy of a pack."""
    twin = World(tmp_path / "twin")
    twin.save({"m": TWO["m"]}, "the second")
    twin.save({"m": ONE["m"]}, "the first")
    return twin


@pytest.fixture
def copy(world: World, tmp_path: Path) -> World:
    """A repository with the same packs."""
    shutil.copytree(world.root, tmp_path / "copy")
    return World(tmp_path / "copy")


def tails(world: World) -> list[str]:
    return [name for name in world.packs() if name.endswith(".tail")]


def exported(world: World, revision: str, folder: str) -> dict[str, bytes]:
    return world.exported(revision, world.root.parent / folder)


def away(twin: World) -> None:
    twin.repo.close()
    twin.root.rename(twin.root.with_name("elsewhere"))


def test_what_another_repository_holds_takes_no_space_and_is_read_from_there(
    world: World, twin: World
) -> None:
    before = world.stored()
    done = offload(world.repo, twin.root)
    assert len(done.packs) == 2
    assert done.kept == ()
    assert tails(world) == []
    assert world.stored() == before - done.freed
    assert offloaded(world.repo) == set(done.packs)
    world.reopen()
    assert exported(world, "HEAD", "1") == TWO
    assert exported(world, "HEAD~1", "2") == ONE
    assert tails(world) == []


def test_the_index_can_be_made_anew_without_the_tails(world: World, twin: World) -> None:
    offload(world.repo, twin.root)
    world.reopen()
    world.repo.store.rebuild()
    assert world.repo.store.damaged == {}
    assert exported(world, "HEAD", "1") == TWO


def test_new_versions_are_stored_against_what_is_elsewhere(world: World, twin: World) -> None:
    offload(world.repo, twin.root)
    world.reopen()
    three = {"m": model(nudged(nudged(BODY, 2), 3)), "text": b"three"}
    stored = world.save(three, "three").stored_bytes
    assert stored < 0.8 * len(three["m"])
    assert len(tails(world)) == 1
    world.reopen()
    assert exported(world, "HEAD", "1") == three
    away(twin)
    world.reopen()
    with pytest.raises(TailAwayError):
        exported(world, "HEAD", "2")


def test_without_the_other_side_reading_fails_and_says_how_to_go_on(
    world: World, twin: World
) -> None:
    offload(world.repo, twin.root)
    away(twin)
    world.reopen()
    with pytest.raises(TailAwayError, match="cannot be reached") as caught:
        exported(world, "HEAD", "1")
    assert "reachable" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="there is no repository"):
        bring_back(world.repo)
    world.save({**TWO, "text": b"three"}, "what needs no lower bits")
    (place,) = places(world.repo)
    assert (place.packs, place.problem) == (2, "cannot be reached")


def test_heads_alone_give_reduced_precision_without_the_other_side(tmp_path: Path) -> None:
    world, twin = World(tmp_path / "w"), World(tmp_path / "twin")
    for one in (world, twin):
        one.save({"m": network({"w": BODY})})
    offload(world.repo, twin.root)
    away(twin)
    world.reopen()
    checkout(world.repo, "HEAD", precision=16)
    words = np.frombuffer(BODY, "<u4") & np.uint32(0xFFFF0000)
    assert world.read("m") == network({"w": words.tobytes()})


def test_tails_come_back_byte_for_byte_from_a_copy(world: World, copy: World) -> None:
    before = world.packs()
    done = offload(world.repo, copy.root)
    back = bring_back(world.repo)
    assert world.packs() == before
    assert (back.packs, back.bytes, back.coded) == (done.packs, done.freed, 0)
    assert offloaded(world.repo) == set()
    assert not (world.repo.folder / "offloaded").exists()
    away(copy)
    world.reopen()
    world.check()


def test_tails_come_back_coded_anew_from_other_packs(world: World, twin: World) -> None:
    offload(world.repo, twin.root)
    assert bring_back(world.repo).coded == 2
    away(twin)
    world.reopen()
    world.check()
    assert exported(world, "HEAD", "1") == TWO
    assert exported(world, "HEAD~1", "2") == ONE
    assert len(world.packs()) == 4


def test_a_version_stored_meanwhile_survives_that_its_base_is_coded_anew(
    world: World, twin: World
) -> None:
    offload(world.repo, twin.root)
    three = {"m": model(nudged(nudged(BODY, 2), 3)), "text": b"three"}
    world.save(three, "three")
    bring_back(world.repo)
    away(twin)
    world.reopen()
    world.check()
    assert exported(world, "HEAD", "1") == three


def test_a_damaged_copy_of_a_tail_is_not_taken(world: World, copy: World) -> None:
    offload(world.repo, copy.root)
    flipped = copy.repo.folder / "packs" / sorted(tails(copy))[0]
    flip(flipped)
    copy.reopen()
    with pytest.raises(IntegrityError):
        bring_back(world.repo)
    assert not set(tails(world)) & {flipped.name}
    assert offloaded(world.repo)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_what_the_other_side_lacks_stays(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    other.save({"m": ONE["m"]}, "only the first")
    done = offload(world.repo, other.root)
    assert len(done.packs) == len(done.kept) == 1
    assert "are not there" in done.kept[0].why
    assert len(tails(world)) == 1
    world.reopen()
    assert exported(world, "HEAD", "1") == TWO


def test_damage_on_the_other_side_is_found_before_anything_is_removed(
    world: World, copy: World
) -> None:
    before = world.packs()
    for name in tails(copy):
        flip(copy.repo.folder / "packs" / name)
    copy.reopen()
    done = offload(world.repo, copy.root)
    assert (done.packs, len(done.kept)) == ((), 2)
    assert world.packs() == before
    assert offloaded(world.repo) == set()


def test_what_no_branch_or_tag_over_there_needs_stays(world: World, copy: World) -> None:
    copy.repo.refs.update(
        "refs/heads/main",
        copy.repo.head_commit(),
        revisions.resolve(copy.repo, "HEAD~1"),
        copy.repo.change(None, None, "back"),
    )
    done = offload(world.repo, copy.root)
    assert len(done.packs) == 1
    assert "no branch or tag there needs" in done.kept[0].why


def test_two_repositories_do_not_give_up_the_same_to_each_other(world: World, copy: World) -> None:
    offload(world.repo, copy.root)
    done = offload(copy.repo, world.root)
    assert (done.packs, len(done.kept)) == ((), 2)
    copy.reopen()
    copy.check()


def test_reading_follows_one_repository_to_the_next_but_never_in_a_circle(
    world: World, copy: World, tmp_path: Path
) -> None:
    shutil.copytree(copy.root, tmp_path / "third")
    third = World(tmp_path / "third")
    offload(world.repo, copy.root)
    offload(copy.repo, third.root)
    world.reopen()
    assert exported(world, "HEAD", "1") == TWO
    third.repo.close()
    for name in tails(third):
        (third.repo.folder / "packs" / name).unlink()
    third.repo.offloaded.add(offloaded(copy.repo), str(world.repo.folder))
    world.reopen()
    with pytest.raises((TailAwayError, IntegrityError)):
        exported(world, "HEAD", "2")


@pytest.mark.parametrize("way", ["itself", "its folder", "a link", "another name of its packs"])
def test_a_repository_cannot_stand_in_for_itself(world: World, tmp_path: Path, way: str) -> None:
    target = world.root
    if way == "its folder":
        target = world.repo.folder
    elif way == "a link":
        target = tmp_path / "link"
        target.symlink_to(world.root)
    elif way == "another name of its packs":
        target = tmp_path / "other"
        World(target).repo.close()
        shutil.rmtree(target / ".mvc/packs")
        (target / ".mvc/packs").symlink_to(world.repo.folder / "packs")
    before = world.packs()
    with pytest.raises(UsageError, match="itself"):
        offload(world.repo, target)
    assert world.packs() == before


def test_a_folder_without_a_repository_is_not_found(world: World, tmp_path: Path) -> None:
    (world.root / "sub").mkdir()
    for target in (tmp_path / "nowhere", world.root / "sub"):
        with pytest.raises(NotFoundError, match="there is no repository"):
            offload(world.repo, target)


def test_a_dry_run_compares_and_removes_nothing(world: World, twin: World) -> None:
    before = world.packs()
    done = offload(world.repo, twin.root, dry_run=True)
    assert (len(done.packs), done.dry_run) == (2, True)
    assert done.freed == sum(before[name] for name in tails(world))
    assert world.packs() == before
    assert offloaded(world.repo) == set()


def test_offloading_again_does_nothing_and_elsewhere_changes_the_place(
    world: World, twin: World, copy: World
) -> None:
    offload(world.repo, twin.root)
    assert offload(world.repo, twin.root).packs == ()
    assert len(offload(world.repo, copy.root).packs) == 2
    assert {place.source for place in places(world.repo)} == {str(copy.repo.folder)}
    away(twin)
    world.reopen()
    world.check()


def test_a_missing_tail_that_is_not_listed_is_damage(world: World, twin: World) -> None:
    offload(world.repo, twin.root)
    (world.repo.folder / "offloaded").unlink()
    world.reopen()
    assert not fsck(world.repo).ok
    assert len(offload(world.repo, twin.root).packs) == 2
    world.check()
    world.reopen()
    assert exported(world, "HEAD", "1") == TWO


def test_a_check_reads_the_other_side_or_says_that_it_could_not(world: World, twin: World) -> None:
    offload(world.repo, twin.root)
    report = fsck(world.repo)
    assert report.ok
    assert [(place.packs, place.problem) for place in report.offloaded] == [(2, None)]
    for name in tails(twin):
        flip(twin.repo.folder / "packs" / name)
    world.reopen()
    assert not fsck(world.repo).ok
    away(twin)
    world.reopen()
    report = fsck(world.repo)
    assert report.ok
    assert report.offloaded[0].problem == "cannot be reached"


def test_wrong_bytes_from_the_other_side_are_never_used(
    world: World, twin: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    offload(world.repo, twin.root)
    for name in tails(twin):
        flip(twin.repo.folder / "packs" / name)
    world.reopen()
    with pytest.raises(IntegrityError, match="was offloaded to"):
        exported(world, "HEAD", "1")


def test_another_process_that_offloads_meanwhile_hurts_no_reader(world: World, twin: World) -> None:
    reader = Repository(world.repo.folder, world.root)
    entry: Entry = revisions.find(reader, "HEAD:m").entry
    offload(world.repo, twin.root)
    assert entry.size == len(TWO["m"])
    for chunk in reader.store.of_kind("chunk"):
        load(reader.store, chunk)
    bring_back(world.repo)
    for chunk in reader.store.of_kind("chunk"):
        load(reader.store, chunk)
    reader.close()


def test_large_repositories_are_given_up_in_steps(
    world: World, twin: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offloading, "BATCH_BYTES", 1)
    written: list[int] = []
    real = fileio.write_file

    def counted(target: Path, *rest: object) -> None:
        written.append(target.name == "offloaded")
        real(target, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fileio, "write_file", counted)
    assert len(offload(world.repo, twin.root).packs) == 2
    assert sum(written) == 2


def test_an_empty_repository_has_nothing_to_give_up(tmp_path: Path, twin: World) -> None:
    world = World(tmp_path / "empty")
    done = offload(world.repo, twin.root)
    assert (done.packs, done.kept) == ((), ())
    assert bring_back(world.repo).packs == ()
    assert contents(world.root) == {}

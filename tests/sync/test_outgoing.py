"""Parts: what arrives is whole, and was copied wherever it could be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mvc.base.errors import LimitError, MissingObjectError, UsageError
from mvc.base.ids import ObjectId
from mvc.ops.offload import offload
from mvc.ops.repack import RepackRequest, repack
from mvc.store.decode import load, load_top
from mvc.store.directory import MAX_DEPTH
from mvc.sync import outgoing
from mvc.sync.closure import Found, walk
from mvc.sync.messages import Asked
from mvc.sync.outgoing import make_part
from mvc.sync.plan import batches, held_by, plan
from tests.e2e.world import World, network, nudged, weights
from tests.ops.test_repack_low_rank import committed
from tests.sync.other_side import OtherSide

SIZE = 1 << 16
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def trained(world: World, count: int, seed: int = 1) -> list[ObjectId]:
    body, found = weights(seed, SIZE), []
    for number in range(count):
        world.write("m.safetensors", network({"body": body, "head": body[: SIZE // 4]}))
        world.write("same.txt", b"never changes" * 200)
        world.add()
        found.append(world.commit(str(number)).id)
        body = nudged(body, number, 1e-6)
    return found


def nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a chunk was decoded")

    monkeypatch.setattr(outgoing, "load", refuse)


def test_a_whole_repository_arrives_without_decoding_anything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = trained(world, 6)
    other = OtherSide(world.repo.scratch)
    nothing_is_decoded(monkeypatch)
    (run,) = other.send(world.repo, versions[-1:])
    assert other.check(versions[-1:]) == 13
    assert other.bytes < 1.02 * world.stored() + 4096
    assert other.records() == {
        item.id: world.repo.store.chunk_entry(item.id)[1].references
        for item in run
        if item.kind == "chunk"
    }
    assert world.leftovers() == []


def test_many_small_parts_arrive_one_after_another(world: World) -> None:
    versions = trained(world, 6)
    other = OtherSide(world.repo.scratch)
    runs = other.send(world.repo, versions[-1:], part_bytes=30_000)
    assert len(runs) > 5
    assert other.check(versions[-1:]) == 13


def test_a_fine_tune_takes_little_beside_its_own_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = trained(world, 5)
    other = OtherSide(world.repo.scratch)
    other.send(world.repo, versions[3:4])
    before = other.bytes
    nothing_is_decoded(monkeypatch)
    (run,) = other.send(world.repo, versions[-1:], versions[3:4])
    chunks = [item for item in run if item.kind == "chunk"]
    assert len(chunks) == 2
    assert other.bytes - before < 1.02 * sum(item.size for item in chunks) + 4096
    assert other.check(versions[-1:]) == 11


def test_a_repacked_repository_arrives_whole_and_in_steps(world: World) -> None:
    versions = trained(world, 16)
    repack(world.repo)
    other = OtherSide(world.repo.scratch)
    other.send(world.repo, versions[5:6])
    assert other.check(versions[5:6]) == 13
    other.send(world.repo, versions[-1:], versions[5:6], part_bytes=40_000)
    assert other.check(versions[-1:]) == 33


def test_versions_without_their_history_are_coded_anew(world: World) -> None:
    versions = trained(world, 4)
    other = OtherSide(world.repo.scratch)
    for number, held in ((0, ()), (3, (versions[0],))):
        known = held_by(world.repo, held)
        start = [Found(versions[number], "commit")]
        wanted = walk(world.repo.store, start, known.__contains__, parents=False)
        planned = [*plan(world.repo, wanted, known.__contains__)]
        other.fetch(world.repo, batches(planned, 1 << 24))
    records = other.records()
    assert len(records) == 5
    first = held_by(world.repo, versions[:1])
    for name, references in records.items():
        assert load(other.store, name)
        assert set(references) <= first
    assert sum(bool(references) for references in records.values()) == 2


def test_a_base_that_does_not_help_is_not_used(world: World) -> None:
    trained(world, 1)
    world.save({"m.safetensors": network({"body": weights(77, SIZE)})})
    stored = world.repo.store.of_kind("chunk")
    entries = [world.repo.store.chunk_entry(item)[1] for item in stored]
    new, far = (entry.id for entry in entries if entry.words * entry.word == SIZE)
    other = OtherSide(world.repo.scratch)
    with make_part(world.repo, [Asked(new, far)], world.repo.scratch) as part:
        other.take(part)
    assert other.records() == {new: ()}
    assert load(other.store, new)


def test_chains_in_a_part_are_no_longer_than_a_pack_may_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "MAX_DEPTH", 3)
    versions = trained(world, 9)
    other = OtherSide(world.repo.scratch)
    other.send(world.repo, versions[-1:])
    assert other.check(versions[-1:]) == 19
    depths = {}
    for name, references in other.records().items():
        depths[name] = other.store.chunk_entry(name)[1].depth
        assert (depths[name] > 0) == bool(references)
    assert max(depths.values()) == 3 < MAX_DEPTH


def test_a_merged_adapter_brings_its_factor_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = committed(tmp_path / "w", ("base", "a"))
    head = world.repo.head_commit()
    assert head is not None
    base = world.repo.commit(head).parents
    other = OtherSide(world.repo.scratch)
    other.send(world.repo, base)
    nothing_is_decoded(monkeypatch)
    (run,) = other.send(world.repo, [head], base)
    named = {item.id for item in walk(world.repo.store, [Found(head, "commit")])}
    (factor,) = [item for item in run if item.id not in named]
    assert (factor.kind, factor.base) == ("chunk", None)
    assert any(len(references) == 2 for references in other.records().values())
    assert other.check([head]) == 2


def test_an_adapter_whose_base_they_lack_is_sent_without_factor(tmp_path: Path) -> None:
    world = committed(tmp_path / "w", ("base", "a"))
    head = world.repo.head_commit()
    assert head is not None
    other = OtherSide(world.repo.scratch)
    wanted = walk(world.repo.store, [Found(head, "commit")], parents=False)
    planned = [*plan(world.repo, wanted, lambda _: False)]
    assert [item.base for item in planned if item.kind == "chunk"] == [None]
    other.fetch(world.repo, [planned])
    assert set(other.records().values()) == {()}


def test_what_was_repacked_between_plan_and_part_is_coded_anew(world: World) -> None:
    versions = trained(world, 12)
    wanted = [*walk(world.repo.store, [Found(versions[-1], "commit")])]
    planned = [*plan(world.repo, wanted, lambda _: False)]
    assert repack(world.repo, RepackRequest(max_depth=1, everything=True)).coded
    other = OtherSide(world.repo.scratch)
    other.fetch(world.repo, [planned])
    assert other.check(versions[-1:]) == 25
    bases = {item.id: item.base for item in planned}
    for name, references in other.records().items():
        assert set(references) <= {bases[name]}


def test_heads_arrive_as_packs_without_tails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = trained(world, 5)
    other, whole = OtherSide(world.repo.scratch, heads=True), OtherSide(world.repo.scratch)
    whole.send(world.repo, versions[-1:])
    nothing_is_decoded(monkeypatch)
    other.send(world.repo, versions[-1:])
    assert other.check(versions[-1:]) == 11
    assert other.bytes < 0.6 * whole.bytes
    # It is the head of the same pack.
    assert other.packs == whole.packs
    assert [*other.parts._values] == [f"packs/pack-{other.packs[0]}.head"]


def test_heads_of_what_is_coded_anew_arrive_too(world: World) -> None:
    versions = trained(world, 3)
    other = OtherSide(world.repo.scratch, heads=True)
    wanted = walk(world.repo.store, [Found(versions[-1], "commit")], parents=False)
    planned = plan(world.repo, wanted, lambda _: False, heads=True)
    other.fetch(world.repo, batches(planned, 1 << 24))
    assert set(other.records().values()) == {()}
    for name in other.records():
        (top,) = load_top(other.store, name)
        assert bool((top == load(world.repo.store, name)[0]).all())


def test_offloaded_chunks_are_sent_from_where_they_are(world: World, tmp_path: Path) -> None:
    versions = trained(world, 2)
    twin = World(tmp_path / "twin")
    trained(twin, 2)
    assert offload(world.repo, twin.root).packs
    other = OtherSide(world.repo.scratch)
    other.send(world.repo, versions[-1:])
    assert other.check(versions[-1:]) == 5


def test_what_is_not_here_cannot_be_sent(world: World) -> None:
    trained(world, 1)
    with pytest.raises(MissingObjectError):
        make_part(world.repo, [Asked(ObjectId(b"\x01" * 32), None)], world.repo.scratch)
    with pytest.raises(UsageError):
        make_part(world.repo, [], world.repo.scratch)
    assert world.leftovers() == []


def test_parts_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (version,) = trained(world, 1)
    monkeypatch.setattr(outgoing, "MAX_PART", 1000)
    with pytest.raises(LimitError):
        OtherSide(world.repo.scratch).send(world.repo, [version])
    assert world.leftovers() == []


def test_an_object_that_is_asked_for_twice_is_sent_once(world: World) -> None:
    (version,) = trained(world, 1)
    with make_part(world.repo, [Asked(version, None)] * 3, world.repo.scratch) as part:
        OtherSide(world.repo.scratch).take(part)
        again = b"".join(part.body())
        assert b"".join(part.body()) == again
    with pytest.raises(Exception, match="does not exist"):
        next(replace(part).body())


def test_parts_are_made_of_objects_of_many_sizes(world: World) -> None:
    files = {
        "empty": b"",
        "small.bin": b"x",
        "text.txt": b"some text\n" * 5000,
        "noise.bin": weights(4, 5_000_000),
        "int.safetensors": network({"w": weights(5, 5_000_000)}),
    }
    version = world.save(files).id
    other = OtherSide(world.repo.scratch)
    other.send(world.repo, [version], part_bytes=1 << 20)
    assert other.check([version]) > 5
    assert len(other.packs) > 2


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("format-*")))
@pytest.mark.parametrize("heads", [False, True])
def test_what_any_release_has_stored_can_be_sent(
    name: str, heads: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(GOLDEN / name / "repository", tmp_path / "w" / ".mvc")
    repo = World(tmp_path / "w").repo
    starts = [item for item in repo.refs.all().values() if repo.store.kind(item) == "commit"]
    tags = [item for item in repo.refs.all().values() if item not in starts]
    other = OtherSide(repo.scratch, heads=heads)
    nothing_is_decoded(monkeypatch)
    other.send(repo, [*starts, *tags])
    assert other.check(starts) > 5
    assert all(other.store.contains(item) for item in tags)

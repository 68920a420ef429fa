"""What is planned to be sent, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import MissingObjectError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Tag
from mvc.ops import branch
from mvc.ops.checkout import switch
from mvc.ops.gc import gc
from mvc.ops.repack import RepackRequest, repack
from mvc.store.transaction import Transaction
from mvc.sync import history
from mvc.sync import plan as planning
from mvc.sync.closure import FILES, Found, walk
from mvc.sync.limits import MAX_BASES, MAX_IDS, MAX_PART
from mvc.sync.messages import Planned
from mvc.sync.plan import batches, held_by, objects_to_send, plan, versions_between
from tests.e2e.world import World, network, nudged, weights

SIZE = 1 << 16
NOBODY = frozenset[ObjectId]()
ABSENT = ObjectId(b"\x07" * 32)


def trained(world: World, count: int, seed: int = 1) -> list[ObjectId]:
    """Commit steps of a training; return the versions."""
    body, found = weights(seed, SIZE), []
    for number in range(count):
        world.write("m.safetensors", network({"body": body, "head": body[: SIZE // 4]}))
        world.write("same.txt", b"never changes" * 200)
        world.add()
        found.append(world.commit(str(number)).id)
        body = nudged(body, number, 1e-6)
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def planned(world: World, new: list[ObjectId], theirs: list[ObjectId]) -> list[Planned]:
    versions, boundary = versions_between(world.repo, new, theirs)
    wanted = objects_to_send(world.repo, versions, boundary)
    return [*plan(world.repo, wanted, held_by(world.repo, boundary).__contains__)]


def chunks(entries: list[Planned]) -> list[Planned]:
    return [entry for entry in entries if entry.kind == "chunk"]


def check_order(entries: list[Planned], theirs: set[ObjectId] | frozenset[ObjectId]) -> None:
    """Fail unless each base is theirs or comes before, and nothing comes twice or for nothing."""
    before: set[ObjectId] = set()
    for entry in entries:
        assert entry.id not in before
        assert entry.id not in theirs
        assert entry.base is None or entry.base in before or entry.base in theirs
        before.add(entry.id)


def test_a_chain_is_sent_as_it_is_stored_from_its_start(world: World) -> None:
    versions = trained(world, 5)
    entries = planned(world, versions[-1:], [])
    check_order(entries, NOBODY)
    for entry in chunks(entries):
        _, held = world.repo.store.chunk_entry(entry.id)
        assert (entry.base, entry.size) == (held.base, held.stored)
    assert sum(entry.base is not None for entry in chunks(entries)) == 8
    assert {entry.id for entry in entries} == {
        item.id for item in walk(world.repo.store, [Found(versions[-1], "commit")])
    }


def test_contents_come_before_what_names_them(world: World) -> None:
    versions = trained(world, 1)
    entries = planned(world, versions, [])
    assert (entries[-1].id, entries[-1].kind) == (versions[0], "commit")
    assert {entry.kind for entry in entries} == {
        "chunk", "tensor", "blob", "layout", "checkpoint", "tree", "commit"
    }  # fmt: skip
    place = {entry.id: number for number, entry in enumerate(entries)}
    for item in walk(world.repo.store, [Found(versions[0], "commit")]):
        if item.kind != "chunk":
            below = history.walk(world.repo.store, [item])
            assert all(place[one.id] <= place[item.id] for one in below)


def test_only_what_is_new_is_sent_against_what_they_have(world: World) -> None:
    versions = trained(world, 4)
    entries = planned(world, versions[-1:], versions[-2:-1])
    held = held_by(world.repo, versions[-2:-1])
    check_order(entries, held)
    assert len(chunks(entries)) == 2
    assert all(entry.base in held for entry in chunks(entries))
    assert sum(entry.size for entry in entries) < 0.8 * SIZE


def test_bases_that_nobody_has_are_replaced_by_the_nearest_that_they_have(world: World) -> None:
    versions = trained(world, 4)
    # They have the first version alone, and get the contents of the last one without history.
    held = held_by(world.repo, versions[:1])
    wanted = walk(
        world.repo.store, [Found(versions[-1], "commit")], held.__contains__, parents=False
    )
    entries = [*plan(world.repo, wanted, held.__contains__)]
    check_order(entries, held)
    assert len(chunks(entries)) == 2
    for entry in chunks(entries):
        assert entry.base in held
        _, stored = world.repo.store.chunk_entry(entry.id)
        assert entry.base != stored.base
        assert stored.stored < entry.size <= stored.words * stored.word


def test_without_any_base_a_chunk_is_sent_alone(world: World) -> None:
    versions = trained(world, 3)
    wanted = walk(world.repo.store, [Found(versions[-1], "commit")], parents=False)
    entries = [*plan(world.repo, wanted, NOBODY.__contains__)]
    assert [entry.base for entry in chunks(entries)] == [None] * 3
    assert max(entry.size for entry in chunks(entries)) > SIZE // 2


@pytest.mark.parametrize("request_", [RepackRequest(), RepackRequest(max_depth=2, everything=True)])
def test_a_repacked_repository_is_sent_in_an_order_of_its_own(
    world: World, request_: RepackRequest
) -> None:
    versions = trained(world, 16)
    repack(world.repo, request_)
    gc(world.repo)
    entries = planned(world, versions[-1:], [])
    check_order(entries, NOBODY)
    for entry in chunks(entries):
        _, stored = world.repo.store.chunk_entry(entry.id)
        assert (entry.base, entry.size) == (stored.base, stored.stored)
    held = held_by(world.repo, versions[7:8])
    entries = planned(world, versions[-1:], versions[7:8])
    check_order(entries, held)
    assert len(chunks(entries)) == 16


def test_chunks_that_are_stored_against_each_other_are_sent_all_the_same(
    tmp_path: Path,
) -> None:
    """Two devices made the same two models in another order, and one holds the packs of both."""
    one, two = World(tmp_path / "one"), World(tmp_path / "two")
    old, new = weights(1, SIZE), nudged(weights(1, SIZE), 2, 1e-6)
    for world, order in ((one, (old, new)), (two, (new, old))):
        for body in order:
            world.save({"m.safetensors": network({"body": body})})
    for path in (two.repo.folder / "packs").iterdir():
        (one.repo.folder / "packs" / path.name).write_bytes(path.read_bytes())
    one.repo.store.refresh()
    head = one.repo.head_commit()
    assert head is not None
    entries = planned(one, [head], [])
    check_order(entries, NOBODY)
    assert len(chunks(entries)) == 2
    assert any(entry.base is not None for entry in chunks(entries))


def test_no_chain_is_planned_that_is_longer_than_a_store_may_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = trained(world, 9)
    monkeypatch.setattr(planning, "MAX_DEPTH", 3)
    entries = chunks(planned(world, versions[-1:], []))
    check_order(entries, NOBODY)
    depths: dict[ObjectId, int] = {}
    for item in entries:
        depths[item.id] = 0 if item.base is None else depths[item.base] + 1
    assert sorted(depths.values()) == [0] * 7 + [1] * 4 + [2] * 4 + [3] * 4
    for item in entries:
        _, stored = world.repo.store.chunk_entry(item.id)
        raw = stored.words * stored.word
        assert item.size == (stored.stored if item.base == stored.base else raw)


def test_sizes_of_heads_are_those_of_first_sections(world: World) -> None:
    versions = trained(world, 3)
    wanted = [*walk(world.repo.store, [Found(versions[-1], "commit")])]
    whole = {entry.id: entry for entry in plan(world.repo, wanted, NOBODY.__contains__)}
    heads = [*plan(world.repo, wanted, NOBODY.__contains__, heads=True)]
    for entry in chunks(heads):
        _, stored = world.repo.store.chunk_entry(entry.id)
        assert entry.size == stored.sections[0].length
        assert entry.base == whole[entry.id].base


def test_sizes_add_up_to_about_what_is_stored(world: World) -> None:
    versions = trained(world, 6)
    entries = planned(world, versions[-1:], [])
    assert sum(entry.size for entry in entries) == pytest.approx(world.stored(), rel=0.15)


def entry(size: int, number: int = 0) -> Planned:
    return Planned(ObjectId(number.to_bytes(32, "big")), "chunk", size, None)


def test_batches_stay_below_the_bytes_of_a_part() -> None:
    entries = [entry(3000, number) for number in range(100)]
    runs = [*batches(iter(entries), 10_000)]
    assert [item for run in runs for item in run] == entries
    assert [len(run) for run in runs] == [3] * 33 + [1]


def test_a_record_that_is_larger_than_a_part_is_alone() -> None:
    sizes = [10, 5000, 10, 10]
    runs = [*batches([entry(size) for size in sizes], 1000)]
    assert [[item.size for item in run] for run in runs] == [[10], [5000], [10, 10]]


def test_batches_keep_the_limits_of_a_request() -> None:
    assert [len(run) for run in batches([entry(0)] * (MAX_IDS + 1), 1 << 40)] == [MAX_IDS, 1]
    runs = [*batches([entry(MAX_PART // 4)] * 4, 1 << 40)]
    assert [len(run) for run in runs] == [1] * 4
    assert [*batches([], 1000)] == []


def commit(world: World, parents: list[ObjectId], time: int, text: str = "") -> ObjectId:
    """Store a commit that says whatever a clock may have said."""
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        tree = world.repo.commit(world.repo.head_commit() or ABSENT).tree
        made = tx.put(Commit(tree, tuple(parents), "A <a@b>", time, text, {}, (), {}, None, None))
        tx.commit()
    return made


def found(*names: ObjectId, kind: str = "commit") -> list[Found]:
    return [Found(name, kind) for name in names]


def test_versions_are_those_that_they_lack_the_newest_first(world: World) -> None:
    versions = trained(world, 4)
    assert versions_between(world.repo, versions[-1:], versions[1:2]) == (
        found(versions[3], versions[2]),
        [versions[1]],
    )
    assert versions_between(world.repo, versions[-1:], versions[-1:]) == ([], versions[-1:])
    assert versions_between(world.repo, versions[1:2], versions[-1:]) == ([], versions[-1:])
    assert versions_between(world.repo, versions[-1:], []) == (found(*reversed(versions)), [])


def test_commits_of_theirs_that_are_not_here_are_passed_over(world: World) -> None:
    versions = trained(world, 2)
    assert versions_between(world.repo, versions[-1:], [ABSENT, versions[0]]) == (
        found(versions[1]),
        [versions[0]],
    )


def test_a_version_that_is_not_here_cannot_be_sent(world: World) -> None:
    trained(world, 1)
    with pytest.raises(MissingObjectError):
        versions_between(world.repo, [ABSENT], [])


def test_parents_of_what_is_sent_come_first_in_the_boundary(world: World) -> None:
    versions = trained(world, 3)
    branch.create(world.repo, "other", versions[0].hex())
    switch(world.repo, "other")
    new = trained(world, 2, seed=9)[-1]
    sent, boundary = versions_between(world.repo, [new], [versions[2], versions[1]])
    assert len(sent) == 2
    assert boundary == [versions[0], versions[2], versions[1]]


def test_the_boundary_has_no_more_commits_than_a_request_may_name(world: World) -> None:
    trained(world, 1)
    head = world.repo.head_commit()
    assert head is not None
    theirs = [commit(world, [head], number) for number in range(MAX_BASES + 10)]
    new = commit(world, [theirs[3]], 10_000)
    sent, boundary = versions_between(world.repo, [new], theirs)
    assert sent == found(new)
    assert len(boundary) == MAX_BASES
    assert boundary[:2] == [theirs[3], theirs[-1]]


def test_clocks_that_stood_still_or_ran_ahead_do_not_make_old_versions_new(world: World) -> None:
    trained(world, 1)
    root = world.repo.head_commit()
    assert root is not None
    line = [root]
    for number in range(40):
        line.append(commit(world, line[-1:], 10**15 + number))
    # A device without a clock went on from the end of the line, and they have that.
    theirs = line[-1]
    for number in range(5):
        theirs = commit(world, [theirs], number)
    new = commit(world, [line[-1]], 10**15 + 1000)
    sent, boundary = versions_between(world.repo, [new], [theirs])
    assert sent == found(new)
    assert boundary[0] == line[-1]
    ahead = commit(world, [line[-1]], 2**62)
    assert versions_between(world.repo, [ahead], line[-1:])[0] == found(ahead)
    behind = commit(world, [line[-1]], 0)
    assert versions_between(world.repo, [behind], line[-1:])[0] == found(behind)


def test_tags_are_sent_with_their_commits_unless_they_have_them(world: World) -> None:
    versions = trained(world, 2)
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        tag = tx.put(Tag(versions[0], "v1", "A", 0, ""))
        tx.commit()
    assert versions_between(world.repo, [tag], []) == (
        [Found(tag, "tag"), Found(versions[0], "commit")],
        [],
    )
    assert versions_between(world.repo, [tag], versions[1:]) == (
        found(tag, kind="tag"),
        versions[1:],
    )
    assert versions_between(world.repo, [versions[1]], [tag]) == (found(versions[1]), versions[:1])
    sent = objects_to_send(world.repo, found(tag, kind="tag"), versions[1:])
    assert sent == found(tag, kind="tag")


def test_what_the_boundary_holds_is_not_sent(world: World) -> None:
    versions = trained(world, 3)
    wanted = objects_to_send(world.repo, found(versions[2]), versions[1:2])
    assert wanted[:1] == found(versions[2])
    kinds = sorted(item.kind for item in wanted)
    assert kinds == ["checkpoint", "chunk", "chunk", "commit", "tensor", "tensor", "tensors", FILES]
    both = objects_to_send(world.repo, found(versions[2], versions[1]), versions[:1])
    assert {item.id for item in wanted} < {item.id for item in both}


def test_commits_behind_very_many_objects_are_not_looked_into(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = trained(world, 2)
    monkeypatch.setattr(history, "MAX_HELD", 1)
    held = held_by(world.repo, reversed(versions))
    assert held > {versions[0]}
    assert held == held_by(world.repo, versions[1:]) | {versions[0]}


def test_a_shallow_history_of_theirs_ends_where_it_ends(world: World) -> None:
    trained(world, 1)
    theirs = commit(world, [ABSENT], 5)
    new = commit(world, [theirs], 6)
    assert versions_between(world.repo, [new], [theirs]) == (found(new), [theirs])
    with pytest.raises(MissingObjectError):
        versions_between(world.repo, [new], [])

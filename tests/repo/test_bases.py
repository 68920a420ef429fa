"""Which bases the content of a new file is offered, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.ids import ObjectId
from mvc.formats import registry
from mvc.formats.base import BytesSource, Extent
from mvc.objects.model import Content, Tensor
from mvc.ops.branch import create
from mvc.repo import heads, trees
from mvc.repo.bases import CommitBases
from mvc.repo.candidates import MAX_BASES, FileBases
from mvc.repo.metadata import read_checkpoint, read_tensor
from mvc.repo.refs import BRANCHES, TAGS
from tests.e2e.world import World, network, nudged, safetensors, weights

W1, W2 = weights(1, 40_000), weights(2, 40_000)
OLD = network({"a.weight": W1, "b.weight": W2})
NEW = network({"a.weight": nudged(W1, 5), "b.weight": nudged(W2, 6)})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def past(world: World, path: str, data: bytes, declared: ObjectId | None = None) -> FileBases:
    """Return the bases of a file that is about to be committed, its tensors noted."""
    parent = world.repo.head_commit()
    files = trees.files(world.repo.store, world.repo.commit(parent).tree) if parent else {}
    found = FileBases(CommitBases(world.repo, files, declared), path, len(data))
    found.about(extents(data))
    return found


def extents(data: bytes) -> tuple[Extent, ...]:
    located = registry.locate(BytesSource(data)).located
    return located.extents if located else ()


def offered(world: World, path: str, data: bytes, declared: ObjectId | None = None) -> list[str]:
    """Return where the candidates of the first tensor are: `VERSION:PATH:NAME`, as saved."""
    found = past(world, path, data, declared).tensor(extents(data)[0])
    known = places(world)
    return [known[content] for content in found]


def places(world: World) -> dict[Content, str]:
    known = {}
    store = world.repo.store
    for version in store.of_kind("commit"):
        commit = world.repo.commit(version)
        for path, entry in trees.files(store, commit.tree).items():
            if entry.kind == "checkpoint":
                below = trees.tensors(store, read_checkpoint(store, entry.id).tensors)
                for name, leaf in below.items():
                    content = read_tensor(store, leaf.id).content
                    known.setdefault(content, f"{commit.message}:{path}:{name}")
    return known


def test_the_same_name_in_the_same_file_comes_first(world: World) -> None:
    world.save({"m.st": OLD, "n.st": network({"a.weight": weights(3, 40_000)})}, "one")
    assert offered(world, "m.st", NEW) == ["one:m.st:a.weight"]


def test_without_a_past_there_is_nothing(world: World) -> None:
    assert offered(world, "m.st", NEW) == []
    world.save({"x": b"text"}, "one")
    assert offered(world, "m.st", NEW) == []
    assert past(world, "m.st", NEW).blob() == []


def test_small_tensors_are_no_bases(world: World) -> None:
    world.save({"m.st": network({"a": weights(1, 1024)})}, "one")
    assert offered(world, "m.st", network({"a": weights(1, 1028)})) == []


def test_a_renamed_tensor_is_found_in_its_own_file(world: World) -> None:
    world.save({"m.st": OLD}, "one")
    new = network({"bert.b.weight": nudged(W2, 6), "bert.a.weight": nudged(W1, 5)})
    assert offered(world, "m.st", new) == ["one:m.st:b.weight"]


def test_a_renamed_file_is_found_by_its_tensors(world: World) -> None:
    world.save({"old/m.st": OLD, "config.json": b"{}" * 1000}, "one")
    assert offered(world, "new/model.st", NEW) == ["one:old/m.st:a.weight"]


def test_shards_are_looked_up_together(world: World) -> None:
    shards = {
        "m-00001-of-00002.st": network({"b.weight": W2}),
        "m-00002-of-00002.st": network({"a.weight": W1}),
        "z.st": network({"c.weight": weights(3, 40_000)}),
    }
    world.save(shards, "one")
    assert offered(world, "m.st", NEW) == ["one:m-00002-of-00002.st:a.weight"]


def test_a_tensor_that_moved_to_another_shard_is_found_there(world: World) -> None:
    shards = {
        "m-00001-of-00002.st": network({"b.weight": W2}),
        "m-00002-of-00002.st": network({"a.weight": W1}),
    }
    world.save(shards, "one")
    found = offered(world, "m-00001-of-00002.st", network({"a.weight": nudged(W1, 5)}))
    assert "one:m-00002-of-00002.st:a.weight" in found


def test_more_or_fewer_rows_are_a_base_other_columns_or_types_are_none(world: World) -> None:
    def table(rows: int, columns: int, label: str = "F32") -> bytes:
        size = rows * columns * (4 if label in ("F32", "I32") else 2)
        return safetensors([("emb", label, [rows, columns], weights(rows, size))])

    world.save({"m.st": table(100, 64)}, "one")
    for rows in (100, 104, 96):
        assert offered(world, "m.st", table(rows, 64)) == ["one:m.st:emb"]
    assert offered(world, "m.st", table(64, 100)) == []
    assert offered(world, "m.st", table(100, 64, "I32")) == []
    assert offered(world, "m.st", table(100, 64, "BF16")) == []
    squeezed = safetensors([("emb", "F32", [100, 1, 64], weights(9, 25_600))])
    assert offered(world, "m.st", squeezed) == ["one:m.st:emb"]


def test_the_declared_base_comes_before_the_parent(world: World) -> None:
    release = world.save({"m.st": OLD}, "release").id
    world.save({"m.st": network({"a.weight": weights(8, 40_000)})}, "other")
    assert offered(world, "m.st", NEW) == ["other:m.st:a.weight"]
    assert offered(world, "m.st", NEW, release) == ["release:m.st:a.weight", "other:m.st:a.weight"]


def test_in_the_declared_base_the_file_may_be_called_otherwise(world: World) -> None:
    release = world.save({"pretrained.st": OLD, "readme": b"x" * 2000}, "release").id
    (world.root / "pretrained.st").unlink()
    world.save({"m.st": network({"a.weight": weights(8, 40_000)})}, "other")
    assert offered(world, "m.st", NEW, release)[0] == "release:pretrained.st:a.weight"


def test_a_declared_base_counts_even_where_its_tensors_are_called_otherwise(world: World) -> None:
    bare = network({"b.weight": W2, "a.weight": W1})
    release = world.save({"pretrained.st": bare}, "release").id
    (world.root / "pretrained.st").unlink()
    new = network({"x.a.weight": nudged(W1, 5), "x.b.weight": nudged(W2, 6)})
    world.save({"m.st": network({"x.a.weight": weights(8, 40_000)})}, "other")
    assert offered(world, "m.st", new, release) == [
        "release:pretrained.st:a.weight",
        "other:m.st:x.a.weight",
    ]


def test_heads_of_branches_and_tags_come_last(world: World) -> None:
    first = world.save({"m.st": OLD}, "one").id
    create(world.repo, "car-17", "HEAD")
    world.save({"m.st": network({"a.weight": weights(8, 40_000)})}, "two")
    assert offered(world, "m.st", NEW) == ["two:m.st:a.weight", "one:m.st:a.weight"]
    change = world.repo.change(None, first, "test")
    world.repo.refs.update(f"{BRANCHES}car-17", first, None, change)
    assert offered(world, "m.st", NEW) == ["two:m.st:a.weight"]
    world.repo.refs.update(f"{TAGS}v1", None, first, change)
    assert offered(world, "m.st", NEW) == ["two:m.st:a.weight", "one:m.st:a.weight"]


def test_a_tensor_gets_few_candidates(world: World) -> None:
    for number in range(9):
        world.save({"m.st": network({"a.weight": weights(number, 40_000)})}, str(number))
        create(world.repo, f"car-{number}", "HEAD")
    found = offered(world, "m.st", NEW)
    assert found[0] == "8:m.st:a.weight"
    assert len(found) <= MAX_BASES


def test_what_the_same_commit_holds_already_is_a_base(world: World) -> None:
    world.save({"x": b"text"}, "one")
    parent = world.repo.head_commit()
    assert parent is not None
    files = trees.files(world.repo.store, world.repo.commit(parent).tree)
    commit = CommitBases(world.repo, files)
    held = Content(40_000, 4, b"", (ObjectId(b"1" * 32),))
    FileBases(commit, "step1.st", len(OLD)).learn({"a.weight": Tensor("float32", (10_000,), held)})
    later = FileBases(commit, "step2.st", len(NEW))
    later.about(extents(NEW))
    assert later.tensor(extents(NEW)[0]) == [held]
    twice = FileBases(commit, "step1.st", len(NEW))
    twice.about(extents(NEW))
    assert twice.tensor(extents(NEW)[0]) == []


def test_a_file_kept_whole_is_compared_with_its_predecessor_or_its_like(world: World) -> None:
    data = weights(1, 5000)
    world.save({"a.bin": data, "b.txt": b"x" * 4000}, "one")
    assert len(past(world, "a.bin", data + b"more").blob()) == 1
    assert len(past(world, "c.bin", data).blob()) == 1
    assert past(world, "c.bin", data + b"more").blob() == []


def test_literals_are_compared_with_those_at_their_place(world: World) -> None:
    parts = [("a.weight", "F32", [10_000], W1)]
    header = {"epoch": "1", "note": "x" * 2000}
    world.save({"m.st": safetensors(parts, metadata=header)}, "one")
    new = safetensors(parts, metadata=header | {"epoch": "2"})
    size = len(new) - len(W1)
    found = past(world, "m.st", new)
    assert [content.size for content in found.literal(0, size)] == [size]
    assert found.literal(0, size + 1) == []
    assert found.literal(1, size) == []


def test_a_damaged_past_offers_nothing_and_hinders_nobody(world: World) -> None:
    world.save({"m.st": OLD}, "one")
    version = past(world, "m.st", NEW)
    for name in world.packs():
        fileio.remove(world.repo.folder / "packs" / name)
    world.reopen()
    version = FileBases(
        CommitBases(world.repo, version._commit.parent.files, ObjectId(b"x" * 32)), "m.st", len(NEW)
    )
    version.about(extents(NEW))
    assert version.tensor(extents(NEW)[0]) == []
    assert version.blob() == []
    assert version.literal(0, 5000) == []


def test_nothing_is_looked_up_that_nobody_asks_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.save({"m.st": OLD}, "one")
    version = past(world, "m.st", NEW)
    monkeypatch.setattr(trees, "tensors", _refuse)
    monkeypatch.setattr("mvc.repo.bases.newest", _refuse)
    version.about(extents(NEW))
    assert version.literal(5, 10) == []


def test_of_thousands_of_refs_few_are_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = world.save({"m.st": OLD}, "one").id
    last = world.save({"m.st": NEW}, "two").id
    change = world.repo.change(None, first, "test")
    for number in range(100):
        fileio.append_line(world.repo.folder / f"refs/heads/car-{number}", _line(first))
        fileio.append_line(world.repo.folder / f"refs/tags/v{number}", _line(first))
    world.repo.refs.update(f"{TAGS}v100", None, last, change)
    reads = []
    get = world.repo.refs.get
    monkeypatch.setattr(world.repo.refs, "get", lambda name: (reads.append(name), get(name))[1])
    found = heads.newest(world.repo, 3)
    assert found == [world.repo.commit(first).tree]
    assert len(reads) <= heads.REFS_READ + 1
    assert f"{TAGS}v100" in reads


def _line(target: ObjectId) -> bytes:
    return target.hex().encode()


def _refuse(*_: object, **__: object) -> Mapping[str, object]:
    raise AssertionError("this was not asked for")

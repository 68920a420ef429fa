"""The walk from a version to everything it leads to, over objects that may be anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, IntegrityError, MissingObjectError
from mvc.base.ids import ObjectId, object_id
from mvc.objects import canonical
from mvc.objects.history import Commit, Tag
from mvc.objects.model import Blob, Checkpoint, Content, Layout, Literal, Tensor
from mvc.objects.tree import Entry, Tree
from mvc.repo.reach import Reach
from mvc.sync.closure import FILES, TENSORS, Found, below, walk
from tests.e2e.world import World, network, weights
from tests.objects import samples

SHA = b"\x05" * 32
CHUNK = ObjectId(b"\x0c" * 32)
SIZE = (1 << 20) + 5


class Held:
    """Objects in a dictionary; what was read is noted."""

    def __init__(self) -> None:
        self.objects: dict[ObjectId, tuple[str, bytes]] = {}
        self.asked: list[ObjectId] = []

    def put(self, item: Any) -> ObjectId:
        return self.put_raw(item.KIND, item.encode())

    def put_raw(self, kind: str, data: bytes) -> ObjectId:
        name = object_id(kind, data)
        self.objects[name] = (kind, data)
        return name

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        self.asked.append(wanted)
        held = self.objects.get(wanted)
        if held is None:
            raise MissingObjectError(f"object {wanted.hex()[:12]} is missing")
        if held[0] != kind:
            raise IntegrityError(f"object {wanted.hex()[:12]} is a {held[0]}, not a {kind}")
        return held[1]


def commit(tree: ObjectId, *parents: ObjectId) -> Commit:
    return Commit(tree, parents, "A", 0, "", {}, (), {}, None, None)


def blob(size: int = SIZE, chunk: ObjectId = CHUNK) -> Blob:
    count = -(-size // (1 << 20))
    return Blob(SHA, Content(size, 1, b"", tuple([chunk] + [ObjectId(b"\x0d" * 32)] * (count - 1))))


def files(held: Held, **entries: tuple[str, ObjectId]) -> ObjectId:
    rows = [Entry(name, kind, found, 0) for name, (kind, found) in sorted(entries.items())]
    return held.put(Tree(tuple(rows)))


def reached(held: Held, start: Found, **options: Any) -> list[Found]:
    return [*walk(held, [start], **options)]


@pytest.fixture
def held() -> Held:
    return Held()


def test_everything_is_reached_once_and_what_leads_to_it_first(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    body = weights(1, 5_000_000)
    files_ = {"m.safetensors": network({"a": body, "b": body}), "d/x.txt": b"text" * 1000}
    first = world.save(files_).id
    second = world.save({"d/y.txt": b"more"}).id
    store = world.repo.store
    found = [*walk(store, [Found(second, "commit")])]
    reach = Reach(world.repo)
    reach.extend([second])
    assert {item.id for item in found} == reach.seen
    assert len(found) == len(reach.seen)
    place = {item.id: number for number, item in enumerate(found)}
    for item in found:
        assert item.kind == "chunk" or store.kind(item.id) == item.stored_kind
        for part in [] if item.kind == "chunk" else below(store, item):
            assert place[part.id] >= 0
            if part.kind == "chunk":
                _, entry = store.chunk_entry(part.id)
                assert (part.size, part.word) == (entry.words * entry.word, entry.word)
    alone = [*walk(store, [Found(second, "commit")], parents=False)]
    assert first not in {item.id for item in alone}
    known = {item.id for item in walk(store, [Found(first, "commit")])}
    rest = [*walk(store, [Found(second, "commit")], known.__contains__)]
    assert {item.id for item in rest} == reach.seen - known


def test_what_is_known_is_not_even_read(held: Held) -> None:
    lost = ObjectId(b"\x01" * 32)
    tree = files(held, a=("tree", lost), b=("blob", held.put(blob())))
    top = held.put(commit(tree, lost))
    found = reached(held, Found(top, "commit"), known=lambda name: name == lost)
    assert [item.kind for item in found] == ["commit", FILES, "blob", "chunk", "chunk"]
    assert lost not in held.asked
    assert reached(held, Found(top, "commit"), known=lambda _: True) == []


def test_what_is_missing_is_told(held: Held) -> None:
    lost = ObjectId(b"\x01" * 32)
    for start in (
        Found(lost, "commit"),
        Found(held.put(commit(lost)), "commit"),
        Found(files(held, a=("checkpoint", lost)), FILES),
        Found(held.put(Tag(lost, "v", "A", 0, "")), "tag"),
    ):
        with pytest.raises(MissingObjectError):
            reached(held, start)


def test_a_tag_leads_to_a_commit_alone(held: Held) -> None:
    top = held.put(commit(files(held)))
    tag = held.put(Tag(top, "v", "A", 0, ""))
    assert [item.kind for item in reached(held, Found(tag, "tag"))] == ["tag", "commit", FILES]
    twice = held.put(Tag(tag, "w", "A", 0, ""))
    with pytest.raises(IntegrityError):
        reached(held, Found(twice, "tag"))


@pytest.mark.parametrize("kind", ["tensor", "chunk", "commit"])
def test_a_version_holds_files_alone(held: Held, kind: str) -> None:
    name = ObjectId(b"\x01" * 32)
    if kind == "tensor":
        tree = files(held, a=(kind, name))
    else:
        number = {"chunk": 9, "commit": 6}[kind]
        tree = held.put_raw("tree", canonical.encode([["a", number, name, 0]]))
    with pytest.raises((FormatError, IntegrityError)):
        reached(held, Found(tree, FILES))


def test_a_checkpoint_holds_tensors_alone(held: Held) -> None:
    layout = held.put(Layout((), (), ()))
    for kind, name in (("blob", held.put(blob())), ("checkpoint", ObjectId(b"\x01" * 32))):
        inner = files(held, a=(kind, name))
        top = held.put(Checkpoint("npy", 0, SHA, 0, layout, files(held, b=("tree", inner))))
        with pytest.raises(FormatError, match="cannot hold"):
            reached(held, Found(top, "checkpoint"))


def test_an_object_is_of_one_kind(held: Held) -> None:
    """What stands where a blob belongs is read as a blob, whatever it is."""
    layout = held.put(Layout((), (), ()))
    for kind in ("checkpoint", "blob", "tree"):
        with pytest.raises(IntegrityError):
            reached(held, Found(files(held, a=(kind, layout)), FILES))


def test_a_chunk_has_one_size_and_one_word(held: Held) -> None:
    tree = files(held, a=("blob", held.put(blob(2000))), b=("blob", held.put(blob(2001))))
    with pytest.raises(IntegrityError, match="used as two things"):
        reached(held, Found(tree, FILES))
    wide = held.put(Tensor("int16", (1000,), Content(2000, 2, b"", (CHUNK,))))
    inner = files(held, w=("tensor", wide))
    layout = held.put(Layout((Literal(Content(2000, 1, b"", (CHUNK,))),), (), ()))
    top = held.put(Checkpoint("npy", 0, SHA, 0, layout, inner))
    with pytest.raises(IntegrityError, match="used as two things"):
        reached(held, Found(top, "checkpoint"))


def test_chunks_have_the_size_that_is_expected_of_them(held: Held) -> None:
    found = reached(held, Found(held.put(blob()), "blob"))
    assert [(item.size, item.word) for item in found[1:]] == [(1 << 20, 1), (5, 1)]


def test_metadata_cannot_be_taken_for_a_chunk(held: Held) -> None:
    inner = held.put(Blob(SHA, Content(1, 1, b"x", ())))
    tree = files(held, a=("blob", inner), b=("blob", held.put(blob(2000, inner))))
    with pytest.raises(IntegrityError, match="used as two things"):
        reached(held, Found(tree, FILES))


def test_an_empty_tree_may_be_of_files_and_of_tensors(held: Held) -> None:
    empty = files(held)
    layout = held.put(Layout((), (), ()))
    top = held.put(Checkpoint("npy", 0, SHA, 0, layout, empty))
    tree = files(held, a=("tree", empty), b=("checkpoint", top))
    found = reached(held, Found(tree, FILES))
    assert sorted(item.kind for item in found) == ["checkpoint", "layout", FILES, FILES]
    mixed = files(held, c=("blob", held.put(blob(2000))))
    top = held.put(Checkpoint("npy", 0, SHA, 0, layout, mixed))
    with pytest.raises(FormatError, match="cannot hold"):
        reached(held, Found(files(held, a=("tree", mixed), b=("checkpoint", top)), FILES))
    assert TENSORS != FILES


def test_a_long_history_needs_no_deep_stack(held: Held) -> None:
    tree, top = files(held), None
    for _ in range(5000):
        top = held.put(commit(tree, *([top] if top else [])))
    assert top is not None
    assert len(reached(held, Found(top, "commit"))) == 5001


def test_a_version_that_is_wide_is_walked_once_for_each_object(held: Held) -> None:
    """Trees that hold each other twice would take for ever if they were entered each time."""
    tree = files(held)
    for _ in range(60):
        tree = files(held, a=("tree", tree), b=("tree", tree))
    assert len(reached(held, Found(tree, FILES))) == 61
    assert len(held.asked) == 61


kinds = st.sampled_from(
    ["commit", "tag", FILES, TENSORS, "checkpoint", "layout", "tensor", "blob", "chunk", "else"]
)


@given(kinds, st.binary(max_size=100))
def test_objects_of_any_bytes_are_refused_in_order(kind: str, data: bytes) -> None:
    held = Held()
    start = Found(held.put_raw("tree" if kind == TENSORS else kind, data), kind)
    try:
        reached(held, start)
    except (FormatError, IntegrityError):
        return


@given(kinds, samples.every)
def test_objects_of_every_kind_are_refused_in_order(kind: str, item: Any) -> None:
    held = Held()
    start = Found(held.put_raw("tree" if kind == TENSORS else kind, item.encode()), kind)
    try:
        reached(held, start)
    except (FormatError, IntegrityError):
        return

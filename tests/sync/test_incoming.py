"""Peers that lie: refused with one line, nothing joins, nothing piles up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mvc.base.errors import FormatError, IntegrityError, LimitError, MissingObjectError, MvcError
from mvc.base.ids import ObjectId, object_id
from mvc.objects.history import Commit, Tag
from mvc.objects.model import Checkpoint, Content, Layout, Tensor
from mvc.objects.tree import Entry, Tree
from mvc.repo.repository import Repository
from mvc.store.block import Item
from mvc.store.directory import MAX_DEPTH, build_entry
from mvc.sync.grants import device
from mvc.sync.messages import Change
from tests.e2e.world import World, network, nudged, weights
from tests.sync.exchange import MAIN, Client, bare, client, files_at, leftovers
from tests.sync.hostile import (
    Forge,
    Version,
    against,
    blob_of,
    bytes_of,
    inline,
    item,
    plain,
    version,
)

OWN = "refs/heads/devices/cam/main"
DATA = weights(1, 40_000)


@pytest.fixture
def server(tmp_path: Path) -> Repository:
    return bare(tmp_path / "server")


@pytest.fixture
def cam(server: Repository, tmp_path: Path) -> Client:
    """A device that says what it likes."""
    return client(bare(tmp_path / "cam"), server, device("cam"))


def packs(repo: Repository) -> list[str]:
    return sorted(path.name for path in (repo.folder / "packs").iterdir())


def push(cam: Client, forge: Forge, new: ObjectId, bases: tuple[ObjectId, ...] = ()) -> str:
    part = forge.done()
    cam.take(part)
    parts = [part.name]
    return cam.update(Change(OWN, None, new, False), bases=bases, parts=parts)[OWN]


def refuse(
    cam: Client,
    forge: Forge,
    new: ObjectId,
    error: type[MvcError],
    match: str,
    bases: tuple[ObjectId, ...] = (),
) -> None:
    """Fail unless a push is refused in one line, and leaves the server as it was."""
    server = cam.service._repo
    before = packs(server), server.refs.all()
    with pytest.raises(error, match=match) as caught:
        push(cam, forge, new, bases)
    assert "\n" not in caught.value.message
    assert (packs(server), server.refs.all()) == before
    if not isinstance(caught.value, MissingObjectError):
        assert [name for name in leftovers(server) if "incoming" in name] == []


def forget(cam: Client) -> None:
    """Empty the quarantine: what an earlier try left there would count."""
    held = cam.service._quarantine()
    held.drop(held.parts())


def forged(found: Version, *chunks: object) -> Forge:
    forge = Forge()
    for new in chunks:
        forge.chunk(new)  # type: ignore[arg-type]
    forge.block(found.items)
    return forge


def tensor(chunk: ObjectId, size: int, word: int = 4) -> Item:
    value = Tensor("odd", (size // word,), Content(size, word, b"", (chunk,)))
    return Item(_id(value), "tensor", value.encode())


def _id(value: Tensor | Layout | Checkpoint | Tag) -> ObjectId:
    return object_id(value.KIND, value.encode())


def made(value: Tensor | Layout | Checkpoint | Tag) -> Item:
    return Item(_id(value), value.KIND, value.encode())


def test_an_honest_pack_made_by_hand_is_taken(cam: Client, server: Repository) -> None:
    chunk = plain(bytes_of(1, 5000), 1)
    found = version([("f", blob_of(chunk.id, 5000), 5000)])
    assert push(cam, forged(found, chunk), found.commit) == "ok"
    assert server.refs.get(OWN) == found.commit
    assert leftovers(server) == []


def test_a_chunk_of_other_bytes_than_its_id_says(cam: Client) -> None:
    real, other = plain(bytes_of(1, 5000), 1), plain(bytes_of(2, 5000), 1)
    found = version([("f", blob_of(real.id, 5000), 5000)])
    refuse(cam, forged(found, replace(other, id=real.id)), found.commit, IntegrityError, "damaged")


def test_a_chunk_with_a_wrong_digest_of_its_lower_half(cam: Client) -> None:
    real = plain(DATA)
    lie = replace(real, digests=(real.digests[0], bytes(32)))
    checkpoint, items = _checkpoint(real.id, len(DATA))
    found = version([("m", checkpoint, 1)])
    forge = forged(replace(found, items=(*items, *found.items)), lie)
    # What the record says of itself does not matter, as all of it is hashed.
    assert push(cam, forge, found.commit) == "ok"


def test_halves_of_two_chunks(cam: Client) -> None:
    real, other = plain(DATA), plain(weights(9, 40_000))
    mixed = replace(real, sections=(real.sections[0], other.sections[1]))
    checkpoint, items = _checkpoint(real.id, len(DATA))
    found = version([("m", checkpoint, 1)])
    forge = forged(replace(found, items=(*items, *found.items)), mixed)
    refuse(cam, forge, found.commit, IntegrityError, "damaged")


def _checkpoint(chunk: ObjectId, size: int) -> tuple[Item, tuple[Item, ...]]:
    """Return a checkpoint of one tensor and what is below it."""
    leaf = tensor(chunk, size)
    tree = item(Tree((Entry("t", "tensor", leaf.id, size),)))
    layout = made(Layout(()))
    checkpoint = made(Checkpoint("safetensors", size, bytes(32), size, layout.id, tree.id))
    return checkpoint, (leaf, tree, layout)


def test_a_record_against_what_was_not_sent(cam: Client) -> None:
    base = plain(DATA)
    new = against(nudged(DATA, 1), DATA, base.id)
    checkpoint, items = _checkpoint(new.id, len(DATA))
    found = version([("m", checkpoint, 1)])
    whole = replace(found, items=(*items, *found.items))
    refuse(cam, forged(whole, new), found.commit, IntegrityError, "was not sent")
    assert push(cam, forged(whole, base, new), found.commit) == "ok", "nothing was left of it"


def test_records_against_each_other(cam: Client) -> None:
    one, two = DATA, nudged(DATA, 1)
    first = against(one, two, plain(two).id)
    second = against(two, one, plain(one).id)
    checkpoint, items = _checkpoint(first.id, len(DATA))
    found = version([("m", checkpoint, 1)])
    forge = forged(replace(found, items=(*items, *found.items)), first, second)
    refuse(cam, forge, found.commit, IntegrityError, "against each other")


def test_a_record_against_itself() -> None:
    one = plain(DATA)
    with pytest.raises(FormatError):
        build_entry([2, one.id, 4, one.words, 2, 1, [one.id], 8, 1, 0, 8, 1, 0, bytes(32)])


def test_a_chain_without_end(cam: Client) -> None:
    chain = [plain(DATA)]
    data = DATA
    for number in range(MAX_DEPTH + 1):
        later = nudged(data, number)
        chain.append(against(later, data, chain[-1].id))
        data = later
    checkpoint, items = _checkpoint(chain[-1].id, len(DATA))
    found = version([("m", checkpoint, 1)])
    forge = forged(replace(found, items=(*items, *found.items)), *chain)
    refuse(cam, forge, found.commit, IntegrityError, "more than 32")


def test_a_delta_as_a_factor_and_a_factor_that_is_none(cam: Client) -> None:
    base = plain(DATA)
    new = replace(against(nudged(DATA, 1), DATA, base.id), transform=4, factors=base.id)
    other = plain(weights(3, 40_000))
    new = replace(new, factors=other.id)
    checkpoint, items = _checkpoint(new.id, len(DATA))
    found = version([("m", checkpoint, 1)])
    forge = forged(replace(found, items=(*items, *found.items)), base, other, new)
    refuse(cam, forge, found.commit, IntegrityError, "damaged|factor")


def test_a_version_of_which_something_was_not_sent(cam: Client) -> None:
    chunk = plain(bytes_of(1, 5000), 1)
    found = version([("f", blob_of(chunk.id, 5000), 5000)])
    refuse(cam, forged(found), found.commit, MissingObjectError, "neither sent nor")
    for left_out in range(3):
        kept = [one for number, one in enumerate(found.items) if number != left_out]
        forge = forged(replace(found, items=tuple(kept)), chunk)
        forget(cam)
        with pytest.raises(MissingObjectError, match="neither sent nor"):
            push(cam, forge, found.commit)


def test_a_parent_that_was_not_sent(cam: Client) -> None:
    found = version([], parents=(ObjectId(b"p" * 32),))
    refuse(cam, forged(found), found.commit, MissingObjectError, "neither sent nor")


def test_a_chunk_of_others_that_is_named_and_not_sent(
    cam: Client, server: Repository, tmp_path: Path
) -> None:
    other = World(tmp_path / "other")
    secret = other.save({"m.safetensors": network({"a": DATA})}).id
    owner = client(other, server)
    owner.push(secret, "refs/heads/devices/other/main")
    chunk = max(owner.planned([secret]), key=lambda entry: entry.size)
    assert chunk.id == plain(DATA).id
    checkpoint, items = _checkpoint(chunk.id, len(DATA))
    found = version([("m", checkpoint, 1)])
    whole = replace(found, items=(*items, *found.items))
    for bases in ((), (secret,)):
        refuse(cam, forged(whole), found.commit, MissingObjectError, "neither sent nor", bases)
    forget(cam)
    # Nor does a record count that only says that it is this chunk, though the server has it.
    lie = replace(plain(weights(2, 40_000)), id=chunk.id)
    refuse(cam, forged(whole, lie), found.commit, IntegrityError, "damaged", (secret,))
    # Nor a delta against it.
    new = against(nudged(DATA, 1), DATA, chunk.id)
    checkpoint, items = _checkpoint(new.id, len(DATA))
    guess = version([("m", checkpoint, 1)])
    forge = forged(replace(guess, items=(*items, *guess.items)), new)
    refuse(cam, forge, guess.commit, IntegrityError, "was not sent", (secret,))
    # Whoever has the bytes may say so; they are stored once.
    before = packs(server)
    assert push(cam, forged(whole, plain(DATA)), found.commit) == "ok"
    assert len(server.store.places(chunk.id)) == 1
    assert len(packs(server)) == len(before) + 1


def test_a_tree_of_others_that_is_named_and_not_sent(
    cam: Client, server: Repository, tmp_path: Path
) -> None:
    other = World(tmp_path / "other")
    secret = other.save({"a": b"secret"}).id
    client(other, server).push(secret)
    server.refs.update("refs/heads/hidden", None, secret, server.change(None, secret, "x"))
    server.refs.update(MAIN, secret, None, server.change(secret, None, "x"))
    tree = server.commit(secret).tree
    commit = item(Commit(tree, (), "mallory", 1, "mine"))
    forge = Forge()
    forge.block([commit])
    refuse(cam, forge, commit.id, MissingObjectError, "neither sent nor", (secret,))
    child = item(Commit(item(Tree(())).id, (secret,), "mallory", 1, "mine"))
    forge = Forge()
    forge.block([child, item(Tree(()))])
    refuse(cam, forge, child.id, MissingObjectError, "neither sent nor", (secret,))


def test_a_chunk_of_another_size_than_it_is_part_of(cam: Client, tmp_path: Path) -> None:
    chunk = plain(bytes_of(1, 5000), 1)
    for size in (4999, 5001):
        found = version([("f", blob_of(chunk.id, size), size)])
        refuse(cam, forged(found, chunk), found.commit, IntegrityError, "another size")
    words = plain(DATA)
    found = version([("f", blob_of(words.id, len(DATA)), len(DATA))])
    refuse(cam, forged(found, words), found.commit, IntegrityError, "another size")
    # Also one that counts because a base leads to it.
    world = World(tmp_path / "w")
    release = world.save({"f": bytes_of(3, 5000)}).id
    client(world, cam.service._repo).push(release)
    held = plain(bytes_of(3, 5000), 1)
    found = version([("f", blob_of(held.id, 4000), 4000)], parents=(release,))
    refuse(cam, forged(found), found.commit, IntegrityError, "another size", (release,))


def test_objects_used_as_what_they_are_not(cam: Client, tmp_path: Path) -> None:
    blob = inline(b"text")
    cases = [
        version([("f", replace(blob, kind="checkpoint"), 4)]),
        version([("f", replace(blob, kind="tree"), 4)]),
        version([("f", replace(item(Tree(())), kind="blob"), 4)]),
    ]
    for found in cases:
        items = [one if one.id != blob.id else blob for one in found.items]
        items = [one if one.id != item(Tree(())).id else item(Tree(())) for one in items]
        refuse(
            cam,
            forged(replace(found, items=tuple(items))),
            found.commit,
            IntegrityError,
            "is a|malformed",
        )
    leaf = tensor(plain(DATA).id, len(DATA))
    found = version([("f", leaf, len(DATA))])
    refuse(cam, forged(found, plain(DATA)), found.commit, FormatError, "cannot hold a tensor")
    # Also of what counts because a base leads to it.
    world = World(tmp_path / "w")
    release = world.save({"f": b"text"}).id
    client(world, cam.service._repo).push(release)
    entry = next(iter(world.repo.store.of_kind("blob")))
    found = version([("f", Item(entry, "checkpoint", b""), 4)], parents=(release,))
    kept = tuple(one for one in found.items if one.id != entry)
    refuse(
        cam,
        forged(replace(found, items=kept)),
        found.commit,
        IntegrityError,
        "is a blob",
        (release,),
    )


def test_a_branch_at_what_is_no_version(cam: Client) -> None:
    blob = inline()
    forge = Forge()
    forge.block([blob, item(Tree(()))])
    for one in (blob.id, item(Tree(())).id):
        refuse(cam, forge, one, IntegrityError, "not a commit")


def test_a_tag_of_what_is_no_version(cam: Client, server: Repository) -> None:
    blob = inline()
    tag = made(Tag(blob.id, "v1", "mallory", 1, ""))
    forge = Forge()
    forge.block([blob, tag])
    owner = client(cam.repo, server)
    part = forge.done()
    owner.take(part)
    with pytest.raises(IntegrityError, match="not a commit"):
        owner.update(Change("refs/tags/v1", None, tag.id, False), parts=[part.name])


NAMES = [
    "..",
    ".mvc",
    "a/b",
    "nul",
    "a\x1b[2J",
    "x" * 300,
    "a\\b",
    "",
    "con.txt",
    "a.",
    ".MVC",
    "c:",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_files(cam: Client, name: str) -> None:
    found = version([(name, inline(), 1)])
    refuse(cam, forged(found), found.commit, IntegrityError, "cannot be a file name")


def test_names_that_are_one_file_on_some_systems(cam: Client) -> None:
    found = version([("Model", inline(), 1), ("model", inline(b"y"), 1)])
    refuse(cam, forged(found), found.commit, IntegrityError, "one file on some systems")


def test_a_tensor_that_comes_twice(cam: Client) -> None:
    leaf = made(Tensor("odd", (1,), Content(1, 1, b"x", ())))
    inner = item(Tree((Entry("b", "tensor", leaf.id, 1),)))
    tree = item(Tree((Entry("a.", "tree", inner.id, 1), Entry("a.b", "tensor", leaf.id, 1))))
    layout = made(Layout(()))
    checkpoint = made(Checkpoint("safetensors", 1, bytes(32), 1, layout.id, tree.id))
    found = version([("m", checkpoint, 1)])
    items = (leaf, inner, tree, layout, *found.items)
    refuse(cam, forged(replace(found, items=items)), found.commit, IntegrityError, "tensor twice")


def test_trees_that_stand_for_more_paths_than_anyone_could_list(cam: Client) -> None:
    for bottom in (item(Tree(())), item(Tree((Entry("f", "blob", inline().id, 1),)))):
        trees, below = [bottom], bottom
        for _ in range(40):
            below = item(Tree(tuple(Entry(name, "tree", below.id, 1) for name in "ab")))
            trees.append(below)
        found = version([("m", below, 1)])
        items = (inline(), *trees[:-1], *found.items)
        refuse(
            cam,
            forged(replace(found, items=items)),
            found.commit,
            MvcError,
            "without anything|more than",
        )


def test_trees_that_are_nested_without_end(cam: Client) -> None:
    below = item(Tree((Entry("f", "blob", inline().id, 1),)))
    trees = [below]
    for _ in range(5000):
        below = item(Tree((Entry("d", "tree", below.id, 1),)))
        trees.append(below)
    found = version([("m", below, 1)])
    items = (inline(), *trees[:-1], *found.items)
    refuse(cam, forged(replace(found, items=items)), found.commit, LimitError, "nested too deeply")


def test_metadata_that_is_malformed(cam: Client) -> None:
    for kind in ("tree", "blob", "commit"):
        for content in (b"\xc1", b"\x90" * 10, b"\x80"):
            lie = Item(object_id(kind, content), kind, content)
            if kind == "commit":
                forge = Forge()
                forge.block([lie])
                refuse(cam, forge, lie.id, MvcError, "malformed")
            else:
                found = version([("f", lie, 1)])
                refuse(cam, forged(found), found.commit, MvcError, "malformed")


def test_an_update_that_is_replayed_moves_nothing(cam: Client, server: Repository) -> None:
    one = version([("f", inline(b"1"), 1)])
    two = version([("f", inline(b"2"), 1)], parents=(one.commit,))
    first, second = forged(one).done(), forged(two).done()
    cam.take(first)
    there = Change(OWN, None, one.commit, False)
    assert cam.update(there, parts=[first.name]) == {OWN: "ok"}
    cam.take(second)
    on = Change(OWN, one.commit, two.commit, False)
    new = b"another push id."
    assert cam.update(on, parts=[second.name], bases=[one.commit], push=new) == {OWN: "ok"}
    # The first reply comes late and is sent again: it had its way once, and does not get it twice.
    cam.take(first)
    assert cam.update(there, parts=[first.name]) == {OWN: "ok"}
    assert server.refs.get(OWN) == two.commit
    assert cam.update(there._replace(ref=OWN + "2"), parts=[first.name]) == {OWN + "2": "ok"}


def test_a_part_that_is_damaged_in_quarantine_can_be_sent_again(
    cam: Client, server: Repository
) -> None:
    chunk = plain(bytes_of(1, 50_000), 1)
    found = version([("f", blob_of(chunk.id, 50_000), 50_000)])
    part = forged(found, chunk).done()
    cam.take(part)
    head = next((server.folder / "incoming").rglob("*.head"))
    data = bytearray(head.read_bytes())
    data[100] ^= 1
    head.write_bytes(bytes(data))
    change = Change(OWN, None, found.commit, False)
    with pytest.raises(IntegrityError):
        cam.update(change, parts=[part.name])
    assert server.refs.get(OWN) is None
    cam.take(part)
    assert cam.update(change, parts=[part.name]) == {OWN: "ok"}


def test_what_joined_by_hand_is_whole(cam: Client, server: Repository, tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    release = world.save({"m.safetensors": network({"a": DATA})}).id
    client(world, server).push(release)
    blob = plain(bytes_of(5, 3000), 1)
    found = version([("f", blob_of(blob.id, 3000), 3000)], parents=(release,))
    assert push(cam, forged(found, blob), found.commit, (release,)) == "ok"
    assert files_at(server, "main", tmp_path / "out") == {"m.safetensors": network({"a": DATA})}

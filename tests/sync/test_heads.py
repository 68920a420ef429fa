"""Parts without tails: what of them is believed, and what joins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import FormatError, IntegrityError, MissingObjectError, TailAwayError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.objects.model import Checkpoint, Content, Layout, Placed, Tensor
from mvc.objects.tree import Entry, Tree
from mvc.ops.fsck import fsck
from mvc.repo.repository import Repository
from mvc.store.block import Item
from mvc.store.decode import load, load_top
from mvc.store.pack import NewChunk
from mvc.sync import heads
from mvc.sync.heads import receive_heads
from mvc.sync.messages import GiveReply
from mvc.sync.quarantine import Quarantine, quarantine
from tests.e2e.world import nudged, weights
from tests.sync.exchange import MAIN, Sent, bare, leftovers
from tests.sync.hostile import Forge, against, item, plain

DATA = weights(1, 80_000)
OTHER = nudged(DATA, 2)


@pytest.fixture
def here(tmp_path: Path) -> Repository:
    return bare(tmp_path / "here")


@pytest.fixture
def held(here: Repository) -> Iterator[Quarantine]:
    found = quarantine(here, "origin heads", reserve=0, heads=True)
    yield found
    found.close()


def model(chunk: ObjectId) -> tuple[ObjectId, list[Item]]:
    """Return a commit of a model of one matrix, and its objects."""
    tensor = item(Tensor("F32", (len(DATA) // 4,), Content(len(DATA), 4, b"", (chunk,))))
    tensors = item(Tree((Entry("w", "tensor", tensor.id, len(DATA)),)))
    layout = item(Layout((Placed("w"),)))
    held = Checkpoint("raw", len(DATA), bytes(32), len(DATA), layout.id, tensors.id)
    checkpoint = item(held)
    files = item(Tree((Entry("m", "checkpoint", checkpoint.id, len(DATA)),)))
    commit = item(Commit(files.id, (), "mallory", 1, "trust me"))
    return commit.id, [tensor, tensors, layout, checkpoint, files, commit]


def take(held: Quarantine, part: Sent, *, tail: bool = False) -> None:
    sent = part.tail if tail else b""
    held.take(GiveReply(part.name, len(part.head), len(sent)), iter([part.head, sent]))


def give(held: Quarantine, *chunks: NewChunk, wanted: ObjectId | None = None) -> ObjectId:
    """Put the tops of chunks into quarantine, and a version that needs the last; return it."""
    forge = Forge()
    for chunk in chunks:
        forge.chunk(chunk)
    take(held, forge.done())
    commit, items = model(wanted or chunks[-1].id)
    about = Forge()
    about.block(items)
    take(held, about.done(), tail=True)
    return commit


def receive(here: Repository, held: Quarantine, wanted: ObjectId) -> None:
    with receive_heads(here, held, [wanted], (), "origin"):
        here.refs.update(MAIN, None, wanted, here.change(None, wanted, "fetch"))


def top_of(data: bytes) -> bytes:
    return np.frombuffer(data, "<u2")[1::2].tobytes()


def test_tops_join_and_their_tails_are_listed(here: Repository, held: Quarantine) -> None:
    first, second = plain(DATA), against(OTHER, DATA, plain(DATA).id)
    receive(here, held, give(held, first, second))
    for chunk, data in ((first, DATA), (second, OTHER)):
        (top,) = load_top(here.store, chunk.id)
        assert top.tobytes() == top_of(data)
        with pytest.raises(TailAwayError):
            load(here.store, chunk.id)
    assert set(here.offloaded.packs().values()) == {"origin"}
    assert fsck(here).ok
    assert leftovers(here) == []


@pytest.mark.parametrize("lie", ["top", "digest", "base"])
def test_a_top_that_is_not_what_its_id_says_never_joins(
    here: Repository, held: Quarantine, lie: str
) -> None:
    honest, other = plain(DATA), plain(OTHER)
    if lie == "top":
        false = replace(honest, sections=other.sections)
    elif lie == "digest":
        false = replace(honest, digests=(honest.digests[0], other.digests[1]))
    else:
        false = replace(against(DATA, OTHER, other.id), base=honest.id)
        false = replace(false, id=plain(DATA[::-1]).id)
    wanted = give(held, *([honest] if lie == "base" else []), false)
    with pytest.raises(IntegrityError):
        receive(here, held, wanted)
    assert here.refs.all() == {}
    assert here.offloaded.packs() == {}
    assert not list((here.folder / "packs").rglob("*.head"))
    assert held.parts() == []


def test_tops_are_not_taken_where_nobody_asked_for_them(here: Repository) -> None:
    forge = Forge()
    forge.chunk(plain(DATA))
    part = forge.done()
    held = quarantine(here, "origin", reserve=0)
    with pytest.raises((IntegrityError, FormatError)):
        take(held, part)
    assert held.parts() == []
    held.close()


@pytest.mark.parametrize("cut", [1, 40, 20_000])
def test_a_tail_that_is_sent_must_be_whole(here: Repository, held: Quarantine, cut: int) -> None:
    forge = Forge()
    forge.chunk(plain(DATA))
    part = forge.done()
    with pytest.raises((IntegrityError, FormatError)):
        take(held, replace(part, tail=part.tail[:-cut]), tail=True)
    assert held.parts() == []


def test_what_a_top_stands_on_must_be_there(here: Repository, held: Quarantine) -> None:
    wanted = give(held, against(OTHER, DATA, plain(DATA).id))
    with pytest.raises(IntegrityError):
        receive(here, held, wanted)
    wanted = give(held, plain(DATA), wanted=plain(OTHER).id)
    with pytest.raises(MissingObjectError):
        receive(here, held, wanted)
    assert here.refs.all() == {}


def test_a_chain_that_becomes_too_long_ends(
    here: Repository, held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MAX_DEPTH", 0)
    second = against(OTHER, DATA, plain(DATA).id)
    receive(here, held, give(held, plain(DATA), second))
    _, entry = here.store.chunk_entry(second.id)
    assert entry.base is None
    (top,) = load_top(here.store, second.id)
    assert top.tobytes() == top_of(OTHER)
    assert fsck(here).ok


def test_what_came_whole_is_stored_whole(here: Repository, held: Quarantine) -> None:
    forge = Forge()
    forge.chunk(plain(DATA))
    take(held, forge.done(), tail=True)
    second = against(OTHER, DATA, plain(DATA).id)
    receive(here, held, give(held, second))
    assert b"".join(part.tobytes() for part in load(here.store, plain(DATA).id))
    with pytest.raises(TailAwayError):
        load(here.store, second.id)
    assert fsck(here).ok

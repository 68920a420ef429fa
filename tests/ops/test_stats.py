"""What a repository takes adds up to the bytes on the disk, and each byte has its cause."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import MissingObjectError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.codec import chunk as codec
from mvc.ops import branch, tag
from mvc.ops.checkout import switch
from mvc.ops.stats import Stats, StatsRequest, stats
from mvc.ops.tensor_stats import TensorPlace, tensor_stats
from mvc.repo.holdings import cause_of
from mvc.repo.revisions import resolve
from mvc.store import accounting
from mvc.store.accounting import ChunkUse, Ledger
from mvc.store.pack import FOOTER, HEAD_MAGIC, TAIL_FOOTER, TAIL_MAGIC
from mvc.store.transaction import Transaction
from tests.e2e.world import World, network, nudged, safetensors, weights

SIZE = 1 << 15


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three versions of a network in which one layer is trained, and a text that stays."""
    world = World(tmp_path / "w")
    body, head = weights(1, SIZE), weights(2, SIZE)
    for number in range(3):
        trained = nudged(head, number, 1e-6) if number else head
        layers = {"body.weight": body, "head.weight": trained, "scale": b"\x00\x00\x80\x3f"}
        world.save({"m": network(layers), "notes": b"a text " * 1000}, f"version {number}")
    return world


def counted(world: World, *revisions: str) -> Stats:
    found = stats(world.repo, StatsRequest(revisions))
    tallies = found.by_cause
    assert sum(tally.stored_bytes for tally in tallies.values()) == found.stored_bytes
    reached = [tally for cause, tally in tallies.items() if cause != "unreached"]
    assert sum(tally.raw_bytes for tally in reached) == found.raw_bytes
    assert sum(item.raw_bytes for item in found.versions) == found.raw_bytes
    chunks = sum(tally.chunks for cause, tally in tallies.items() if cause != "equal")
    assert sum(tally.chunks for tally in found.depths.values()) == (
        chunks - tallies["unreached"].chunks
    )
    return found


def on_disk(world: World, *below: str) -> int:
    folder = world.repo.folder.joinpath(*below)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def framed(world: World) -> int:
    """Return the bytes of magic numbers and footers."""
    names = [path.suffix for path in (world.repo.folder / "packs").iterdir()]
    head, tail = len(HEAD_MAGIC) + FOOTER.size, len(TAIL_MAGIC) + TAIL_FOOTER.size
    return names.count(".head") * head + names.count(".tail") * tail


def test_every_byte_of_the_folder_has_a_cause(world: World) -> None:
    tag.create(world.repo, "v1", "HEAD", message="annotated")
    found = counted(world)
    assert found.stored_bytes == on_disk(world)
    assert found.pack_bytes == on_disk(world, "packs")
    assert found.index_bytes == (world.repo.folder / "index.sqlite").stat().st_size
    assert found.pack_bytes + found.index_bytes + found.other_bytes == found.stored_bytes
    assert found.by_cause["unreached"].stored_bytes == 0
    assert found.metadata_bytes == found.by_cause["metadata"].stored_bytes


def test_the_parts_of_each_pack_are_its_bytes(world: World) -> None:
    ledger = Ledger(world.repo.store)
    assert sum(pack.head + pack.tail for pack in ledger.packs) == on_disk(world, "packs")
    assert sum(pack.frame for pack in ledger.packs) == framed(world)


def test_the_raw_bytes_are_those_of_all_files_of_all_versions(world: World, tmp_path: Path) -> None:
    found = counted(world)
    sizes = []
    for number in range(3):
        files = world.exported(f"HEAD~{number}", tmp_path / str(number))
        sizes.append(sum(map(len, files.values())))
    assert [item.raw_bytes for item in found.versions] == sizes


def test_versions_and_frames_add_up_to_the_packs(world: World) -> None:
    found = counted(world)
    stored = sum(item.stored_bytes for item in found.versions)
    assert stored + framed(world) == found.pack_bytes
    newest, middle, oldest = found.versions
    assert oldest.new_bytes == oldest.raw_bytes
    assert newest.new_bytes == middle.new_bytes == SIZE
    assert newest.stored_bytes < oldest.stored_bytes / 2


def test_each_tensor_and_chunk_has_a_cause(world: World) -> None:
    causes = counted(world).by_cause
    assert (causes["entropy"].tensors, causes["entropy"].raw_bytes) == (2, 2 * SIZE)
    assert (causes["delta"].tensors, causes["delta"].raw_bytes) == (2, 2 * SIZE)
    # The body twice, and twice the scalar.
    assert (causes["equal"].tensors, causes["equal"].stored_bytes) == (4, 0)
    assert (causes["inline"].tensors, causes["noise"].tensors) == (1, 0)
    assert causes["literal"].chunks == 1
    assert causes["delta"].stored_bytes < causes["delta"].raw_bytes / 2


def test_noise_is_told_from_what_coding_makes_smaller(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    noise = np.random.default_rng(1).bytes(SIZE)
    world.save({"m": safetensors([("w", "U8", [SIZE], noise), ("z", "U8", [SIZE], bytes(SIZE))])})
    found = counted(world)
    assert found.by_cause["noise"].raw_bytes == SIZE
    assert found.by_cause["entropy"].raw_bytes == SIZE
    assert SIZE <= found.kept_bytes < SIZE + 100


def test_a_record_with_factors_is_of_low_rank() -> None:
    use = ChunkUse(100, 90, 0, 5, 0, 1, ObjectId(b"b" * 32), None)
    assert cause_of(use) == "delta"
    assert cause_of(use._replace(factors=use.base)) == "low_rank"
    assert cause_of(use._replace(base=None)) == "entropy"
    assert cause_of(use._replace(base=None, sections=101)) == "noise"


def test_a_second_copy_of_a_model_costs_metadata_alone(world: World) -> None:
    before = counted(world)
    world.save({"copy": world.read("m")}, "a copy")
    after = counted(world)
    newest = after.versions[0]
    assert newest.new_bytes == 0
    assert newest.stored_bytes < 1000
    assert newest.raw_bytes - before.versions[0].raw_bytes == len(world.read("m"))
    assert after.by_cause["delta"] == before.by_cause["delta"]


def test_depths_count_records_and_restoring_reads_whole_chains(world: World) -> None:
    found = counted(world)
    assert list(found.depths) == [0, 1, 2]
    newest, _, oldest = found.versions
    assert found.worst_version == newest
    sections = sum(tally.stored_bytes for tally in found.depths.values())
    assert newest.recovery_bytes == sections
    assert oldest.recovery_bytes == found.depths[0].stored_bytes
    assert found.worst_chunk > 0.8


def test_a_range_counts_what_it_adds(world: World) -> None:
    whole, old, new = counted(world), counted(world, "HEAD~1"), counted(world, "HEAD~1..HEAD")
    assert (len(old.versions), len(new.versions)) == (2, 1)
    assert new.stored_bytes == whole.versions[0].stored_bytes
    assert old.stored_bytes + new.stored_bytes + framed(world) == whole.pack_bytes
    assert new.by_cause["delta"].tensors == 1
    assert not new.whole
    assert new.index_bytes == 0


def test_versions_of_other_branches_count_once(world: World) -> None:
    branch.create(world.repo, "other", "HEAD~1")
    switch(world.repo, "other")
    world.save({"more": b"more " * 1000}, "on the other branch")
    found = counted(world)
    assert len(found.versions) == 4
    assert len(counted(world, "other").versions) == 3
    assert len(counted(world, "main..other").versions) == 1
    assert found.stored_bytes == on_disk(world)


def test_what_no_branch_leads_to_is_unreached(world: World) -> None:
    branch.create(world.repo, "other", "HEAD~2")
    switch(world.repo, "other")
    branch.delete(world.repo, "main", force=True)
    found = counted(world)
    assert len(found.versions) == 1
    left = found.by_cause["unreached"]
    assert (left.chunks, left.raw_bytes) == (2, 2 * SIZE)
    assert left.stored_bytes == found.pack_bytes - framed(world) - found.versions[0].stored_bytes
    assert found.stored_bytes == on_disk(world)


def test_a_base_that_no_version_holds_counts_for_the_version_that_needs_it(world: World) -> None:
    kept = World(world.root.parent / "kept")
    shutil.copytree(world.repo.folder, kept.repo.folder, dirs_exist_ok=True)
    kept.reopen()
    lone = replace(kept.repo.commit(resolve(kept.repo, "HEAD")), parents=())
    with Transaction(kept.repo.store, kept.repo.scratch) as tx:
        name = tx.put(lone)
        tx.commit()
    (kept.repo.folder / "refs/heads/main").write_text(name.hex() + "\n")
    found = counted(kept)
    assert len(found.versions) == 1
    assert list(found.depths) == [0, 1, 2]
    assert found.by_cause["delta"].raw_bytes == SIZE
    assert found.by_cause["delta"].chunks == 2
    spent = found.versions[0].stored_bytes + found.by_cause["unreached"].stored_bytes
    assert spent + framed(kept) == found.pack_bytes


def test_a_second_copy_of_a_record_is_unreached(world: World, tmp_path: Path) -> None:
    twin = World(tmp_path / "twin")
    twin.save({"m": world.exported("HEAD~2", tmp_path / "m")["m"]}, "the same weights")
    for path in (twin.repo.folder / "packs").iterdir():
        shutil.copy(path, world.repo.folder / "packs")
    found = counted(world)
    assert found.packs == 4
    assert found.by_cause["unreached"].raw_bytes == 2 * SIZE
    assert found.stored_bytes == on_disk(world)


def test_what_is_damaged_and_not_needed_counts_as_other_files(world: World) -> None:
    before = counted(world)
    for suffix in ("head", "tail"):
        name = "pack-" + "ab" * 32 + f".{suffix}"
        (world.repo.folder / "packs" / name).write_bytes(b"x" * 500)
    found = counted(world)
    assert found.other_bytes == before.other_bytes + 1000
    assert (found.pack_bytes, found.packs) == (before.pack_bytes, before.packs)


def test_a_missing_pack_is_an_error_that_names_fsck(world: World) -> None:
    heads = sorted((world.repo.folder / "packs").glob("*.head"))
    heads[0].unlink()
    world.reopen()
    with pytest.raises(MissingObjectError) as caught:
        stats(world.repo)
    assert "fsck" in (caught.value.hint or "")


def test_an_empty_repository_holds_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    found = counted(world)
    assert (found.raw_bytes, found.versions, found.packs) == (0, (), 0)
    assert found.worst_version is None
    assert found.stored_bytes == on_disk(world)


def test_nothing_is_decoded_and_no_section_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(codec, "decode", refuse)
    monkeypatch.setattr(accounting.PackReader, "sections", refuse)
    counted(world)
    tensor_stats(world.repo)


def test_an_equal_tree_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        world.save({"notes": b"note %d " % number * 1000}, "the model stays")
    read: list[bytes] = []
    original: Callable[..., bytes] = world.repo.store.read

    def note(wanted: bytes, kind: str) -> bytes:
        if kind != "commit":
            read.append(wanted)
        return original(wanted, kind)

    monkeypatch.setattr(world.repo.store, "read", note)
    counted(world)
    assert len(read) == len(set(read))


@given(st.lists(st.integers(1, 5000), min_size=1), st.integers(1, 100_000))
def test_shares_of_a_block_add_up_to_its_cost(sizes: list[int], cost: int) -> None:
    block = accounting._Block(cost, sum(sizes))
    shares = [block.share(size) for size in sizes]
    assert sum(shares) == cost
    for share, size in zip(shares, sizes, strict=True):
        assert abs(share - cost * size / sum(sizes)) <= 1


def test_a_tail_that_is_elsewhere_takes_nothing_here(world: World) -> None:
    name = world.repo.store.of_kind("chunk")[0]
    _, entry = world.repo.store.chunk_entry(name)
    near, far = (accounting.chunk_use(entry, has_tail=here) for here in (True, False))
    assert (near.away, near.here) == (0, entry.stored)
    assert far.here == entry.sections[0].length
    assert far._replace(away=0) == near


def test_a_tensor_tells_its_cause_and_its_base(world: World) -> None:
    body, head, scale = tensor_stats(world.repo).tensors
    assert (body.cause, body.stored_bytes, body.depth) == ("equal", 0, 0)
    assert body.record_bytes > 0
    assert (head.cause, head.depth, head.raw_bytes) == ("delta", 2, SIZE)
    assert head.base_place == TensorPlace("m", "head.weight")
    assert (scale.cause, scale.record_bytes, scale.shape) == ("inline", 0, (1,))


def test_the_first_version_stores_all_its_tensors_but_those_it_has_twice(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    body = weights(1, SIZE)
    world.save({"a": network({"x": body, "y": body}), "b": network({"x": body})})
    found = tensor_stats(world.repo, "HEAD:")
    assert [item.cause for item in found.tensors] == ["entropy", "equal", "equal"]
    assert found.raw_bytes == 3 * SIZE
    assert found.stored_bytes == counted(world).by_cause["entropy"].stored_bytes
    assert {item.place.path for item in tensor_stats(world.repo, "HEAD:b").tensors} == {"b"}


def test_a_file_without_tensors_has_none_to_count(world: World) -> None:
    with pytest.raises(NotFoundError, match="no tensors"):
        tensor_stats(world.repo, "HEAD:notes")

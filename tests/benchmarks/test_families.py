from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from benchmarks import families, manifest
from benchmarks.extras import MissingExtra, has, load
from benchmarks.histories import alone, from_families, merges, names
from benchmarks.manifest import Entry


def put(
    folder: Path, path: str, version: int, parent: str | None = None, place: str = "m"
) -> Entry:
    file = folder / path
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(path.encode())
    return manifest.describe(
        folder, path, version=version, place=place, parent=parent, dtype="float32", change="none"
    )


def test_an_entry_says_what_lies_in_the_file(tmp_path: Path) -> None:
    entry = put(tmp_path, "full/step0.bin", 0)
    assert entry.family == "full"
    assert entry.bytes == len("full/step0.bin")
    assert entry.sha256 == hashlib.sha256(b"full/step0.bin").hexdigest()


def test_a_manifest_reads_back_as_it_was_written(tmp_path: Path) -> None:
    entries = [put(tmp_path, "a/1", 0), put(tmp_path, "a/2", 1, "a/1")]
    manifest.write(tmp_path, entries)
    assert manifest.read(tmp_path) == entries


def test_families_that_were_not_built_again_stay_in_the_manifest(tmp_path: Path) -> None:
    manifest.write(tmp_path, [put(tmp_path, "a/1", 0), put(tmp_path, "b/1", 0)])
    manifest.write(tmp_path, [put(tmp_path, "a/2", 0)])
    assert [entry.path for entry in manifest.read(tmp_path)] == ["b/1", "a/2"]


def test_a_folder_without_a_manifest_holds_no_families(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) == []
    assert from_families(tmp_path) == []


def test_the_table_counts_files_versions_and_bytes(tmp_path: Path) -> None:
    entries = [put(tmp_path, "a/1", 0), put(tmp_path, "a/2", 1), put(tmp_path, "a/3", 1)]
    assert families.rows(entries) == [["a", "3", "2", "0.0"]]


def test_a_family_above_the_limit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LIMIT", 5)
    assert families.oversized([put(tmp_path, "a/1", 0)]) == []
    assert families.oversized([put(tmp_path, "a/1", 0), put(tmp_path, "a/2", 1)]) == ["a"]


def test_snapshots_of_a_run_replace_each_other(tmp_path: Path) -> None:
    manifest.write(
        tmp_path,
        [put(tmp_path, "a/1", 0), put(tmp_path, "a/2", 1, "a/1"), put(tmp_path, "a/3", 2, "a/2")],
    )
    (history,) = from_families(tmp_path)
    assert [version.start for version in history.versions] == [None, None, None]
    assert [file.source.name for file in history.worktree(2).values()] == ["3"]
    assert history.versions[2].files[0].parent == tmp_path / "a/2"
    assert history.size == 9


def test_what_was_made_from_an_older_version_begins_a_branch_there(tmp_path: Path) -> None:
    manifest.write(
        tmp_path,
        [
            put(tmp_path, "a/base", 0),
            put(tmp_path, "a/one", 1, "a/base"),
            put(tmp_path, "a/one-adapter", 1, place="adapter"),
            put(tmp_path, "a/two", 2, "a/base"),
        ],
    )
    (history,) = from_families(tmp_path)
    assert [version.start for version in history.versions] == [None, None, 0]
    assert set(history.worktree(1)) == {"m", "adapter"}
    assert {place: file.source.name for place, file in history.worktree(2).items()} == {"m": "two"}


def test_what_is_put_beside_its_parent_begins_no_branch(tmp_path: Path) -> None:
    manifest.write(
        tmp_path,
        [
            put(tmp_path, "a/base", 0),
            put(tmp_path, "a/export", 1, "a/base", place="x"),
            put(tmp_path, "a/other", 2, "a/base", place="y"),
        ],
    )
    (history,) = from_families(tmp_path)
    assert [version.start for version in history.versions] == [None, None, None]
    assert set(history.worktree(2)) == {"m", "x", "y"}


def test_a_single_model_is_the_first_version_of_its_family(tmp_path: Path) -> None:
    manifest.write(tmp_path, [put(tmp_path, "full-bf16/0", 0), put(tmp_path, "full-bf16/1", 1)])
    (single,) = alone(from_families(tmp_path))
    assert single.name == "minilm-bf16-alone"
    assert [file.source.name for file in single.versions[0].files] == ["0"]


def test_a_missing_package_is_told_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingExtra, match=r"pip install -e '\.\[bench\]'"):
        load("no_such_package_at_all.part")


@pytest.mark.skipif(
    not all(map(has, ("torch", "tokenizers", "safetensors"))), reason="needs the extra bench"
)
def test_every_recipe_can_be_asked_for() -> None:
    from benchmarks import recipes

    assert tuple(recipes.RECIPES) == families.NAMES


def test_merged_adapters_are_also_a_history_without_the_adapters(tmp_path: Path) -> None:
    model = "model.safetensors"
    entries = [
        put(tmp_path, "lora-merged-fp32/base", 0, place=model),
        put(tmp_path, "lora-merged-fp32/task", 1, "lora-merged-fp32/base", place=model),
        put(tmp_path, "lora-merged-fp32/adapter", 1, place="adapter"),
    ]
    manifest.write(tmp_path, entries)
    (history,) = merges(from_families(tmp_path))
    assert history.name == "lora-merged-fp32-only"
    assert [len(version.files) for version in history.versions] == [1, 1]


def test_families_of_a_second_folder_carry_its_name(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "again"]
    for folder in folders:
        folder.mkdir()
        manifest.write(folder, [put(folder, "full-fp32/1", 0)])
    assert names(folders)[:3] == ["full-fp32", "minilm-fp32-alone", "again/full-fp32"]

"""--precision and `mvc offload` on the command line."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.console import Console

WORDS = np.random.default_rng(1).normal(size=5000).astype(np.float32)


@pytest.fixture
def saved(mvc: Console) -> Console:
    mvc.write("m.safetensors", {"w": WORDS})
    mvc.write("n.txt", "text")
    mvc.commit("one")
    return mvc


def is_short(mvc: Console, name: str) -> bool:
    words = load_file(mvc.folder / name)["w"].view(np.uint32)
    assert (words >> 16 == WORDS.view(np.uint32) >> 16).all()
    return not (words & 0xFFFF).any()


@pytest.mark.parametrize(
    "arguments",
    [
        ("checkout", "--precision", "16", "HEAD"),
        ("checkout", "--precision=16", "HEAD", "--", "m.safetensors"),
        ("switch", "--precision", "16", "main"),
        ("switch", "--precision", "16", "--detach", "HEAD"),
        ("restore", "--precision", "16", "."),
    ],
    ids=" ".join,
)
def test_files_are_written_at_reduced_precision(saved: Console, arguments: tuple[str, ...]) -> None:
    done = saved(*arguments)
    assert "1 file at precision 16: m.safetensors" in done.err
    assert "`mvc restore FILE` brings all bits back" in done.err
    assert is_short(saved, "m.safetensors")
    status = saved("status")
    assert "At reduced precision" in status.out
    assert "Nothing to commit" in status.out
    assert saved("status", "--json").json["reduced"] == ["m.safetensors"]
    assert saved("status", "--porcelain").out == ""
    saved("commit", "-m", "x", code=1)
    assert saved("restore", "m.safetensors", "--json").json == {
        "restored": ["m.safetensors"],
        "reduced": [],
    }
    assert not is_short(saved, "m.safetensors")


def test_an_export_names_the_files_that_have_fewer_bits(saved: Console) -> None:
    done = saved("export", "--precision", "16", "--json", "HEAD", "out")
    assert done.json["reduced"] == ["m.safetensors"]
    assert is_short(saved, "out/m.safetensors")
    assert "its SHA-256 is not" in saved("export", "--precision", "16", "HEAD", "out2").err
    assert saved("export", "HEAD", "out3", "--json").json["reduced"] == []


@pytest.mark.parametrize("verb", ["checkout", "switch", "restore"])
def test_other_precisions_are_not_offered(saved: Console, verb: str) -> None:
    name = "m.safetensors" if verb == "restore" else "main"
    done = saved(verb, "--precision", "8", name, code=2)
    assert "16 is" in done.err
    saved("export", "--precision", "32", "HEAD", "out", code=2)


def test_lower_bits_go_to_another_repository_and_come_back(saved: Console) -> None:
    other = saved.folder.parent / "other"
    shutil.copytree(saved.folder, other)
    assert "everything is here" in saved("offload").out
    planned = saved("offload", "--to", "../other", "--dry-run")
    assert "1 pack would be in" in planned.out
    done = saved("offload", "--to", "../other", "--json").json
    assert (len(done["packs"]), done["kept"], done["dry_run"]) == (1, [], False)
    assert done["freed"] > 9000
    (place,) = saved("offload", "--json").json["places"]
    assert place == {"source": str(other / ".mvc"), "packs": 1, "problem": None}
    saved("export", "HEAD", "out")
    assert "checked there" in saved("fsck").err
    other.rename(other.with_name("gone"))
    assert "cannot be reached" in saved("offload").out
    failed = saved("export", "HEAD", "out2", "--json", code=3)
    assert '"tail-away"' in failed.err
    assert "not checked" in saved("fsck").err
    assert saved("fsck", "--json").json["offloaded"][0]["problem"] == "cannot be reached"
    saved("offload", "--restore", code=3)
    other.with_name("gone").rename(other)
    assert saved("offload", "--restore", "--json").json["coded"] == 0
    assert "lower bits of 0 packs" in saved("offload", "--restore").out


def test_what_cannot_be_offloaded_is_named(saved: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    (saved.folder.parent / "other").mkdir()
    saved("init", "../other")
    done = saved("offload", "--to", "../other", code=1)
    assert "stays whole: 1 of 1 chunks are not there" in done.err
    saved("offload", "--to", "nowhere", code=3)
    saved("offload", "--to", ".", code=2)
    saved("offload", "--dry-run", code=2)
    saved("offload", "--restore", "--to", "../other", code=2)


def test_an_impossible_precision_is_told_before_a_missing_version(saved: Console) -> None:
    done = saved("checkout", "--precision", "8", "nowhere", code=2)
    assert "precision 8 is not offered" in done.err

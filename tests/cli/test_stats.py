"""`mvc stats`: what people see, and what programs get."""

from __future__ import annotations

import numpy as np
import pytest

from mvc.cli.render_stats import Ground
from tests.cli.console import Console

PLAIN = Ground(lambda text, *_: text, 80, unicode=False)


@pytest.fixture
def trained(mvc: Console) -> Console:
    """Three versions, of which the second and third train one of two layers."""
    draw = np.random.default_rng(1)
    layers = {"body.weight": draw.normal(0, 0.02, 9000), "head.weight": draw.normal(0, 0.02, 9000)}
    for number in range(3):
        layers["head.weight"] = layers["head.weight"] + draw.normal(0, 1e-7, 9000)
        mvc.write("net.safetensors", dict(layers))
        mvc.commit(f"epoch {number}")
    return mvc


def test_the_report_says_how_much_why_and_for_which_version(trained: Console) -> None:
    lines = trained("stats").lines
    assert lines[0].startswith("3 versions, 216 kB of files stored in ")
    assert "in 3 packs with " in lines[1]
    firsts = [line.split()[0] for line in lines if line]
    for word in ("cause", "equal", "delta", "entropy", "metadata", "index", "other", "deltas"):
        assert word in firsts
    assert [line.rsplit("  ")[-1].strip() for line in lines[-3:]] == [
        "epoch 2",
        "epoch 1",
        "epoch 0",
    ]
    assert all(line == line.rstrip() and len(line) <= 80 for line in lines)


def test_json_is_flat_and_adds_up(trained: Console) -> None:
    found = trained("stats", "--json").json
    assert {"raw_bytes", "stored_bytes", "objects", "packs", "by_cause", "depth"} <= found.keys()
    causes = found["by_cause"]
    assert sum(part["stored_bytes"] for part in causes.values()) == found["stored_bytes"]
    assert sum(part["raw_bytes"] for part in causes.values()) == found["raw_bytes"]
    assert found["objects"] == sum(found["objects_by_kind"].values())
    assert found["packs"] == 3
    assert list(found["depth"]) == ["0", "1", "2"]
    assert found["recovery"]["max_depth"] == 2
    assert found["recovery"]["worst_version"] == found["commits"][0]["id"]
    assert [item["message"] for item in found["commits"]] == ["epoch 2", "epoch 1", "epoch 0"]
    assert sum(item["raw_bytes"] for item in found["commits"]) == found["raw_bytes"]


def test_the_newest_versions_are_listed_or_all(trained: Console) -> None:
    for number in range(12):
        trained.write("notes", f"note {number}")
        trained.commit(f"note {number}")
    assert len(trained("stats", "--json").json["commits"]) == 10
    assert len(trained("stats", "-n", "2", "--json").json["commits"]) == 2
    assert len(trained("stats", "--commits", "--json").json["commits"]) == 15
    assert trained("stats", "-n1").lines[-1].startswith("14 older versions not shown")
    assert "epoch 0" in trained("stats", "--commits").lines[-1]


def test_a_range_counts_the_versions_in_it(trained: Console) -> None:
    found = trained("stats", "HEAD~1..HEAD", "--json").json
    assert (found["whole"], found["versions"], found["index_bytes"]) == (False, 1, 0)
    assert found["by_cause"]["delta"]["tensors"] == 1
    assert trained("stats", "HEAD~1..HEAD").lines[0].startswith("1 version, 72.2 kB of files")


def test_tensors_are_listed_with_cause_and_base(trained: Console) -> None:
    lines = trained("stats", "--tensors").lines
    assert "2 tensors, 72.0 kB, for which it stores" in lines[0]
    assert lines[2] == "net.safetensors"
    row = lines[4].split()
    assert row[0] == "float32"
    assert row[-4:] == ["delta", "2", "parent", "head.weight"]
    assert lines[-1] == "1 tensor of 36.0 kB: equal to what is there"
    body, head = trained("stats", "HEAD:net.safetensors", "--json").json["tensors"]
    assert (body["cause"], body["stored_bytes"], body["base"]) == ("equal", 0, None)
    assert (head["cause"], head["depth"], len(head["base"])) == ("delta", 2, 64)
    assert head["base_place"] == {"path": "net.safetensors", "name": "head.weight"}


def test_what_a_repack_would_save_is_estimated_when_asked_for(trained: Console) -> None:
    assert trained("stats", "--json").json["repack"] is None
    found = trained("stats", "--repack", "--json").json
    assert found["repack"]["pack_bytes"] == found["pack_bytes"]
    assert 0 < found["repack"]["expected_bytes"] <= found["pack_bytes"]
    assert found["repack"]["expected_recovery"] > 0
    assert any(line.startswith("a repack would") for line in trained("stats", "--repack").lines)
    assert trained("stats", "--json").json["pack_bytes"] == found["pack_bytes"]


def test_an_empty_repository_has_no_versions(mvc: Console) -> None:
    assert mvc("stats").lines[0].startswith("0 versions, 0 B of files stored in")
    assert mvc("stats", "--json").json["by_cause"]["index"]["stored_bytes"] > 0
    assert "deltas in a row  none" in mvc("stats").lines
    mvc("stats", "HEAD", code=3)


def test_what_is_no_revision_is_told(trained: Console) -> None:
    assert "no revision" in trained("stats", "epoch", code=3).err
    done = trained("stats", "net.safetensors", code=3)
    assert "mvc stats HEAD:net.safetensors" in done.err
    assert "one version" in trained("stats", "--tensors", "HEAD", "HEAD~1", code=2).err
    assert trained("stats", "--tensors", "HEAD:nothing", code=3).out == ""


def test_messages_and_names_cannot_obey_the_terminal(mvc: Console) -> None:
    mvc.write("m.safetensors", {"a\x1b[31m": np.arange(900)})
    mvc.commit("one\x1b[2J line")
    for shown in (mvc("stats").out, mvc("stats", "--tensors").out):
        assert "\x1b" not in shown
        assert "\\x1b" in shown


def test_colours_only_where_they_are_wanted(trained: Console) -> None:
    assert "\x1b" not in trained("stats").out
    coloured = trained("--color", "always", "stats").out
    assert "\x1b[32m" in coloured
    assert "\x1b[34m" in coloured


@pytest.mark.parametrize(
    ("part", "whole", "drawn"),
    [(0, 10, ""), (0, 0, ""), (10, 10, "████"), (1, 10**9, "▏"), (5, 10, "██"), (9, 16, "██▎")],
)
def test_a_bar_shows_eighths_and_something_is_never_nothing(
    part: int, whole: int, drawn: str
) -> None:
    assert Ground(PLAIN.style, 80, unicode=True).bar(part, whole, 4) == drawn
    assert len(PLAIN.bar(part, whole, 4)) <= 4
    assert bool(PLAIN.bar(part, whole, 4)) == bool(drawn)


def test_subjects_are_cut_to_the_width(trained: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.write("notes", "x")
    trained.commit("a long subject " * 10)
    monkeypatch.setenv("COLUMNS", "100")
    line = next(line for line in trained("stats").lines if "a long subject" in line)
    assert len(line) <= 100
    assert line.endswith("…")

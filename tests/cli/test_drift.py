from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.console import Console


def network(seed: int, step: float = 0.01) -> dict[str, object]:
    base, noise = np.random.default_rng(0), np.random.default_rng(seed)
    return {
        f"{block}.{kind}": base.standard_normal(20) + step * noise.standard_normal(20)
        for block in ("embed", "layer.0", "layer.1")
        for kind in ("query.weight", "norm.weight")
    }  # fmt: skip


@pytest.fixture
def fleet(mvc: Console) -> Console:
    mvc.write("m.st", network(0, 0))
    mvc.commit("release")
    mvc("tag", "v1.0")
    for number in range(8):
        mvc("switch", "-c", f"devices/car-{number}", "v1.0")
        mvc.write("m.st", network(number + 1, 0.5 if number == 3 else 0.01))
        mvc.commit(f"car {number}")
    mvc("switch", "main")
    return mvc


def test_a_fleet_is_a_line_a_device_and_a_character_a_layer(fleet: Console) -> None:
    done = fleet("drift")
    assert done.lines[0].startswith("8 versions from v1.0 (")
    rows = [line.split() for line in done.lines if line.startswith("devices/")]
    assert rows[0][0] == "devices/car-3"
    assert set(rows[0][2]) <= set("▇█")
    assert all(len(row[2]) == 6 for row in rows[:8])
    assert "a embed  b layer.0  c layer.1" in done.lines
    assert any(line.startswith("devices/car-3 stands out: ") for line in done.lines)
    assert done.lines[-1] == "6 layers differ"


def test_few_devices_are_columns_of_numbers(fleet: Console) -> None:
    done = fleet("drift", "devices/car-0", "devices/car-1", "--sort", "name")
    assert done.lines[2].split() == ["layer", "car-0", "car-1"]
    assert "layer.0" in done.lines
    (norm,) = [line for line in done.lines if line.startswith("  norm ")][:1]
    found = fleet("drift", "devices/car-0", "--json").json
    at = [layer["name"] for layer in found["layers"]].index("embed.norm")
    assert f"{found['versions'][0]['layers']['relative'][at]:.3g}" in norm


def test_json_has_every_metric_and_order_by_the_one_asked_for(fleet: Console) -> None:
    found = fleet("drift", "--metric", "cosine", "--json").json
    far = [item["total"]["cosine"] for item in found["versions"]]
    assert far == sorted(far, reverse=True)
    assert found["metric"] == "cosine"
    assert found["base_name"] == "v1.0"
    assert set(found["versions"][0]["layers"]) == {"relative", "l2", "cosine", "changed"}
    assert [item["name"] for item in found["outliers"]] == ["devices/car-3"]


def test_without_unicode_blocks_are_ascii(fleet: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    from mvc.cli.render_drift import ASCII, Sheet

    assert Sheet(lambda text, *_: text, 80, unicode=False).marks == ASCII
    assert len(ASCII) == 8
    assert ASCII.isascii()


def test_a_narrow_terminal_gets_runs_of_layers(
    fleet: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    fleet.write("m.st", {f"l.{n}.w": np.full(3, float(n)) for n in range(100)})
    fleet.commit("wide")
    fleet("switch", "-c", "devices/wide")
    fleet.write("m.st", {f"l.{n}.w": np.full(3, n + 1.0) for n in range(100)})
    fleet.commit("wider")
    done = fleet("drift", *[f"devices/car-{n}" for n in range(7)], "devices/wide", "--base", "main")
    assert max(map(len, done.lines[3:11])) <= 40
    assert any("the farthest of" in line for line in done.lines)


def test_a_page_is_written_whole_and_in_place_of_an_older_one(fleet: Console) -> None:
    page = fleet.folder / "out.html"
    page.write_text("old")
    done = fleet("drift", "--html", "out.html")
    assert done.out == ""
    assert f"wrote {page}" in done.err
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert fleet("drift", "--html", "-").out.startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_is_refused_before_the_work(fleet: Console) -> None:
    (fleet.folder / "folder").mkdir()
    assert "is a folder" in fleet("drift", "--html", "folder", code=2).err
    assert "there is no folder" in fleet("drift", "--html", "no/x.html", code=3).err
    assert "is a folder" in fleet("diff", "--html", "folder", code=2).err


def test_what_is_wrong_is_said_with_a_way_out(fleet: Console, mvc: Console) -> None:
    assert "no revision is called" in fleet("drift", "nope", code=3).err
    assert "no branch or tag matches" in fleet("drift", "x/*", code=3).err
    assert "is a file; write: mvc drift -- m.st" in fleet("drift", "m.st", code=3).err
    fleet("rm", "m.st")
    fleet.write("text.txt", "no model")
    fleet.commit("no model")
    assert "no model file" in fleet("drift", "main", "--base", "main", code=3).err


def test_an_empty_repository_has_no_fleet(mvc: Console) -> None:
    assert "there are no branches devices/*" in mvc("drift", code=2).err


def test_a_bare_repository_can_be_asked(fleet: Console, tmp_path: Path) -> None:
    fleet("clone", "--bare", str(fleet.folder), str(tmp_path / "bare"))
    here, there = (
        fleet("-C", str(folder), "drift", "--json").json
        for folder in (fleet.folder, tmp_path / "bare")
    )
    assert here == there


def test_histories_without_a_common_version_need_a_base(fleet: Console, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    fleet("-C", str(other), "init")
    fleet.write(str(other / "m.st"), network(50))
    fleet("-C", str(other), "add", "m.st")
    fleet("-C", str(other), "commit", "-m", "alone")
    fleet("remote", "add", "other", str(other))
    fleet("fetch", "other")
    done = fleet("drift", "other/main", "main", code=2)
    assert "no common ancestor" in done.err
    assert "--base" in done.err
    assert fleet("drift", "other/main", "--base", "main").lines[0].startswith("1 version from main")


def test_hostile_names_are_escaped(mvc: Console) -> None:
    for step in (0.0, 1.0):
        mvc.write("m.st", {"\x1b[31mred\n.w": [step + 1], "b\u202e.w": [step]})
        mvc.commit("x")
    out = mvc("drift", "HEAD", "--base", "HEAD~1").out
    assert "\\x1b[31mred\\n" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_base_that_nothing_names_is_told_once(fleet: Console) -> None:
    fleet("tag", "-d", "v1.0")
    fleet("commit", "-m", "main goes on", "--allow-empty")
    base = fleet("rev-parse", "main~1").out[:10]
    found = fleet("drift", "devices/car-0", "devices/car-1").lines[0]
    assert found == f"2 versions from {base}, relative L2"

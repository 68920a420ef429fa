"""`mvc blame`, and `mvc log` of a part, as people use them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.console import Console

RELEASE = {
    "encoder.0.weight": np.full((8, 8), 2),
    "encoder.0.bias": np.zeros(8),
    "encoder.1.weight": np.full((8, 8), 1),
    "head.weight": np.ones((2, 8)),
}


def timeless(text: str) -> list[str]:
    text = re.sub(r"2023-11-14 \d\d:\d\d:\d\d", "<time>", text)
    return text.replace("date               ", "date  ").splitlines()


def changed(**tensors: object) -> dict[str, object]:
    return {**RELEASE, **{name.replace("__", "."): value for name, value in tensors.items()}}


@pytest.fixture
def story(mvc: Console) -> tuple[Console, dict[str, str]]:
    ids = {}
    mvc.write("model.safetensors", RELEASE)
    mvc.write("notes.txt", "a")
    ids["release"] = mvc.commit("release")
    half = np.full((8, 8), 2)
    half[:4] = 3
    tuned = changed(encoder__0__weight=half)
    mvc.write("model.safetensors", tuned)
    ids["tuned"] = mvc.commit("tuned", "--label", "device=car-17")
    mvc.write("notes.txt", "b")
    mvc.write("model.safetensors", {**tuned, "head.weight": np.full((2, 8), 1.5)})
    ids["head"] = mvc.commit("head")
    return mvc, ids


def test_each_tensor_has_its_version_device_time_and_change(
    story: tuple[Console, dict[str, str]],
) -> None:
    mvc, ids = story
    assert timeless(mvc.named(mvc("blame", "model.safetensors").out, **ids)) == [
        "version     who        date    change  relative  tensor",
        "<release>  Ada Fleet  <time>   added         -  encoder.0.bias",
        "<tuned>  car-17     <time>   50.0%     0.354  encoder.0.weight",
        "<release>  Ada Fleet  <time>   added         -  encoder.1.weight",
        "<head>  Ada Fleet  <time>    100%       0.5  head.weight",
    ]


def test_blame_by_layer_sums_up_what_the_newest_version_did(
    story: tuple[Console, dict[str, str]],
) -> None:
    mvc, ids = story
    lines = timeless(mvc.named(mvc("blame", "--layers").out, **ids))
    assert [" ".join(line.split()) for line in lines] == [
        "version who date change relative layer",
        "model.safetensors",
        "<tuned> car-17 <time> 50.0% 0.354 encoder.0 (2 tensors, 1 by this version)",
        "<release> Ada Fleet <time> added - encoder.1 (1 tensor)",
        "<head> Ada Fleet <time> 100% 0.5 head (1 tensor)",
        "notes.txt",
        "<head> Ada Fleet <time> changed - (the whole file)",
    ]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["model.safetensors:head.*"], ["head.weight"]),
        (["HEAD~1:model.safetensors:head.*"], ["head.weight"]),
        (["HEAD~1", "model.safetensors:*bias"], ["encoder.0.bias"]),
        (["v1", "--", "model.safetensors:*bias"], ["encoder.0.bias"]),
        (["--", "*.safetensors:encoder.1.*", "m*:head.*"], ["encoder.1.weight", "head.weight"]),
        ([":model.safetensors:head.weight"], ["head.weight"]),
    ],
)
def test_tensors_are_named_as_elsewhere(
    story: tuple[Console, dict[str, str]], words: list[str], names: list[str]
) -> None:
    mvc, _ = story
    mvc("tag", "v1", "HEAD~2")
    found = mvc("blame", "--json", "--no-weights", *words).json
    assert [item["name"] for item in found["files"][0]["tensors"]] == names


def test_json_has_exactly_the_documented_fields(story: tuple[Console, dict[str, str]]) -> None:
    mvc, ids = story
    found = mvc("blame", "--json").json
    assert found["commit"] == ids["head"]
    model, notes = found["files"]
    assert model["last_change"] is None
    assert notes["tensors"] is None
    assert notes["last_change"]["commit"] == ids["head"]
    tensor = model["tensors"][1]
    last = tensor.pop("last_change")
    assert tensor == {
        "name": "encoder.0.weight",
        "dtype": "float32",
        "shape": [8, 8],
        "bytes": 256,
        "view_of": None,
    }
    assert last.pop("relative_l2") == pytest.approx(np.sqrt(32 / 256))
    assert last.pop("l2") == pytest.approx(np.sqrt(32))
    assert last == {
        "commit": ids["tuned"],
        "author": "Ada Fleet <ada@example.org>",
        "device": "car-17",
        "time": mvc("log", "--json").json[1]["time"],
        "message": "tuned",
        "path": "model.safetensors",
        "name": "encoder.0.weight",
        "made": "changed",
        "at_or_before": False,
        "against": ids["release"],
        "changed_fraction": 0.5,
    }


def test_a_file_that_got_another_name_and_format_is_followed(
    story: tuple[Console, dict[str, str]],
) -> None:
    mvc, ids = story
    from safetensors.numpy import load_file

    arrays = load_file(mvc.folder / "model.safetensors")
    (mvc.folder / "model.safetensors").unlink()
    arrays["encoder.1.weight"] = arrays["encoder.1.weight"].astype(np.float16)
    np.savez(mvc.folder / "model.npz", **arrays)
    ids["other"] = mvc.commit("another format")
    found = mvc("blame", "model.npz", "--json").json["files"][0]["tensors"]
    assert {item["name"]: item["last_change"]["commit"] for item in found} == {
        "encoder.0.bias": ids["release"],
        "encoder.0.weight": ids["tuned"],
        "encoder.1.weight": ids["other"],
        "head.weight": ids["head"],
    }
    assert found[2]["last_change"]["made"] == "recast"
    assert "head.weight  (was model.safetensors)" in mvc("blame", "model.npz").out
    messages = mvc("log", "--json", "--follow", "--", "model.npz:encoder.*.weight").json
    assert [item["message"] for item in messages] == ["another format", "tuned", "release"]


def test_devices_are_told_by_their_branches(story: tuple[Console, dict[str, str]]) -> None:
    mvc, _ = story
    mvc("switch", "-c", "devices/cam-07/main")
    mvc.write("model.safetensors", changed(head__weight=np.full((2, 8), 4)))
    mvc.commit("on the road")
    (tensor,) = mvc("blame", "model.safetensors:head.*", "--json").json["files"][0]["tensors"]
    assert tensor["last_change"]["device"] == "cam-07"
    mvc("branch", "devices/cam-08/main")
    (tensor,) = mvc("blame", "model.safetensors:head.*", "--json").json["files"][0]["tensors"]
    assert tensor["last_change"]["device"] is None


def test_what_is_not_there_is_said_with_what_is(story: tuple[Console, dict[str, str]]) -> None:
    mvc, _ = story
    assert "did you mean model.safetensors?" in mvc("blame", "model.safetensor", code=3).err
    assert "lists the tensors" in mvc("blame", "model.safetensors:tail.*", code=3).err
    assert "no tensor" in mvc("blame", "notes.txt:*", code=3).err


def test_an_empty_repository_has_nobody_to_blame(mvc: Console) -> None:
    assert "there are no commits yet" in mvc("blame", code=3).err


def test_names_that_a_terminal_would_obey_are_harmless(mvc: Console) -> None:
    mvc.write("m.safetensors", {"a\x1b[31m\n\u202eb.<i>": [1.0]})
    mvc.commit("one\x1b[2J")
    out = mvc("blame").out
    assert "a\\x1b[31m\\n\\u202eb.<i>" in out
    assert "\x1b" not in out


def test_files_are_seen_from_the_current_folder(
    story: tuple[Console, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mvc, _ = story
    folder = Path(mvc.folder) / "sub"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert mvc("blame", "../notes.txt").out == mvc("blame", "HEAD:notes.txt").out


def test_log_with_stat_tells_how_far_each_version_moved_what_was_asked_about(
    story: tuple[Console, dict[str, str]],
) -> None:
    mvc, ids = story
    out = mvc.named(mvc("log", "--oneline", "--stat", "--", "*.safetensors:encoder.*").out, **ids)
    lines = out.splitlines()
    assert lines[0] == "<tuned> tuned"
    assert any("encoder.0" in line and "+" in line for line in lines)
    assert not any("head" in line for line in lines[1:])
    found = mvc("log", "--json", "--stat", "--", "model.safetensors:encoder.*").json
    (tensor,) = found[0]["changes"]["files"][0]["tensors"]["changed"]
    assert tensor["changed_fraction"] == 0.5
    assert found[1]["changes"]["from"] is None


def test_log_with_a_patch_shows_the_diff_of_each_version(
    story: tuple[Console, dict[str, str]],
) -> None:
    mvc, _ = story
    out = mvc("log", "-p", "-n1").out
    assert "-a" in out
    assert "+b" in out
    assert "head.weight" in out
    assert "relative" in out
    assert "relative" not in mvc("log", "-p", "-n1", "--no-weights").out
    assert mvc("log", "--graph", "--stat", "--oneline").lines[0].startswith("* ")


def test_follow_needs_something_to_follow(mvc: Console) -> None:
    assert "mvc log --follow -- FILE" in mvc("log", "--follow", code=2).err

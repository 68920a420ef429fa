from __future__ import annotations

import inspect
import json

import click
import numpy as np
import pytest

from mvc.cli.commands.diff import command
from mvc.diff.order import KEYS
from tests.cli.console import Console

BASE = {
    "layer.0.dense.weight": np.ones((4, 4)),
    "layer.0.dense.bias": np.zeros(4),
    "layer.1.dense.weight": np.full((4, 4), 2.0),
    "head.scale": np.array([1.0, -1.0]),
}
NEW = {
    "layer.0.dense.weight": np.ones((4, 4)) + 1.5 * np.eye(4),
    "layer.0.dense.bias": np.array([0, 0.5, 0, 0]),
    "layer.1.dense.weight": np.full((4, 4), 2.25),
    "head.scale": np.array([-1.0, np.nan]),
}


@pytest.fixture
def two(mvc: Console) -> Console:
    mvc.write("model.st", BASE)
    mvc.write("notes.txt", "one\n")
    mvc.commit("first")
    mvc.write("model.st", NEW)
    mvc.write("notes.txt", "two\n")
    mvc.commit("second")
    return mvc


def names(found: Console, *options: str) -> list[str]:
    value = found("diff", "HEAD~1", "HEAD", "--json", *options).json
    (file,) = (file for file in value["files"] if file["tensors"])
    return [tensor["name"] for tensor in file["tensors"]["changed"]]


def test_stat_has_a_line_for_each_layer(two: Console) -> None:
    assert two("diff", "HEAD~1", "HEAD", "--stat", "--", "model.st").lines == [
        "~ model.st  safetensors  448 B",
        "  head            ~100%  ‖Δ‖ 2     --------      8 B",
        "  layer.0.dense  ~25.0%  ‖Δ‖ 3.04  ++++++++     80 B",
        "  layer.1.dense   ~100%  ‖Δ‖ 1     +++++++      64 B",
        "1 file differs; tensors: 4 changed",
        "60.5% of 38 elements in changed tensors differ; ‖Δ‖ 3.77",
    ]


def test_only_tensors_with_such_names_are_compared(two: Console) -> None:
    assert names(two, "--tensor", "*.bias", "--tensor", "head.*") == [
        "head.scale",
        "layer.0.dense.bias",
    ]
    value = two("diff", "HEAD~1", "HEAD", "--json", "--tensor", "*.bias").json
    assert [file["path"] for file in value["files"]] == ["model.st"]
    done = two("diff", "HEAD~1", "HEAD", "--exit-code", "--tensor", "nothing*", code=3)
    assert done.out == ""
    assert "hint: `mvc show HEAD~1:model.st` lists tensors" in done.err
    assert two("diff", "HEAD~1", "HEAD", "--name-only", "--tensor", "*.bias").lines == ["model.st"]


def test_tensors_come_in_the_order_that_is_asked_for(two: Console) -> None:
    by_norm = ["layer.0.dense.weight", "head.scale", "layer.1.dense.weight", "layer.0.dense.bias"]
    assert names(two, "--sort", "l2") == by_norm
    assert names(two, "--sort", "-l2") == by_norm[::-1]
    assert names(two, "--sort", "max", "--top", "1") == ["head.scale"]
    assert names(two, "--top", "2") == ["head.scale", "layer.0.dense.weight"]
    text = two("diff", "HEAD~1", "HEAD", "--top", "1").out
    assert "  and 3 more tensors that changed" in text
    assert "100% of" not in text
    assert "4 changed" in text
    assert "  and 2 more layers" in two("diff", "HEAD~1", "HEAD", "--stat", "--top", "1").out


def test_elements_stand_side_by_side(two: Console) -> None:
    chosen = ["diff", "HEAD~1", "HEAD", "--", "model.st:head*", "model.st:*0*weight"]
    lines = two(*chosen[:3], "--words", "2", *chosen[3:]).lines
    at = next(number for number, line in enumerate(lines) if line.startswith("  head"))
    assert lines[at + 1 : at + 4] == [
        "    NaN or infinite: 0 before, 1 after",
        "    [1]  -1.0 → nan",
        "    [0]   1.0 → -1.0  -2",
    ]
    assert lines[at + 5 : at + 8] == [
        "    [0,0]  1.0 → 2.5  +1.5",
        "    [1,1]  1.0 → 2.5  +1.5",
        "    and 2 more elements",
    ]


def test_words_takes_a_number_or_none(two: Console) -> None:
    for options in (["--words", "HEAD~1"], ["HEAD~1", "--words"], ["--words=10", "HEAD~1"]):
        assert "    [0,0]  1.0 → 2.5  +1.5" in two("diff", *options).lines
    found = two("diff", "--words", "HEAD~1", "HEAD", "--first", "--json").json
    (file,) = (file for file in found["files"] if file["tensors"])
    head = file["tensors"]["changed"][0]
    assert head["words"] == [
        {
            "index": [0],
            "old": 1.0,
            "new": -1.0,
            "change": -2.0,
            "old_bits": "3f800000",
            "new_bits": "bf800000",
        },
        {
            "index": [1],
            "old": -1.0,
            "new": None,
            "change": None,
            "old_bits": "bf800000",
            "new_bits": "7fc00000",
        },
    ]


def test_the_rank_of_a_change_is_shown_where_it_is_asked_for(two: Console) -> None:
    text = two("diff", "HEAD~1", "HEAD", "--rank").out
    heads, *rows = (line.split() for line in text.splitlines() if "x4" in line or "cosine" in line)
    assert heads[-1] == "rank"
    assert [row[-1] for row in rows] == ["4.0", "1.0"]
    assert "rank" not in two("diff", "HEAD~1", "HEAD").out


def test_a_page_has_a_column_of_ranks_where_they_are_asked_for(two: Console) -> None:
    pages = [
        two("diff", "HEAD~1", "HEAD", "--html", "-", *options).out for options in ([], ["--rank"])
    ]
    assert [page.count(">rank</th>") for page in pages] == [0, 1]
    assert ">4.0</td>" in pages[1]


def test_a_wide_terminal_shows_more(two: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "130")
    lines = two("diff", "HEAD~1", "HEAD", "--", "model.st").lines
    heads = next(line for line in lines if "cosine" in line)
    assert heads.split()[-4:] == ["largest", "at", "mean", "flips"]
    row = next(line for line in lines if "layer.0.dense.weight" in line)
    assert row.split()[-4:] == ["1.5", "0,0", "+0.38", "0"]


def test_json_has_layers(two: Console) -> None:
    found = two("diff", "HEAD~1", "HEAD", "--json", "--sort", "l2").json
    (file,) = (file for file in found["files"] if file["tensors"])
    layer = file["tensors"]["layers"][0]
    assert (layer["name"], layer["tensors"], layer["bytes"], layer["largest"]) == (
        "layer.0.dense",
        ["layer.0.dense.bias", "layer.0.dense.weight"],
        80,
        "layer.0.dense.weight",
    )
    assert layer["l2"] == pytest.approx(9.25**0.5)
    assert layer["histogram"] == {"zero": 15, "first": -1, "grown": [1, 4], "shrunk": [0, 0]}


def test_a_tensor_that_became_nan_is_valid_json(two: Console) -> None:
    text = two("diff", "HEAD~1", "HEAD", "--json", "--words").out
    json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--sort", "size"], "relative"),
        (["--no-weights", "--rank"], "--no-weights"),
        (["--no-weights", "--sort", "l2"], "--no-weights"),
        (["--no-weights", "--top", "3"], "--no-weights"),
        (["--words", "--stat"], "--stat"),
        (["--first"], "--words"),
        (["--html", "-", "--json"], "--html FILE"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    two: Console, options: list[str], hint: str
) -> None:
    done = two("diff", *options, code=2)
    assert hint in done.err
    assert done.out == ""


@pytest.mark.parametrize("option", [["--words", "0"], ["--top", "0"], ["--words=x"]])
def test_numbers_must_be_positive(two: Console, option: list[str]) -> None:
    two("diff", *option, code=2)


def test_without_weights_bytes_and_names_can_still_be_sorted_by(two: Console) -> None:
    assert names(two, "--no-weights", "--sort", "bytes", "--top", "1") == ["layer.0.dense.weight"]


def test_help_names_every_key() -> None:
    (option,) = (item for item in command.params if item.name == "sort")
    assert isinstance(option, click.Option)
    assert all(key in inspect.cleandoc(option.help or "") for key in KEYS)


def test_before_the_first_commit_there_is_nothing_to_compare(mvc: Console) -> None:
    for options in (["--stat"], ["--words"], ["--rank"], ["--top", "3"]):
        assert mvc("diff", *options).out == ""


def test_an_empty_bare_repository_has_no_commits_and_no_files(mvc: Console) -> None:
    mvc("init", "--bare", "central")
    done = mvc("-C", "central", "diff", "HEAD", "HEAD", code=3)
    assert done.err == (
        "error: there are no commits yet\nhint: `mvc push` from a working copy brings some\n"
    )
    assert "is a file" not in mvc("-C", "central", "diff", "refs", "packs", code=3).err


def test_files_of_the_working_copy_have_all_numbers(two: Console) -> None:
    two.write("model.st", {**NEW, "head.scale": np.array([3.0, 3.0])})
    lines = two("diff", "--words", "--", "model.st").lines
    assert "    [0]  -1.0 → 3.0  +4" in lines

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import NotFoundError, UsageError
from mvc.base.wording import percent
from mvc.cli.main import run
from mvc.cli.paper import Paper
from mvc.ops.diff import DiffRequest, diff
from mvc.repo.selection import Selection
from tests.diff.versions import Project

BASE = {
    "encoder.layer.0.attention.query.weight": np.linspace(-1, 1, 900, dtype="f4").reshape(30, 30),
    "encoder.layer.0.attention.query.bias": np.zeros(30, "f4"),
    "encoder.layer.1.attention.query.weight": np.ones((30, 30), "f4"),
    "head.weight": np.ones((4, 30), "f4"),
    "old": np.ones(2, "f4"),
}
NEW = {
    "encoder.layer.0.attention.query.weight": BASE["encoder.layer.0.attention.query.weight"]
    + np.float32(0.5) * (np.arange(900).reshape(30, 30) % 4 == 0),
    "encoder.layer.0.attention.query.bias": np.full(30, -0.25, "f4"),
    "encoder.layer.1.attention.query.weight": np.ones((30, 30), "f4"),
    "head.weight": np.ones((5, 30), "f4"),
    "new": np.ones(3, "f2"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(made.path)
    return made


@pytest.fixture
def two(project: Project) -> Project:
    project.commit(
        model__st=BASE, config__json=b'{\n  "a": 1\n}\n', data__bin=b"\0\1", gone=b"going"
    )
    (project.path / "gone").unlink()
    project.commit(
        model__st=NEW, config__json=b'{\n  "a": 2\n}\n', data__bin=b"\0\2\3", fresh=b"fresh"
    )
    return project


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(["diff", *arguments]) == code
    return capsys.readouterr().out


def without_ids(text: str) -> list[str]:
    """Drop the title, whose ids hold the time of the commit."""
    return text.split("\n")[1:]


def test_the_report_shows_structure_then_weights_then_text(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert without_ids(shown(capsys, "HEAD~1..HEAD")) == [
        "",
        "~ config.json  blob  13 B  1 field differs",
        "  ~ a: 1 → 2",
        "",
        "~ data.bin  blob  2 B → 3 B  bytes differ",
        "",
        "+ fresh  added  blob  5 B",
        "",
        "- gone  removed  blob  5 B",
        "",
        "~ model.st  safetensors  8.24 kB → 8.36 kB",
        "  1 row added to head.weight, the rest equal",
        "  + new          float16 [3]",
        "  - old          float32 [2]",
        "  ~ head.weight  float32 [4, 30] → [5, 30]  rest equal",
        "  tensor                                shape  changed   ‖Δ‖  relative    cosine",
        "  encoder.layer.0.attention.query.bias     30     100%  1.37         -         -",
        "  encoder.layer.0.a…ntion.query.weight  30x30    25.0%   7.5     0.433  0.917644",
        "",
        "5 files differ; tensors: 2 changed, 1 added, 1 removed, 1 reshaped, 1 unchanged",
        "27.4% of 930 elements in changed tensors differ; ‖Δ‖ 7.62",
        "",
    ]


def test_stat_has_one_line_a_layer(two: Project, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "HEAD~1", "HEAD", "--stat", "--", "model.st")
    assert text.split("\n") == [
        "~ model.st  safetensors  8.24 kB → 8.36 kB",
        "  1 row added to head.weight, the rest equal",
        "  new                              added float16 [3]               6 B",
        "  old                              removed float32 [2]             8 B",
        "  head.weight                      float32 [4, 30] → [5, 30]     600 B",
        "  encoder.layer.0.attention.query  ~27.4%  ‖Δ‖ 7.62  +++++++-  3.72 kB",
        "1 file differs; tensors: 2 changed, 1 added, 1 removed, 1 reshaped, 1 unchanged",
        "27.4% of 930 elements in changed tensors differ; ‖Δ‖ 7.62",
        "",
    ]


def test_without_unicode_the_output_is_ascii(
    two: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvc.cli.commands.diff._unicode", lambda: False)
    for options in ([], ["--stat"]):
        text = shown(capsys, "HEAD~1", "HEAD", *options)
        assert text.isascii()
        assert "..." in text or options


def test_no_line_of_tensors_is_wider_than_the_terminal(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ([], ["--stat"]):
        text = shown(capsys, "HEAD~1", "HEAD", *options)
        assert max(len(line) for line in text.split("\n")) <= 80


def test_json_has_every_number(two: Project, capsys: pytest.CaptureFixture[str]) -> None:
    value = json.loads(shown(capsys, "HEAD~1", "HEAD", "--json"))
    assert [(file["path"], file["status"]) for file in value["files"]] == [
        ("config.json", "modified"),
        ("data.bin", "modified"),
        ("fresh", "added"),
        ("gone", "removed"),
        ("model.st", "modified"),
    ]
    assert len(value["from"]) == len(value["to"]) == 64
    config, _, fresh, gone, file = value["files"]
    assert config["text"] == '@@ -1,3 +1,3 @@\n {\n-  "a": 1\n+  "a": 2\n }\n'
    assert (fresh["old"], gone["new"], config["tensors"]) == (None, None, None)
    tensors = file["tensors"]
    assert tensors["added"] == [{"name": "new", "dtype": "float16", "shape": [3], "bytes": 6}]
    assert tensors["removed"] == [{"name": "old", "dtype": "float32", "shape": [2], "bytes": 8}]
    assert tensors["reshaped"] == [
        {
            "name": "head.weight",
            "old_dtype": "float32",
            "new_dtype": "float32",
            "old_shape": [4, 30],
            "new_shape": [5, 30],
            "old_name": None,
            "cast": None,
            "growth": {"axis": 0, "added": 1, "common": 120, "changed": 0, "end": "end"},
            "same_words": False,
            "transposed": False,
        }
    ]
    assert tensors["changed"][1] == {
        "name": "encoder.layer.0.attention.query.weight",
        "dtype": "float32",
        "shape": [30, 30],
        "bytes": 3600,
        "old_name": None,
        "unit": "element",
        "elements": 900,
        "changed": 225,
        "changed_fraction": 0.25,
        "grown": 225,
        "shrunk": 0,
        "sign_flips": 56,
        "norm": pytest.approx(17.339764),
        "new_norm": pytest.approx(18.872376),
        "l2": pytest.approx(7.5, abs=1e-6),
        "relative_l2": pytest.approx(0.43253, abs=1e-5),
        "cosine": pytest.approx(0.9176435, abs=1e-5),
        "max_abs": pytest.approx(0.5),
        "max_at": [22, 24],
        "mean_shift": pytest.approx(0.125),
        "effective_rank": None,
        "old_nonfinite": 0,
        "new_nonfinite": 0,
        "histogram": {"zero": 675, "first": -2, "grown": [46, 179], "shrunk": [0, 0]},
    }
    assert file["unchanged_tensors"] == 1
    assert value["totals"] == {
        "files_added": 1,
        "files_removed": 1,
        "files_modified": 3,
        "files_renamed": 0,
        "tensors_added": 1,
        "tensors_removed": 1,
        "tensors_reshaped": 1,
        "tensors_recast": 0,
        "tensors_renamed": 0,
        "tensors_changed": 2,
        "tensors_unchanged": 1,
        "elements": 930,
        "changed_elements": 255,
        "l2": pytest.approx(7.6240, abs=1e-4),
    }


def test_the_working_copy_is_the_default_other_side(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys) == ""
    two.write(model__st=BASE)
    value = json.loads(shown(capsys, "--json"))
    assert (value["to"], [file["path"] for file in value["files"]]) == ("worktree", ["model.st"])
    assert value["files"][0]["new"] is None
    assert shown(capsys, "HEAD~1", "--name-only").split() == [
        "config.json",
        "data.bin",
        "fresh",
        "gone",
    ]


def test_the_exit_code_answers_only_when_asked(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(capsys, "HEAD~1", "HEAD", code=0)
    shown(capsys, "HEAD~1", "HEAD", "--exit-code", code=1)
    shown(capsys, "HEAD~1", "HEAD", "--exit-code", "--json", code=1)
    shown(capsys, "HEAD", "HEAD", "--exit-code", code=0)
    shown(capsys, "--exit-code", code=0)


def test_without_weights_no_word_is_read(
    two: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("mvc.repo.tensors.load_bytes", never)
    text = shown(capsys, "HEAD~1", "HEAD", "--no-weights", "--", "model.st")
    assert "attention.query.bias       30\n" in text
    value = json.loads(shown(capsys, "HEAD~1", "HEAD", "--no-weights", "--json"))
    assert set(value["files"][-1]["tensors"]["changed"][0]) == {
        "name",
        "dtype",
        "shape",
        "bytes",
        "old_name",
    }


def test_paths_and_globs_choose_files_and_tensors(two: Project) -> None:
    request = DiffRequest(("HEAD~1", "HEAD"), ("model.st:*.bias", "fresh"))
    fresh, file = diff(two.repo, request).files
    assert (fresh.path, file.path) == ("fresh", "model.st")
    assert file.tensors is not None
    assert [item.name for item in file.tensors.changed] == ["encoder.layer.0.attention.query.bias"]
    assert (file.tensors.added, file.tensors.unchanged) == ((), 0)
    nothing = DiffRequest(("HEAD~1", "HEAD"), ("model.st:encoder.layer.1.*",))
    assert diff(two.repo, nothing).files == ()


@pytest.mark.parametrize(
    ("spec", "path", "tensor", "expected"),
    [
        ("dir", "dir/a.st", "x", True),
        ("dir/", "dir/a.st", "x", True),
        ("*.st", "dir/a.st", "x", True),
        ("dir/a.st:x*", "dir/a.st", "xy", True),
        ("dir/a.st:x*", "dir/a.st", "y", False),
        ("a:b", "a:b", "x", True),
        ("a:b:x", "a:b", "x", True),
        ("a.onnx:w:0", "a.onnx", "w:0", True),
        (".", "dir/a.st", "x", True),
    ],
)
def test_a_path_may_hold_colons_and_so_may_a_tensor(
    spec: str, path: str, tensor: str, expected: bool
) -> None:
    chosen = Selection([spec])
    assert chosen.path(path)
    assert chosen.tensor(path)(tensor) == expected


def test_a_path_that_is_nowhere_is_an_error(two: Project) -> None:
    with pytest.raises(NotFoundError, match="neither side has a file 'modle'"):
        diff(two.repo, DiffRequest(("HEAD~1", "HEAD"), ("modle",)))
    assert diff(two.repo, DiffRequest((), ("model.st",))).files == ()


@pytest.mark.parametrize(
    ("request_", "hint"),
    [
        (DiffRequest(tensors=("*.byas",)), "`mvc show HEAD:model.st` lists tensors"),
        (DiffRequest(tensors=("*.bias", "hed.weight")), "did you mean 'head.weight'?"),
        (DiffRequest((), ("model.st:encoder.lyer.*",)), "`mvc show HEAD:model.st` lists tensors"),
        (
            DiffRequest(("HEAD~1", "HEAD"), ("*.st:nope",)),
            "`mvc show HEAD~1:model.st` lists tensors",
        ),
        (DiffRequest(("HEAD~1:model.st",), tensors=("x",)), "`mvc show HEAD~1:model.st` lists"),
        (DiffRequest(("HEAD~1", "HEAD"), ("fresh:nope",)), "leave it out to see which differ"),
        (DiffRequest(names_only=True, weights=False, tensors=("x",)), "`mvc show HEAD:model.st`"),
    ],
)
def test_a_tensor_that_no_file_has_is_an_error(
    two: Project, request_: DiffRequest, hint: str
) -> None:
    with pytest.raises(NotFoundError, match="neither side has a tensor") as caught:
        diff(two.repo, request_)
    assert (caught.value.hint or "").startswith(hint)


@pytest.mark.parametrize(
    "request_",
    [
        DiffRequest(tensors=("head.*",)),
        DiffRequest(("HEAD~1", "HEAD"), tensors=("new", "old", "encoder.layer.1.*")),
        DiffRequest(("HEAD~1", "HEAD"), ("model.st:encoder.layer.1.*",)),
        DiffRequest(("HEAD~1:model.st", "HEAD:model.st"), tensors=("old",)),
    ],
)
def test_a_tensor_of_one_side_or_without_a_difference_is_none(
    two: Project, request_: DiffRequest
) -> None:
    assert len(diff(two.repo, request_).files) <= 1


def test_whether_a_tensor_exists_is_told_without_reading_weights(
    two: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("a chunk was read")

    monkeypatch.setattr("mvc.repo.tensors.load_bytes", never)
    monkeypatch.setattr("mvc.repo.tensors.load_bytes_of_both", never)
    with pytest.raises(NotFoundError, match="neither side has a tensor 'x'"):
        diff(two.repo, DiffRequest(("HEAD~1", "HEAD"), tensors=("x",), weights=False))


def test_a_file_given_as_a_revision_is_told_where_to_write_it(two: Project) -> None:
    with pytest.raises(NotFoundError) as caught:
        diff(two.repo, DiffRequest(("model.st",)))
    assert caught.value.hint == "model.st is a file; write: mvc diff -- model.st"


@pytest.mark.parametrize("names", [("a", "b", "c"), ("a...b",)])
def test_requests_without_a_meaning_are_refused(two: Project, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        diff(two.repo, DiffRequest(names))


def test_paths_are_seen_from_the_folder_the_command_runs_in(
    two: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (two.path / "sub").mkdir()
    monkeypatch.chdir(two.path / "sub")
    text = shown(capsys, "HEAD~1", "HEAD", "--name-only", "--", "../fresh")
    assert text == "fresh\n"


def test_a_renamed_file_shows_both_names(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.commit(a=b"content")
    (project.path / "a").unlink()
    project.commit(b=b"content")
    assert "> a → b  renamed  blob  7 B\n" in shown(capsys, "HEAD~1", "HEAD")
    value = json.loads(shown(capsys, "HEAD~1", "HEAD", "--json"))
    assert (value["files"][0]["old_path"], value["files"][0]["path"]) == ("a", "b")


def test_a_file_whose_tensors_are_equal_says_what_differs(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import save

    project.commit(model=save(BASE, metadata={"epoch": "1"}))
    project.commit(model=save(BASE, metadata={"epoch": "2"}))
    text = shown(capsys, "HEAD~1", "HEAD")
    assert "no tensor differs\n" in text
    assert '  __metadata__.epoch: "1" → "2"\n' in text


def test_values_that_are_not_finite_are_counted(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.commit(model={"w": np.ones(4, "f4")})
    project.commit(model={"w": np.array([np.nan, np.inf, 1, 2], "f4")})
    text = shown(capsys, "HEAD~1", "HEAD")
    assert "    NaN or infinite: 0 before, 2 after\n" in text
    assert "75.0%" in text


def test_names_from_a_model_cannot_steer_the_terminal(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "w\x1b[2J\nfake"
    project.commit(model={evil: np.ones(2, "f4")}, text=b"a\n")
    project.commit(model={evil: np.zeros(2, "f4")}, text=b"\x1b[31mred\n")
    for options in ([], ["--stat"]):
        text = shown(capsys, "HEAD~1", "HEAD", *options)
        assert "\x1b" not in text
        assert "\nfake" not in text


def test_colours_appear_only_when_wanted(two: Project, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["--color", "always", "diff", "HEAD~1", "HEAD", "--stat"]) == 0
    assert "\x1b[32m" in capsys.readouterr().out
    assert "\x1b" not in shown(capsys, "HEAD~1", "HEAD", "--stat")


def test_external_data_of_onnx_is_compared_as_tensors(project: Project) -> None:
    import onnx
    from onnx import TensorProto, helper

    def model(values: np.ndarray) -> None:
        weight = helper.make_tensor("w", TensorProto.FLOAT, (300,), values.tobytes(), raw=True)
        graph = helper.make_graph([], "g", [], [], [weight])
        path = project.path / "m.onnx"
        path.unlink(missing_ok=True)
        (project.path / "m.data").unlink(missing_ok=True)
        onnx.save(
            helper.make_model(graph),
            str(path),
            save_as_external_data=True,
            location="m.data",
            size_threshold=0,
        )

    from mvc.ops.add import add
    from mvc.ops.commit import CommitRequest, commit

    model(np.ones(300, "f4"))
    add(project.repo, [project.path / "m.onnx", project.path / "m.data"])
    commit(project.repo, CommitRequest(message="one"))
    model(np.full(300, 2, "f4"))
    (file,) = [file for file in diff(project.repo, DiffRequest()).files if file.path == "m.data"]
    assert file.tensors is not None
    assert [item.weights and item.weights.changed for item in file.tensors.changed] == [300]


def test_long_names_are_cut_where_they_stay_different() -> None:
    paper = Paper(lambda text, *_: text, 80, unicode=True)
    names = [f"model.encoder.{layer}.attention.weight" for layer in range(3)]
    assert paper.labels(names, 20, 2) == [f"model.encoder.{layer}…ight" for layer in range(3)]
    twins = ["a" * 15 + str(number) + "b" * 15 for number in range(2)]
    assert paper.labels([*twins, "short"], 10, 2) == [
        *(name + "\n" + " " * 7 for name in twins),
        "short",
    ]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 9, "0%"),
        (9, 9, "100%"),
        (1, 10**6, "<0.1%"),
        (10**6 - 1, 10**6, ">99.9%"),
        (1, 8, "12.5%"),
        (0, 0, "0%"),
    ],
)
def test_only_all_is_a_hundred_percent(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text

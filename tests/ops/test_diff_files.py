from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from mvc.base.errors import NotFoundError, UsageError
from mvc.cli.main import run
from mvc.ops.diff import DiffRequest, diff
from mvc.ops.diff_files import diff_files
from tests.diff.versions import Project, model

BASE = {f"layer.{number}.w": np.random.default_rng(number).random((30, 20)) for number in range(4)}
TUNED = {name: array + 0.001 for name, array in BASE.items()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(made.path)
    return made


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    import io

    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_two_files_are_compared_in_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.st").write_bytes(model(BASE))
    Path("b.npz").write_bytes(npz(TUNED))
    assert run(["diff", "--no-index", "a.st", "b.npz", "--exit-code"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("~ a.st → b.npz  safetensors → npz")
    assert "4 changed" in text
    assert run(["diff", "--no-index", "a.st", "a.st", "--exit-code"]) == 0
    assert capsys.readouterr().out == ""
    assert run(["diff", "--no-index", "a.st", "b.npz", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["from"], value["to"], value["files"][0]["old_path"]) == ("a.st", "b.npz", "a.st")


def test_two_folders_are_compared_file_by_file(tmp_path: Path) -> None:
    for name, arrays in (("one", BASE), ("two", TUNED)):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "m.st").write_bytes(model(arrays))
        (tmp_path / name / "same").write_bytes(b"same")
    request = DiffRequest(folder=tmp_path)
    (file,) = diff_files(Path("one"), Path("two"), request).files
    assert (file.path, file.status) == ("sub/m.st", "modified")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["a"], 2), (["a", "b", "c"], 2), (["missing", "a"], 3), (["a", "folder"], 2)],
)
def test_wrong_names_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(b"x")
    Path("folder").mkdir()
    assert run(["diff", "--no-index", *arguments]) == code
    assert "hint:" in capsys.readouterr().err


def test_a_tensor_that_neither_file_has_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.st").write_bytes(model({"w": np.ones(3, "f4")}))
    (tmp_path / "b.st").write_bytes(model({"w": np.zeros(3, "f4")}))
    request = DiffRequest(tensors=("v*",), folder=tmp_path)
    with pytest.raises(NotFoundError, match=r"neither side has a tensor 'v\*'"):
        diff_files(Path("a.st"), Path("b.st"), request)


def test_one_file_of_a_version_is_compared_with_another_one(project: Project) -> None:
    project.commit(a__st=BASE)
    project.commit(b__st=TUNED)
    found = diff(project.repo, DiffRequest(("HEAD~1:a.st", "HEAD:b.st")))
    (file,) = found.files
    assert file.old is not None
    assert (file.old.path, file.path, file.status) == ("a.st", "b.st", "modified")
    assert file.tensors is not None
    assert len(file.tensors.changed) == 4
    on_disk = diff(project.repo, DiffRequest(("HEAD~1:a.st", "b.st")))
    assert on_disk.files[0].tensors is not None
    assert on_disk.new.commit is None
    assert diff(project.repo, DiffRequest(("HEAD:b.st",))).files == ()
    with pytest.raises(NotFoundError, match="there is no file"):
        diff(project.repo, DiffRequest(("HEAD~1:a.st", "c.st")))
    with pytest.raises(UsageError, match="one of the two is a file"):
        diff(project.repo, DiffRequest(("HEAD:", "HEAD:b.st")))


def test_a_model_that_changed_its_format_is_one_moved_file(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.commit(model__npz=npz(BASE), config__json=b"{}")
    project.write(model__npz=None)
    project.commit(model__st=BASE)
    (file,) = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert file.old is not None
    assert (file.status, file.old.path, file.path) == ("renamed", "model.npz", "model.st")
    assert file.tensors is not None
    assert (file.tensors.differs, file.tensors.unchanged) == (False, 4)
    assert run(["diff", "HEAD~1", "HEAD"]) == 0
    text = capsys.readouterr().out
    assert "> model.npz → model.st  renamed  npz → safetensors" in text
    assert "no tensor differs" in text


def test_shards_and_a_single_file_are_one_model(project: Project) -> None:
    names = list(BASE)
    shards = {
        f"m-0000{place + 1}-of-00002.safetensors": {name: BASE[name] for name in names[place::2]}
        for place in range(2)
    }
    for name, arrays in shards.items():
        (project.path / name).write_bytes(model(arrays))
    project.commit(**{name.replace(".", "__"): model(arrays) for name, arrays in shards.items()})
    for name in shards:
        (project.path / name).unlink()
    project.commit(model__safetensors={**BASE, names[0]: TUNED[names[0]]})
    (file,) = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert file.old is not None
    assert (file.status, file.old.path) == ("renamed", "m-*-of-00002.safetensors")
    assert [part.path for part in file.old_parts] == list(shards)
    assert file.tensors is not None
    assert [item.name for item in file.tensors.changed] == [names[0]]
    assert file.tensors.unchanged == 3


def test_unrelated_models_are_not_called_moved(project: Project) -> None:
    project.commit(a__st=BASE)
    project.write(a__st=None)
    other = {name: np.random.default_rng(99).random(array.shape) for name, array in BASE.items()}
    project.commit(b__st=other)
    found = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert [(file.path, file.status) for file in found] == [("a.st", "removed"), ("b.st", "added")]


def test_metadata_of_a_file_is_named(project: Project) -> None:
    project.commit(m=save(BASE, metadata={"epoch": "1", "by": "x"}))
    project.commit(m=save(BASE, metadata={"epoch": "2"}))
    (file,) = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert sorted((item.path, item.old, item.new) for item in file.header) == [
        ("__metadata__.by", '"x"', None),
        ("__metadata__.epoch", '"1"', '"2"'),
    ]


def test_a_vocabulary_says_which_tokens_it_got(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    def tokenizer(*words: str) -> bytes:
        vocabulary = {word: number for number, word in enumerate(words)}
        return json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}).encode()

    project.commit(tokenizer__json=tokenizer("a", "b"))
    project.commit(tokenizer__json=tokenizer("a", "b", "\x1b[2J"))
    (file,) = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert file.tokens is not None
    assert (file.tokens.added, file.summary) == (1, ("tokens: 1 added, 2 -> 3",))
    assert run(["diff", "HEAD~1", "HEAD"]) == 0
    text = capsys.readouterr().out
    assert "+ 1 token: " in text
    assert "\x1b" not in text


def test_one_changed_tensor_of_a_hundred_reads_a_fraction_of_the_model(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.store import decode

    random = np.random.default_rng(1)
    old = {
        f"layer.{number}.weight": random.standard_normal((64, 64), dtype="f4")
        for number in range(104)
    }
    new = {**old, "layer.7.weight": old["layer.7.weight"] + np.float32(0.01)}
    project.commit(m=old)
    project.commit(m=new)
    read = 0
    load_both = decode.load_both

    def counted(*arguments: object) -> object:
        nonlocal read
        found = load_both(*arguments)  # type: ignore[arg-type]
        read += sum(segment.nbytes for side in found for segment in side)
        return found

    monkeypatch.setattr(decode, "load_both", counted)
    (file,) = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert file.tensors is not None
    assert [item.name for item in file.tensors.changed] == ["layer.7.weight"]
    assert 0 < read < 0.03 * sum(array.nbytes for array in new.values())

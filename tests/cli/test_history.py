from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.console import Console

WEIGHTS = {"encoder.0.weight": [[1, 2], [3, 4]], "encoder.1.weight": [5], "head.bias": [0]}


def test_commit_says_where_it_went_and_what_it_took(mvc: Console) -> None:
    mvc.write("a.txt", "a" * 10)
    mvc("add", ".")
    done = mvc("commit", "-m", "First", "-m", "Body")
    head = mvc("rev-parse", "HEAD").out.strip()
    first, second = mvc.named(done.out, a=head).splitlines()
    assert first == "[main <a>] (first commit) First"
    assert second.startswith(" 1 file changed, 10 B took ")
    assert mvc("log", "--json").json[0]["message"] == "First\n\nBody"


def test_commit_as_json_has_exactly_the_documented_fields(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc("add", ".")
    done = mvc("commit", "-m", "x", "--json").json
    assert set(done) == {"id", "branch", "files", "raw_bytes", "stored_bytes", "warnings"}
    assert (done["branch"], done["files"], done["raw_bytes"]) == ("main", 1, 1)


def test_the_author_is_given_or_configured_or_guessed_with_a_remark(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = ("commit", "--allow-empty", "-m", "x")

    def author() -> str:
        return str(mvc("log", "-n1", "--json").json[0]["author"])

    assert mvc(*commit).err == ""
    assert author() == "Ada Fleet <ada@example.org>"
    mvc(*commit, "--author", "Bo <bo@example.org>")
    assert author() == "Bo <bo@example.org>"
    monkeypatch.delenv("MVC_AUTHOR_NAME")
    monkeypatch.setenv("LOGNAME", "cy")
    assert "note: committed as cy@" in mvc(*commit).err
    assert author().startswith("cy@")
    assert mvc("-q", *commit).err == ""
    mvc("config", "--global", "user.name", "Di")
    assert mvc(*commit).err == ""
    assert author() == "Di"


def test_log_shows_what_is_known_of_each_commit(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    one = mvc.commit("Base\n\nwith a body")
    mvc.write("a.txt", "b")
    options = ["--metric", "accuracy@imagenet[val]=0.91", "--metric", "loss=2"]
    options += ["--param", "lr=2e-5", "--param", "amp=true", "--label", "device=car-17"]
    two = mvc.commit("Adapt", *options)
    mvc("tag", "v1", one)
    assert mvc.named(mvc("log").out, one=one, two=two) == (
        "commit <two> (HEAD -> main)\n"
        "Author:  Ada Fleet <ada@example.org>\n"
        f"Date:    {minute(two, mvc)}\n"
        "Metrics: accuracy@imagenet[val] 0.91, loss 2\n"
        "Params:  amp=true, lr=2e-05\n"
        "Labels:  device=car-17\n"
        "\n"
        "    Adapt\n"
        "\n"
        "commit <one> (tag: v1)\n"
        "Author:  Ada Fleet <ada@example.org>\n"
        f"Date:    {minute(one, mvc)}\n"
        "\n"
        "    Base\n"
        "\n"
        "    with a body\n"
    )


def minute(commit: str, mvc: Console) -> str:
    time = mvc("show", commit, "--json").json["time"]
    return f"{time[:10]} {time[11:19]} +0000"


def test_log_as_json_has_exactly_the_documented_fields(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    one = mvc.commit("one", "--metric", "m@d[s]=0.5", "--param", "n=3", "--label", "k=v")
    (item,) = mvc("log", "--json").json
    tree = item.pop("tree")
    assert len(tree) == 64
    assert item.pop("time").endswith("Z")
    assert item == {
        "id": one,
        "parents": [],
        "author": "Ada Fleet <ada@example.org>",
        "message": "one",
        "params": {"n": 3},
        "metrics": {"m@d[s]": 0.5},
        "labels": {"k": "v"},
        "refs": ["HEAD -> main"],
        "recipe": None,
        "base": None,
        "signature": None,
    }


def test_log_draws_branches_beside_each_other(mvc: Console) -> None:
    ids = {}
    mvc.write("a.txt", "base")
    ids["base"] = mvc.commit("Base")
    mvc("switch", "-c", "car-17")
    mvc.write("a.txt", "car")
    ids["car"] = mvc.commit("Adapt to car 17")
    mvc("switch", "main")
    mvc.write("a.txt", "main")
    ids["main"] = mvc.commit("Next release")
    mvc("tag", "v1")
    assert mvc.named(mvc("log", "--oneline", "--graph", "--all").out, **ids) == (
        "* <main> (HEAD -> main, tag: v1) Next release\n"
        "| * <car> (car-17) Adapt to car 17\n"
        "|/\n"
        "* <base> Base\n"
    )
    assert mvc.named(mvc("log", "--oneline", "main..car-17").out, **ids) == (
        "<car> (car-17) Adapt to car 17\n"
    )
    assert len(mvc("log", "--oneline", "main...car-17").lines) == 2
    assert len(mvc("log", "--oneline", "car-17", "^main").lines) == 1
    assert len(mvc("log", "--oneline", "..car-17").lines) == 1


def test_log_is_limited_by_number_author_and_age(mvc: Console) -> None:
    for number in range(4):
        who = "Bo <bo@x>" if number == 2 else "Ada <ada@x>"
        mvc("commit", "--allow-empty", "-m", f"c{number}", "--author", who)

    def subjects(*options: str) -> list[str]:
        return [item["message"] for item in mvc("log", "--json", *options).json]

    assert subjects("-n", "2") == ["c3", "c2"]
    assert subjects("-n0") == []
    assert subjects("--max-count=1") == ["c3"]
    assert subjects("--author", "bo") == ["c2"]
    assert subjects("--since", "2 minutes ago") == ["c3"]
    assert subjects("--since", "1999-01-01") == ["c3", "c2", "c1", "c0"]
    assert subjects("-1") == ["c3"]
    assert subjects("-12") == ["c3", "c2", "c1", "c0"]
    assert subjects("--since", "yesterday") == ["c3", "c2", "c1", "c0"]
    mvc("log", "--since", "whenever", code=2)


def test_log_of_paths_and_tensors_shows_only_what_changed_them(mvc: Console) -> None:
    mvc.write("m/model.safetensors", WEIGHTS)
    mvc.write("notes.txt", "a")
    mvc.commit("base")
    mvc.write("m/model.safetensors", {**WEIGHTS, "head.bias": [1]})
    mvc.commit("head")
    mvc.write("m/model.safetensors", {**WEIGHTS, "head.bias": [1], "encoder.1.weight": [6]})
    mvc.commit("encoder")
    mvc.write("notes.txt", "b")
    mvc.commit("notes")

    def touched(*paths: str) -> list[str]:
        return [item["message"] for item in mvc("log", "--json", "--", *paths).json]

    assert touched("notes.txt") == ["notes", "base"]
    assert touched("m") == ["encoder", "head", "base"]
    assert touched("m/*.safetensors") == ["encoder", "head", "base"]
    assert touched("m/model.safetensors:head.*") == ["head", "base"]
    assert touched("m/model.safetensors:encoder.1.weight") == ["encoder", "base"]
    assert touched("m/*:encoder.?.weight") == ["encoder", "base"]
    assert touched("notes.txt", "m/model.safetensors:head.*") == ["notes", "head", "base"]
    assert touched("m/model.safetensors:nothing") == []
    assert touched("nowhere") == []


def test_show_lists_the_files_a_commit_changed(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.write("b.txt", "b")
    mvc.commit("one")
    mvc.write("a.txt", "longer")
    (mvc.folder / "b.txt").unlink()
    mvc.write("c.txt", "c")
    mvc.commit("two")
    assert mvc("show").lines[-3:] == [
        "  modified: a.txt (1 B -> 6 B)",
        "  deleted:  b.txt (1 B)",
        "  added:    c.txt (1 B)",
    ]
    shown = mvc("show", "--json").json
    assert shown["kind"] == "commit"
    assert shown["changes"][0] == {
        "status": "modified",
        "path": "a.txt",
        "old_size": 1,
        "size": 6,
    }


def test_show_of_a_model_lists_its_tensors(mvc: Console) -> None:
    path = mvc.write("model.safetensors", WEIGHTS)
    mvc.commit("model")
    lines = mvc("show", "HEAD:model.safetensors").lines
    assert lines[1] == "Format:  safetensors"
    assert lines[-4:] == [
        "name              dtype    shape  size",
        "encoder.0.weight  float32  2x2    16 B",
        "encoder.1.weight  float32  1       4 B",
        "head.bias         float32  1       4 B",
    ]
    shown = mvc("show", "HEAD:model.safetensors", "--json").json
    assert set(shown) == {
        "kind", "path", "id", "format", "size", "sha256", "tensor_bytes", "literal_bytes",
        "notes", "tensors", "views",
    }  # fmt: skip
    assert shown["size"] == path.stat().st_size == shown["tensor_bytes"] + shown["literal_bytes"]
    assert {**shown["tensors"][0], "id": ""} == {
        "name": "encoder.0.weight",
        "dtype": "float32",
        "shape": [2, 2],
        "bytes": 16,
        "id": "",
    }


def test_show_of_other_files_and_folders(mvc: Console) -> None:
    mvc.write("sub/a.txt", "a")
    mvc.commit("a")
    blob = mvc("show", "HEAD:sub/a.txt", "--json").json
    assert set(blob) == {"kind", "path", "id", "size", "sha256"}
    assert (blob["kind"], blob["size"]) == ("blob", 1)
    assert "Format:  plain bytes" in mvc("show", "HEAD:sub/a.txt").lines
    tree = mvc("show", "HEAD:", "--json").json
    assert (tree["kind"], tree["entries"][0]["path"]) == ("tree", "sub")
    assert mvc("show", "HEAD:").lines[0].endswith(" sub/")
    assert "did you mean sub/a.txt?" in mvc("show", "HEAD:sub/b.txt", code=3).err


def test_an_annotated_tag_is_shown_with_its_commit(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    mvc("tag", "v1", "-m", "First release")
    lines = mvc("show", "v1").lines
    assert lines[0] == "tag v1"
    assert "    First release" in lines
    assert mvc("show", "v1", "--json").json["tag"]["message"] == "First release"
    assert mvc("show", "--json").json["tag"] is None


def test_identify_finds_a_file_under_any_name_in_any_version(mvc: Console) -> None:
    mvc.write("a.txt", "content")
    one = mvc.commit("one")
    mvc.write("deep/b.txt", "content")
    two = mvc.commit("two")
    mvc("rm", "a.txt")
    mvc("rm", "deep/b.txt")
    mvc.commit("three")
    mvc("reset", "HEAD~2")
    copy = mvc.write("../copy", "content")
    found = mvc("identify", str(copy), "--json").json
    assert [(item["id"], item["paths"]) for item in found["matches"]] == [
        (two, ["a.txt", "deep/b.txt"]),
        (one, ["a.txt"]),
    ]
    assert "    deep/b.txt" in mvc("identify", "../copy").lines
    mvc.write("../other", "something else")
    assert "no version holds" in mvc("identify", "../other", code=1).err
    mvc("identify", "../nowhere", code=3)


def test_reset_moves_the_branch_and_the_reflog_leads_back(mvc: Console) -> None:
    mvc.write("a.txt", "one")
    one = mvc.commit("one")
    mvc.write("a.txt", "two")
    two = mvc.commit("two")
    assert mvc.named(mvc("reset", "HEAD~1").out, one=one) == "main is now at <one>\n"
    assert mvc("status", "-s").out == "M a.txt\n"
    steps = mvc("reflog", "--json").json
    assert [step["selector"] for step in steps] == ["HEAD@{0}", "HEAD@{1}", "HEAD@{2}"]
    assert [step["new"] for step in steps] == [one, two, one]
    mvc("reset", "--hard", "HEAD@{1}")
    assert (mvc.folder / "a.txt").read_text() == "two"
    assert mvc("rev-parse", "HEAD").out == two + "\n"
    assert len(mvc("reflog", "main", "-n", "2").lines) == 2
    mvc("reset", "--soft", "--hard", code=2)
    mvc("reflog", "nothing", code=3)
    mvc("reflog", "../../x", code=3)


def test_rev_parse_prints_ids_and_places(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    head = mvc.commit("a")
    assert mvc("rev-parse", "HEAD", "main", head[:8]).lines == [head] * 3
    assert mvc("rev-parse", "--short", "HEAD").out == head[:10] + "\n"
    assert mvc("rev-parse", "--abbrev-ref", "HEAD").out == "main\n"
    assert mvc("rev-parse", "--show-toplevel", "--mvc-dir").lines == [
        str(mvc.folder),
        str(mvc.folder / ".mvc"),
    ]
    assert json.loads(mvc("rev-parse", "HEAD", "--json").out) == [head]
    mvc("checkout", head)
    assert mvc("rev-parse", "--abbrev-ref", "HEAD").out == "HEAD\n"
    mvc("rev-parse", "nope", code=3)
    mvc("rev-parse", code=2)


def test_plumbing_lists_and_prints_objects(mvc: Console) -> None:
    mvc.write("m/model.safetensors", WEIGHTS)
    mvc.write("a.txt", "a" * 5000)
    head = mvc.commit("a")
    assert mvc("ls-tree", "-r", "HEAD", "--name-only").lines == ["a.txt", "m/model.safetensors"]
    assert [item["kind"] for item in mvc("ls-tree", "--json").json] == ["blob", "tree"]
    assert mvc("ls-tree", "HEAD:m").out.endswith("\tm/model.safetensors\n")
    assert mvc("cat-object", "-t", "HEAD").out == "commit\n"
    assert mvc("cat-object", "-t", "HEAD:m/model.safetensors").out == "checkpoint\n"
    commit = mvc("cat-object", "-p", head[:12]).json
    assert (commit["message"], commit["parents"]) == ("a", [])
    size = int(mvc("cat-object", "-s", "HEAD:m").out)
    assert size > 32
    sha256, (length, word, chunks) = mvc("cat-object", "-p", "HEAD:a.txt").json
    assert (len(sha256), length, word) == (64, 5000, 1)
    assert mvc("cat-object", chunks[0]).out == "a" * 5000
    assert mvc("cat-object", "-t", chunks[0]).out == "chunk\n"
    mvc("cat-object", "-t", "-s", "HEAD", code=2)
    mvc("cat-object", "f" * 64, code=3)


def test_show_counts_bytes_beside_the_tensors_however_few_they_are(mvc: Console) -> None:
    mvc.write("m.safetensors", {"w": np.arange(100_000)})
    mvc.commit("m")
    shown = mvc("show", "HEAD:m.safetensors").out
    assert "400000 bytes (>99.9% of the file); " in shown


def test_show_of_a_model_without_tensors_has_no_empty_table(mvc: Console) -> None:
    np.savez_compressed(mvc.folder / "m.npz", w=np.arange(9.0))
    mvc.commit("m")
    shown = mvc("show", "HEAD:m.npz")
    assert shown.lines[-2] == "Tensors: none"
    assert shown.lines[-1].startswith("Note:    ")
    assert "dtype" not in shown.out

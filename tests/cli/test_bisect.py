"""`mvc bisect` by hand: the working copy goes from version to version."""

from __future__ import annotations

import pytest

from tests.cli.console import Console

COUNT = 10
CULPRIT = 6


@pytest.fixture
def line(mvc: Console) -> tuple[Console, list[str]]:
    ids = []
    for number in range(COUNT):
        mvc.write("value.txt", str(number))
        if number % 3 == 0:
            mvc.write("model.safetensors", {"a.w": [number], "b.w": [number // 6]})
        ids.append(mvc.commit(f"v{number}"))
    return mvc, ids


def value(mvc: Console) -> int:
    return int((mvc.folder / "value.txt").read_text())


def test_a_search_by_hand_ends_at_the_first_bad_version(line: tuple[Console, list[str]]) -> None:
    mvc, ids = line
    assert "Waiting for a good and a bad version" in mvc("bisect", "start").out
    assert "Waiting for a good version" in mvc("bisect", "bad").out
    done = mvc("bisect", "good", "HEAD~9")
    assert done.out.startswith("9 versions left, about 4 tests")
    for _ in range(4):
        if "first bad" in done.out:
            break
        assert f" v{value(mvc)}\n" in done.out
        done = mvc("bisect", "bad" if value(mvc) >= CULPRIT else "good")
    assert done.out.startswith(f"{ids[CULPRIT][:10]} is the first bad version\n")
    assert "Bisecting: `mvc bisect log`" in mvc("status").out
    assert mvc("status", "--json").json["bisecting"]
    assert mvc("bisect", "reset").out == "The search is over; back at main\n"
    assert value(mvc) == COUNT - 1
    assert not mvc("status", "--json").json["bisecting"]
    mvc("bisect", "reset", code=3)


def test_only_versions_that_changed_a_tensor_are_tested(line: tuple[Console, list[str]]) -> None:
    mvc, ids = line
    step = mvc("bisect", "start", "--json", "HEAD", "HEAD~9", "--", "model.safetensors:a.*").json
    assert step["left"] == [ids[3], ids[6], ids[9]]
    mvc("bisect", "reset")
    step = mvc("bisect", "start", "--json", "HEAD", "HEAD~9", "--", "model.safetensors:b.*").json
    assert step["left"] == [ids[6]]
    assert step["version"]["id"] == ids[6]
    done = mvc("bisect", "good", code=1)
    assert done.out == "None of the versions that changed these paths made it bad\n"


def test_several_versions_can_be_skipped(line: tuple[Console, list[str]]) -> None:
    mvc, ids = line
    mvc("bisect", "start", "HEAD", "HEAD~9")
    step = mvc("bisect", "skip", "--json", f"{ids[2]}..{ids[7]}").json
    assert len(step["skipped"]) == 5
    assert step["version"]["id"] not in step["skipped"]
    mvc("bisect", "good", ids[2])
    done = mvc("bisect", "bad", ids[8], code=1)
    assert done.out.count("(skipped)") == 5
    assert len(done.lines) == 7


def test_work_that_would_be_lost_stops_the_search_and_next_goes_on(
    line: tuple[Console, list[str]],
) -> None:
    mvc, _ = line
    mvc.write("value.txt", "work")
    done = mvc("bisect", "start", "HEAD", "HEAD~9", code=1)
    assert "uncommitted changes would be lost: value.txt" in done.err
    assert "`mvc bisect next`" in done.err
    mvc("restore", "value.txt")
    assert mvc("bisect", "next").out.startswith("9 versions left")
    assert value(mvc) != COUNT - 1


def test_what_contradicts_what_was_said_is_refused_and_not_kept(
    line: tuple[Console, list[str]],
) -> None:
    mvc, ids = line
    mvc("bisect", "start", "HEAD~2", "HEAD~9")
    before = mvc("bisect", "log", "--json").json
    assert "comes from it, is good" in mvc("bisect", "good", ids[9], code=1).err
    assert "good already" in mvc("bisect", "bad", ids[0], code=1).err
    assert "bad already" in mvc("bisect", "good", ids[7], code=1).err
    assert "one version is the bad one" in mvc("bisect", "bad", ids[3], ids[4], code=2).err
    assert mvc("bisect", "log", "--json").json == before
    assert mvc("bisect", "bad", ids[9], "--json").json["bad"] == ids[7]
    assert "under way already" in mvc("bisect", "start", code=1).err


@pytest.mark.parametrize("words", [("start", "HEAD", "HEAD"), ("run", "--good", "HEAD", "true")])
def test_one_version_as_good_and_bad_is_no_search(
    line: tuple[Console, list[str]], words: tuple[str, ...]
) -> None:
    mvc, _ = line
    done = mvc("bisect", *words, code=1)
    assert "good already, and cannot be bad" in done.err or "and cannot be good" in done.err
    assert "name other versions to search between" in done.err
    assert "no search is under way" in mvc("bisect", "log", code=3).err


def test_where_lines_branched_off_is_tested_first(mvc: Console) -> None:
    mvc.write("value.txt", "0")
    fork = mvc.commit("fork")
    mvc("switch", "-c", "mended")
    mvc.write("value.txt", "1")
    good = mvc.commit("mended")
    mvc("switch", "main")
    mvc.write("value.txt", "2")
    bad = mvc.commit("bad")
    done = mvc("bisect", "start", bad, good)
    assert done.out == f"where good and bad branched off: {fork[:10]} fork\n"
    assert "comes from it, is good" in mvc("bisect", "bad", code=1).err
    assert f"{bad[:10]} is the first bad version" in mvc("bisect", "good").out


def test_without_checkout_the_working_copy_stays(line: tuple[Console, list[str]]) -> None:
    mvc, _ = line
    done = mvc("bisect", "start", "--no-checkout", "HEAD", "HEAD~9")
    assert "mvc export" in done.err
    assert value(mvc) == COUNT - 1
    first = mvc("bisect", "next", "--json").json["version"]["id"]
    mvc("bisect", "good")
    assert mvc("bisect", "log", "--json").json["good"][-1] == first
    assert mvc("bisect", "reset").out == "The search is over\n"


def test_a_damaged_file_of_the_search_is_told(line: tuple[Console, list[str]]) -> None:
    mvc, _ = line
    path = mvc.folder / ".mvc" / "bisect"
    for text in ("", "[]", '{"version": 1}', '{"version": 7}', "null"):
        path.write_text(text)
        assert "is damaged" in mvc("bisect", "log", code=6).err
        mvc("status")
        mvc("gc")
    path.unlink()
    mvc("bisect", "start")


def test_garbage_collection_keeps_the_ends_of_a_search(mvc: Console) -> None:
    for number in range(3):
        mvc.write("value.txt", str(number))
        mvc.commit(f"v{number}")
    mvc("switch", "-c", "gone")
    mvc.write("value.txt", "bad")
    bad = mvc.commit("bad")
    mvc("bisect", "start", "--no-checkout", bad, "main~2")
    mvc("switch", "main")
    mvc("branch", "-D", "gone")
    for log in (mvc.folder / ".mvc" / "logs").rglob("*"):
        if log.is_file():
            log.unlink()
    mvc("gc", "--prune", "now")
    assert mvc("bisect", "next", "--json").json["bad"] == bad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "run needs a command"),
        (["run", "--shell", "true", "true"], "run needs a command"),
        (["run", "true"], "no version is known to be good"),
        (["run", "--good", "nothing", "true"], "no revision is called 'nothing'"),
        (["good"], "no search is under way"),
        (["frobnicate"], "no such command"),
        ([], "needs one of"),
    ],
)
def test_mistakes_are_told(mvc: Console, arguments: list[str], message: str) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    done = mvc.any("bisect", *arguments)
    assert done.code in (2, 3)
    assert message in done.err
    assert "hint" in done.err


def test_a_search_needs_versions(mvc: Console) -> None:
    assert "there are no commits yet" in mvc("bisect", "start", code=3).err
    assert not (mvc.folder / ".mvc" / "bisect").exists()

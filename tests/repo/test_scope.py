"""Patterns of paths mean what they say, folder by folder as path by path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import IntegrityError, UsageError
from mvc.repo.chosen import Chosen
from mvc.repo.scope import check_pattern, literally, scope_of, tidy

NAMES = st.text("ab.*?[", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
SEGMENTS = st.one_of(st.sampled_from(["**", "*", "a*", "?b", "[ab]", "[!a]*"]), NAMES)
PATTERNS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


def chosen(path: str, *patterns: str) -> bool:
    scope = scope_of(patterns)
    return scope is None or scope.chooses(path)


@pytest.mark.parametrize(
    ("pattern", "meant", "others"),
    [
        ("model.bin", ["model.bin", "model.bin/x"], ["a/model.bin", "model.bins"]),
        ("a", ["a/b", "a/b/c"], ["b/a", "ab"]),
        ("a/*.bin", ["a/x.bin", "a/.bin"], ["a/b/x.bin", "x.bin"]),
        ("**/x.bin", ["x.bin", "a/x.bin", "a/b/x.bin"], ["x.bin2"]),
        ("a/**", ["a", "a/b", "a/b/c"], ["b"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z/y"], ["z", "a/b"]),
        ("**", ["a", "a/b"], []),
        ("[ab]?", ["ax", "by/z"], ["a", "cx"]),
        ("[!a]*", ["b", "bcd"], ["a", "ab"]),
        ("layer[1", ["layer[1"], ["layer1"]),
    ],
)
def test_a_pattern_means_these_paths_and_no_others(
    pattern: str, meant: list[str], others: list[str]
) -> None:
    assert [path for path in meant if not chosen(path, pattern)] == []
    assert [path for path in others if chosen(path, pattern)] == []


def test_without_patterns_everything_is_meant() -> None:
    assert scope_of([]) is None
    assert chosen("anything")


@given(PATHS, st.lists(PATTERNS, min_size=1, max_size=4))
def test_several_patterns_mean_what_any_of_them_does(path: str, patterns: list[str]) -> None:
    assert chosen(path, *patterns) == any(chosen(path, one) for one in patterns)


@given(PATHS, PATTERNS)
def test_what_a_pattern_means_is_what_an_expression_says(path: str, pattern: str) -> None:
    assert chosen(path, pattern) == (re.fullmatch(expression(pattern), path) is not None)


def expression(pattern: str) -> str:
    """Return the pattern as a regular expression, written apart from the code."""
    # What a folder matches means all in it, so `**` at the end adds nothing to it.
    parts = re.sub(r"(/[*]{2})+$", "", pattern).split("/")
    if parts == ["**"]:
        return ".*"
    text = "".join(r"(?:[^/]+/)*" if part == "**" else segment(part) + "/" for part in parts)
    return text.removesuffix("/") + r"(?:/.*)?"


def segment(text: str) -> str:
    found, at = "", 0
    while at < len(text):
        end = text.find("]", at + 2)
        if text[at] == "[" and end > 0:
            inside = text[at + 1 : end].replace("!", "^", 1)
            found += f"(?:(?!/)[{inside}])"
            at = end
        else:
            found += {"*": "[^/]*", "?": "[^/]"}.get(text[at], re.escape(text[at]))
        at += 1
    return found


@given(PATHS, PATHS)
def test_a_path_can_be_meant_to_the_letter(path: str, other: str) -> None:
    assert chosen(path, literally(path))
    assert chosen(other, literally(path)) == (other == path or other.startswith(path + "/"))


def test_equal_scopes_are_reached_on_different_ways() -> None:
    scope = scope_of(["**/x", "a/*/y"])
    assert scope is not None
    assert scope.enter("b") == scope.enter("b").enter("c")
    assert scope.enter("a") != scope.enter("b")
    assert scope.enter("x").everything


@pytest.mark.parametrize("text", ["", "/a", "a//b", "a/../b", "./a", "a/", "a\nb", "x" * 2000])
def test_what_is_no_path_inside_a_version_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        check_pattern(text)


def test_a_pattern_is_tidied_as_people_write_it() -> None:
    assert tidy("./models/") == "models"


def test_patterns_are_kept_until_all_is_there(tmp_path: Path) -> None:
    here, other = (Chosen(tmp_path / "paths", tmp_path / "tmp") for _ in range(2))
    assert here.scope is None
    here.change(["a", "b/*", "a"])
    assert other.patterns == ("a", "b/*")
    assert other.scope == scope_of(["b/*", "a"])
    other.change([])
    assert here.patterns == ()
    assert not (tmp_path / "paths").exists()


def test_more_patterns_than_a_request_has_room_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most 256"):
        Chosen(tmp_path / "paths", tmp_path / "tmp").change(map(str, range(257)))


@pytest.mark.parametrize("text", ["", "a", "a\n\n", "../x\n", "a\n\xff"])
def test_a_damaged_list_is_not_taken_for_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "paths").write_text(text, "latin-1")
    with pytest.raises(IntegrityError, match="damaged"):
        _ = Chosen(tmp_path / "paths", tmp_path / "tmp").scope

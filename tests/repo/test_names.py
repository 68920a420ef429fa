"""Names of files and refs: one rule for every operating system."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, MvcError, UsageError
from mvc.repo.names import check_branch, clash, folded, name_problem, nested, split_path

BAD_NAMES = [
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\x1b[31m",
    "a\tb",
    "a\x7f",
    "a\x85b",
    "name.",
    "name ",
    "con",
    "CON",
    "Aux.txt",
    "nul.safetensors",
    "COM1",
    "lpt9.bin",
    "com¹",
    "C:x",
    "c:",
    "file::$DATA",
    "file:$DATA",
    "a::b",
    ".mvc",
    ".MVC",
    ".Mvc",
    ".mvc ",
    ".mvc.",
    ".mvc:$DATA",
    ".mv\u200cc",
    "MVC~1",
    ".mvc~1",
    "right\u202eleft",
    "zero\u200bwidth",
    "\ufeffbom",
    "pipe|",
    "star*",
    "what?",
    "<angle>",
    'quo"te',
    "x" * 256,
    "é" * 128,
    "\ud800",
]
GOOD_NAMES = [
    "a",
    "model.safetensors",
    ".hidden",
    "a b",
    "-x",
    "日本語",
    "ü",
    "model:latest",
    "x" * 255,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_some_system_reads_otherwise_is_refused(name: str) -> None:
    assert name_problem(name)
    if "/" not in name:
        with pytest.raises(FormatError):
            split_path(f"folder/{name}")


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_a_harmless_name_is_allowed(name: str) -> None:
    assert name_problem(name) is None
    assert split_path(f"folder/{name}") == ("folder", name)


def test_a_path_that_is_too_deep_or_too_long_is_refused() -> None:
    assert split_path("/".join(["d"] * 64))
    with pytest.raises(FormatError, match="deep"):
        split_path("/".join(["d"] * 65))
    with pytest.raises(FormatError, match="long"):
        split_path("/".join(["d" * 200] * 25))


@pytest.mark.parametrize(
    ("one", "two"),
    [("A", "a"), ("straße", "STRASSE"), ("e\u0301", "é"), ("dir/x", "DIR/y"), ("\u017f", "s")],
)
def test_names_that_are_one_file_elsewhere_clash(one: str, two: str) -> None:
    assert clash(["other", one, two]) is not None
    assert clash([one, "other"]) is None


def test_a_path_and_one_below_it_are_found() -> None:
    assert nested(["a/b", "c", "a"]) == ("a", "a/b")
    assert nested(["a/b", "ab", "a-b/c", "c/d/e"]) is None


@given(st.text(max_size=20))
def test_any_text_is_either_a_sound_component_or_refused(name: str) -> None:
    if name_problem(name) is None:
        assert split_path(name) == (name,)
        assert name not in (".", "..")
        assert not set(name) & {"/", "\\", "\0"}
        assert folded(name) != ".mvc"
    elif "/" not in name:
        with pytest.raises(MvcError):
            split_path(name)


BAD_REFS = [
    "",
    "HEAD",
    "@",
    "-x",
    "../x",
    "/a",
    "a/",
    "a//b",
    "a..b",
    "x.lock",
    "x.lock/y",
    ".a",
    "a/.b",
    "a.",
    "@{1}",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?b",
    "a*b",
    "a[b",
    "a\\b",
    "a\nb",
    "a\x1bb",
    "refs/heads/x",
    "x" * 256,
    "0" * 64,
    "0" * 40,
    "\ud800",
]


@pytest.mark.parametrize("name", BAD_REFS, ids=ascii)
def test_a_name_that_a_revision_could_not_say_is_no_branch(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_branch(name)
    assert "\n" not in caught.value.message
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("name", ["main", "devices/car-17", "v1.0", "ü/ß", "0123456"])
def test_a_plain_name_can_be_a_branch(name: str) -> None:
    assert check_branch(name) == name

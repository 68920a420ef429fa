from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from mvc.diff.text import MAX_LINES, MAX_TEXT, as_text, unified


def apply(old: str, hunks: str) -> str:
    """Apply hunks as `patch` would, trusting nothing but their numbers."""
    source = old.split("\n")
    source = [line + "\n" for line in source[:-1]] + ([source[-1]] if source[-1] else [])
    out: list[str] = []
    at = 0
    lines = hunks.split("\n")
    for number, line in enumerate(lines[:-1]):
        bare = lines[number + 1].startswith("\\")
        content = line[1:] + ("" if bare else "\n")
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            begin = int(start) - (length != "0")
            out += source[at:begin]
            at = begin
        elif line.startswith("+"):
            out.append(content)
        elif line[:1] in " -":
            assert source[at] == content
            out += [content] if line[0] == " " else []
            at += 1
    return "".join(out + source[at:])


TEXTS = st.lists(st.sampled_from(["a", "b", "\r", "{", "", "\u2028x"]), max_size=30).map("\n".join)


@given(TEXTS, TEXTS)
def test_hunks_turn_the_old_text_into_the_new(old: str, new: str) -> None:
    hunks = unified(old, new)
    assert hunks is not None
    assert apply(old, hunks) == new
    assert (hunks == "") == (old == new)


def test_a_changed_value_is_shown_with_three_lines_of_context() -> None:
    old = "".join(f"line {number}\n" for number in range(20))
    new = old.replace("line 10\n", "line ten\n")
    assert unified(old, new) == (
        "@@ -8,7 +8,7 @@\n line 7\n line 8\n line 9\n-line 10\n+line ten\n"
        " line 11\n line 12\n line 13\n"
    )


def test_a_missing_last_newline_is_told() -> None:
    assert unified("a\n", "a") == "@@ -1 +1 @@\n-a\n+a\n\\ No newline at end\n"


def test_bytes_that_are_no_text_or_too_many_have_no_text() -> None:
    assert as_text(b"plain") == "plain"
    assert as_text(b"nul\0") is None
    assert as_text(b"\xff\xfe") is None
    assert as_text(b"x" * (MAX_TEXT + 1)) is None


def test_a_long_vocabulary_with_one_more_word_is_compared_at_once() -> None:
    words = "".join(f"word{number}\n" for number in range(30_000))
    began = time.monotonic()
    hunks = unified(words, words + "new\n")
    assert hunks is not None
    assert hunks.endswith("+new\n")
    assert time.monotonic() - began < 5


def test_texts_that_differ_everywhere_are_not_matched_line_by_line() -> None:
    assert unified("a\n" * (MAX_LINES + 1), "b\n" * (MAX_LINES + 1)) is None

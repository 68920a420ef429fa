from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mvc.base.escape import escaped, escaped_json, escaped_lines
from tests.cli.console import Console


def test_controls_are_shown_and_not_obeyed() -> None:
    assert escaped("a\x1b[2Jb\r\n\tc\x7f\x9b") == "a\\x1b[2Jb\\r\\n\\tc\\x7f\\x9b"
    assert escaped("\u202eabc\u200b\u2028\ufeff\U000e0041") == (
        "\\u202eabc\\u200b\\u2028\\ufeff\\U000e0041"
    )


def test_ordinary_text_of_any_language_stays() -> None:
    text = "größe модель 模型 نموذج 🚗"
    assert escaped(text) == text


def test_a_message_keeps_its_lines() -> None:
    assert escaped_lines("one\ntwo\x1b\n\tthree\n") == ["one", "two\\x1b", "    three"]


@given(st.text(st.characters(exclude_categories=[])))
def test_escaped_json_means_the_same_and_is_obeyed_by_no_terminal(text: str) -> None:
    shown = escaped_json(json.dumps({text: [text]}, indent=2, ensure_ascii=False))
    assert json.loads(shown) == {text: [text]}
    assert escaped(shown.replace("\n", "")) == shown.replace("\n", "")


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_shown_has_controls_formats_or_lone_surrogates(text: str) -> None:
    shown = escaped(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [char for char in shown if unicodedata.bidirectional(char) in BIDI]
    shown.encode("utf-8")


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_a_hostile_message_and_label_cannot_draw_on_the_terminal(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("\x1b]0;title\x07subject\n\x1b[2Jbody", "--label", "k\x1b[1m=v\x1b[0m\nx")
    for command in (["log"], ["log", "--oneline"], ["show"], ["branch", "-v"], ["reflog"]):
        assert "\x1b" not in mvc(*command).out
    assert mvc("log", "--json").json[0]["message"] == "\x1b]0;title\x07subject\n\x1b[2Jbody"

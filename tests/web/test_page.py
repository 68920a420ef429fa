from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.web.page import as_inert_json, render
from mvc.web.wording import exact, figure, inexact

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(ANY_JSON)
def test_json_in_a_page_reads_back_and_never_ends_its_element(value: Any) -> None:
    text = as_inert_json(value)
    assert not set(text) & set("<>&")
    assert text.isascii()
    assert json.loads(text) == value


def test_a_page_cannot_hold_numbers_that_are_no_json() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        as_inert_json({"x": float("nan")})


def page(**changes: Any) -> str:
    view = {
        "title": "t",
        "sides": (),
        "headline": "h",
        "largest": None,
        "elements": 0,
        "changed_share": "",
        "l2": None,
        "facts": (),
        "sections": (),
        "files_hidden": 0,
    }
    return render("diff.html", {}, **{**view, **changes})


def test_a_page_allows_its_own_style_and_script_and_no_request() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page())
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"].startswith("'sha256-")
    assert rules["script-src"].startswith("'sha256-")
    assert "unsafe" not in policy[1]


def test_a_page_has_no_address_and_no_inline_style_or_handler() -> None:
    text = page()
    assert "://" not in text
    assert not re.search(r"\s(style|on\w+)=", text)


@given(st.text())
def test_text_of_a_page_is_escaped_and_harmless(text: str) -> None:
    made = page(headline=f"<i>{text}\x1b")
    inside = made.split('class="headline">')[1].split("</p>")[0]
    assert "<" not in inside
    assert "\x1b" not in inside
    assert inside.startswith("&lt;i&gt;")


@pytest.mark.parametrize(
    ("value", "three", "two"),
    [
        (None, "–", "–"),  # noqa: RUF001
        (0.0, "0", "0"),
        (0.00123456, "0.00123", "0.0012"),
        (0.000012345, "1.23e-5", "1.2e-5"),
        (12345.6, "12,346", "1.2e4"),
        (3.2e9, "3.20e9", "3.2e9"),
        (-0.5, "-0.5", "-0.5"),
    ],
)
def test_numbers_are_short(value: float | None, three: str, two: str) -> None:
    assert (figure(value), inexact(value)) == (three, two)


@given(st.floats(allow_nan=False))
def test_exact_numbers_read_back_the_same(value: float) -> None:
    assert float(exact(value)) == value
    assert exact(None) == ""

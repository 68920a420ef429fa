from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.diff import fields, tokens
from mvc.diff.findings import FieldChange


def changes(old: Any, new: Any) -> list[tuple[str, str | None, str | None]]:
    found = fields.changes(old, new)
    assert found is not None
    return [(item.path, item.old, item.new) for item in found]


def test_fields_are_named_by_their_path() -> None:
    old = {"a": {"b": [{"c": 1}, {"c": 2}]}, "gone": True, "same": None}
    new = {"a": {"b": [{"c": 1}, {"c": 3}, {}]}, "same": None, "x y": "new"}
    assert changes(old, new) == [
        ("a.b[1].c", "2", "3"),
        ("a.b[2]", None, "{}"),
        ("gone", "true", None),
        ('["x y"]', None, '"new"'),
    ]


def test_one_and_true_and_a_float_are_three_values() -> None:
    assert changes({"a": 1}, {"a": 1.0}) == [("a", "1", "1.0")]
    assert changes({"a": 1}, {"a": True}) == [("a", "1", "true")]
    assert changes({"a": float("nan")}, {"a": float("nan")}) == []


def test_short_lists_are_one_value() -> None:
    assert changes({"a": [1, 2]}, {"a": [1, 3]}) == [("a", "[1, 2]", "[1, 3]")]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("a.txt", b"{}"),
        ("a.json", b"{"),
        ("a.json", b"\xff"),
        ("a.json", b"3"),
        ("a.json", b"[" * 100_000),
        ("a.json", b'{"a": ' + b"9" * 10_000 + b"}"),
        ("a.toml", b"a = "),
    ],
)
def test_what_is_no_configuration_stays_text(path: str, data: bytes) -> None:
    assert fields.parse(path, data) is None


def test_toml_and_json_are_read() -> None:
    assert fields.parse("a.TOML", b"[a]\nb = 1\n") == {"a": {"b": 1}}
    assert fields.parse("dir/a.json", b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below),
    max_leaves=12,
)


@given(JSON, JSON)
def test_only_equal_values_have_no_changes(old: Any, new: Any) -> None:
    assert (changes({"v": old}, {"v": new}) == []) == (
        json.dumps(old) == json.dumps(new)
        or (json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True))
    )


def tokenizer(vocabulary: Any, added: list[str] = [], merges: Any = ()) -> dict[str, Any]:  # noqa: B006
    number = len(vocabulary)
    extra = [{"id": number + place, "content": token} for place, token in enumerate(added)]
    model = {"type": "BPE", "vocab": vocabulary, "merges": list(merges)}
    return {"model": model, "added_tokens": extra, "truncation": None}


def test_tokens_and_merges_are_counted() -> None:
    old = tokens.split(tokenizer({"a": 0, "b": 1, "c": 2}, merges=["a b"]))
    new = tokens.split(tokenizer({"a": 0, "c": 1}, ["<x>"], [["a", "b"], ["b", "c"]]))
    assert old is not None
    assert new is not None
    found = tokens.compare(old[0], new[0], (old[1], new[1]))
    assert (found.added, found.removed, found.renumbered) == (1, 1, 1)
    assert (found.added_sample, found.removed_sample) == (("<x>",), ("b",))
    assert (found.merges_added, found.merges_removed) == (1, 0)
    assert fields.changes(old[2], new[2]) == ()


def test_a_list_of_scored_tokens_is_a_vocabulary_too() -> None:
    found = tokens.split(tokenizer([["<unk>", 0.0], ["a", -1.5]]))
    assert found is not None
    assert found[0] == {"<unk>": 0, "a": 1}


@pytest.mark.parametrize(
    "document",
    [[], {}, {"model": 3}, {"model": {"vocab": 3}}, {"model": {"vocab": {}}, "added_tokens": [3]}],
)
def test_other_documents_are_no_tokenizers(document: Any) -> None:
    assert tokens.split(document) is None


def test_long_values_are_cut() -> None:
    (change,) = fields.changes({"a": "x" * 999}, {"a": "y"}) or ()
    assert isinstance(change, FieldChange)
    assert change.old is not None
    assert len(change.old) == fields.MAX_VALUE

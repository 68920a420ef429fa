"""Messages come back as they were sent, and malformed ones raise FormatError alone."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    LimitError,
    MissingObjectError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    StorageError,
    UsageError,
)
from mvc.base.ids import ObjectId
from mvc.objects import canonical
from mvc.sync.limits import (
    MAX_BASES,
    MAX_CHANGES,
    MAX_IDS,
    MAX_MESSAGE,
    MAX_PARTS,
    MAX_PREFIXES,
    MAX_REFS,
    MAX_TEXT,
)
from mvc.sync.link import refusal, refused
from mvc.sync.messages import (
    REPLIES as FORMS,
)
from mvc.sync.messages import (
    VERBS,
    Done,
    GiveRequest,
    MissingRequest,
    PartRequest,
    RefsRequest,
    Refusal,
    VersionError,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    planned,
)
from tests.sync.strategies import REPLIES, entries, refusals, requests

ID = ObjectId(b"\x01" * 32)


def numbered(count: int) -> tuple[ObjectId, ...]:
    return tuple(ObjectId(number.to_bytes(32, "big")) for number in range(count))


@given(requests)
def test_requests_come_back(request_: Any) -> None:
    data = encode_request(request_)
    assert decode_request(data) == request_
    assert encode_request(decode_request(data)) == data


@given(st.data(), st.sampled_from([*FORMS]))
def test_replies_and_refusals_come_back(data: st.DataObject, request_: Any) -> None:
    reply = data.draw(REPLIES[request_] | refusals)
    coded = encode_reply(reply)
    assert decode_reply(coded, request_) == reply
    assert encode_reply(decode_reply(coded, request_)) == coded


@given(entries)
def test_entries_of_a_plan_come_back(entry: Any) -> None:
    assert planned(canonical.decode(entry.encode())) == entry


@given(st.binary(max_size=300), st.sampled_from([*FORMS]))
def test_any_bytes_raise_format_error_alone(data: bytes, request_: Any) -> None:
    with suppress(FormatError):
        decode_request(data)
    with suppress(FormatError):
        decode_reply(data, request_)


@given(requests, st.data())
def test_damaged_requests_raise_format_error_alone(request_: Any, data: st.DataObject) -> None:
    coded = bytearray(encode_request(request_))
    at = data.draw(st.integers(0, len(coded) - 1))
    coded[at] ^= data.draw(st.integers(1, 255))
    with suppress(FormatError):
        decode_request(bytes(coded))
    with pytest.raises(FormatError):
        decode_request(bytes(coded[:at]))


leaves = st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.binary(max_size=33)
values = st.recursive(
    leaves | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from([*VERBS]), st.data())
def test_values_of_any_kind_are_checked(verb: str, data: st.DataObject) -> None:
    keys = VERBS[verb].CHECKS.keys()
    found = {key: data.draw(values) for key in keys}
    coded = canonical.encode({"mvc": 1, "verb": verb, **found})
    with suppress(FormatError):
        assert encode_request(decode_request(coded)) == coded
    keys = FORMS[VERBS[verb]].CHECKS.keys()
    coded = canonical.encode({"ok": True, **{key: data.draw(values) for key in keys}})
    with suppress(FormatError):
        assert encode_reply(decode_reply(coded, VERBS[verb])) == coded


@given(entries, values, st.integers(0, 3))
def test_entries_of_any_kind_are_checked(entry: Any, value: Any, place: int) -> None:
    row: list[Any] = [*entry]
    row[place] = value
    with suppress(FormatError):
        assert planned(row) == tuple(row)
    with pytest.raises(FormatError):
        planned([*row, None])


@given(requests, st.data())
def test_a_request_has_its_keys_and_no_others(request_: Any, data: st.DataObject) -> None:
    found = canonical.decode(encode_request(request_))
    gone = data.draw(st.sampled_from(sorted(found)))
    with pytest.raises(FormatError):
        decode_request(canonical.encode({key: found[key] for key in found.keys() - {gone}}))
    with pytest.raises(FormatError):
        decode_request(canonical.encode(found | {"more": None}))


def coded(verb: str, **changed: Any) -> bytes:
    """Return a request with some values that its class would not take."""
    whole = {
        "refs": {"prefixes": [], "after": "", "known": None},
        "missing": {"bases": [], "ids": []},
        "update": {"push": b"p" * 16, "parts": [], "bases": [], "changes": [], "atomic": False},
        "give": {"wants": [], "objects": [], "heads": False},
    }[verb]
    return canonical.encode({"mvc": 1, "verb": verb, **whole, **changed})


@pytest.mark.parametrize("version", [0, 2, True, None, "1", 1.0])
def test_other_versions_are_refused_as_such(version: object) -> None:
    message = canonical.encode({"mvc": version, "verb": "part", "new": 1})
    with pytest.raises(VersionError) as caught:
        decode_request(message)
    assert refusal(caught.value).error == "version"


@pytest.mark.parametrize("verb", [None, 5, "", "Refs", b"refs", ["refs"]])
def test_other_verbs_are_refused(verb: object) -> None:
    with pytest.raises(FormatError):
        decode_request(canonical.encode({"mvc": 1, "verb": verb}))


@pytest.mark.parametrize(
    ("verb", "key", "most", "item"),
    [
        ("missing", "ids", MAX_IDS, None),
        ("missing", "bases", MAX_BASES, None),
        ("refs", "prefixes", MAX_PREFIXES, "refs/"),
        ("update", "parts", MAX_PARTS, None),
        ("update", "changes", MAX_CHANGES, ["refs/heads/main", None, None, False]),
        ("give", "objects", MAX_IDS, None),
    ],
)
def test_arrays_have_limits(verb: str, key: str, most: int, item: object) -> None:
    listed: list[Any] = [item] * (most + 1) if item else [*numbered(most + 1)]
    if key == "objects":
        listed = [[name, None] for name in listed]
    decode_request(coded(verb, **{key: listed[:-1]}))
    with pytest.raises(LimitError):
        decode_request(coded(verb, **{key: listed}))


def test_texts_have_a_limit() -> None:
    decode_request(coded("refs", after="ä" * (MAX_TEXT // 2)))
    with pytest.raises(LimitError):
        decode_request(coded("refs", after="ä" * (MAX_TEXT // 2) + "a"))


def test_ids_are_named_once() -> None:
    with pytest.raises(FormatError, match="twice"):
        decode_request(coded("missing", ids=[ID, ID]))
    with pytest.raises(FormatError, match="twice"):
        decode_request(coded("give", objects=[[ID, None], [ID, None]]))


def test_messages_have_a_limit() -> None:
    with pytest.raises(LimitError):
        decode_request(b"\x00" * (MAX_MESSAGE + 1))
    with pytest.raises(LimitError):
        decode_reply(b"\x00" * (MAX_MESSAGE + 1), PartRequest)
    with pytest.raises(LimitError):
        encode_request(RefsRequest(("x" * MAX_TEXT,) * (MAX_MESSAGE // MAX_TEXT)))
    most = encode_request(MissingRequest(numbered(MAX_BASES), numbered(MAX_IDS)))
    assert len(most) < MAX_MESSAGE
    pairs = tuple((name, name) for name in numbered(MAX_IDS))
    assert len(encode_request(GiveRequest(numbered(MAX_BASES), pairs))) < MAX_MESSAGE  # type: ignore[arg-type]
    assert MAX_REFS * (255 + 40) < MAX_MESSAGE


@pytest.mark.parametrize(
    "value", [{}, {"ok": False}, {"ok": 1}, {"ok": True, "error": "x"}, {"error": "x"}, [], None]
)
def test_what_is_no_reply_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        decode_reply(canonical.encode(value), PartRequest)
    assert decode_reply(canonical.encode({"ok": True}), PartRequest) == Done()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), "usage"),
        (NotAllowedError("x"), "not-allowed"),
        (NotFoundError("x"), "not-found"),
        (MissingObjectError("x"), "missing-object"),
        (IntegrityError("x"), "integrity"),
        (FormatError("x"), "format"),
        (LimitError("x"), "limit"),
        (StorageError("x"), "storage"),
        (NetworkError("x"), "internal"),
    ],
)
def test_errors_travel_as_codes(error: Any, code: str) -> None:
    told = refusal(error)
    assert told.error == code
    back = refused(told)
    assert back.message == "the server refused: x"
    assert isinstance(back, type(error) | NetworkError)


def test_what_a_server_says_cannot_steer_a_terminal() -> None:
    shown = refused(Refusal("auth", "\x1b[2Jgone\u202e\n", "\x07" * 5000, again=False))
    assert shown.message == "the server refused: ?[2Jgone??"
    assert shown.hint == "?" * 1000

from __future__ import annotations

import pickletools
import struct
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import PAYLOADS
from hypothesis import given
from hypothesis import strategies as st
from torch_files import dumps, opcodes

from mvc.base.errors import FormatError, LimitError
from mvc.formats import pickle_stream, torch_state
from mvc.formats.base import BytesSource
from mvc.formats.pickle_stream import Global, Loaded, Mapping, Opaque, PersistentId, Record

FORBIDDEN = ("import", "exec", "compile", "os.", "subprocess.", "socket.", "open", "ctypes.")

_watching = False
_seen: list[str] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event.startswith(FORBIDDEN):
        _seen.append(event)


sys.addaudithook(_hook)


@pytest.fixture
def audit() -> Iterator[list[str]]:
    global _watching
    _seen.clear()
    _watching = True
    yield _seen
    _watching = False


def load(data: bytes, offset: int = 0) -> Loaded:
    return pickle_stream.load(BytesSource(data), offset)


def survives(data: bytes) -> None:
    message = ""
    try:
        loaded = load(data)
        torch_state.storages(loaded)
        torch_state.collect(loaded.value, set())
    except FormatError as error:
        message = error.message
    assert len(message) < 300


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple),
        max_leaves=30,
    )
)
def test_plain_values_come_back(value: Any) -> None:
    assert load(dumps(value)).value == value


PLAIN = {
    "INT": (b"I12\n.", 12),
    "INT as bool": (b"I01\n.", True),
    "LONG": (b"L12L\n.", 12),
    "LONG4": (b"\x8b\x02\0\0\0\xff\xff.", -1),
    "BININT": (b"J\xff\xff\xff\xff.", -1),
    "BININT2": (b"M\x01\x01.", 257),
    "FLOAT": (b"F1.5\n.", 1.5),
    "STRING": (b"S'abc'\n.", "abc"),
    "BINSTRING": (b"T\x02\0\0\0ab.", "ab"),
    "UNICODE": (b"V\\u00e9\n.", "é"),
    "BINUNICODE8": (b"\x8d" + struct.pack("<Q", 2) + b"ab.", "ab"),
    "LIST": (b"(K\x01K\x02l.", [1, 2]),
    "APPEND": (b"]K\x01a.", [1]),
    "TUPLE3": (b"K\x01K\x02K\x03\x87.", (1, 2, 3)),
    "POP": (b"K\x01K\x020.", 1),
    "POP to mark": (b"K\x01(K\x021.", 1),
    "DUP": (b"K\x012\x86.", (1, 1)),
    "PUT and GET": (b"K\x05p7\n0g7\n.", 5),
    "MEMOIZE": (b"K\x05\x940h\0.", 5),
    "FRAME": (b"\x80\x04\x95\x02\0\0\0\0\0\0\0K\x01.", 1),
}


@pytest.mark.parametrize(("data", "value"), PLAIN.values(), ids=PLAIN.keys())
def test_an_opcode_means_what_pickletools_says(data: bytes, value: Any) -> None:
    assert load(data).value == value
    assert load(data).end == len(data)


def test_every_opcode_of_pickletools_is_known() -> None:
    known = {ord(opcode.code) for opcode in pickletools.opcodes} - {ord(".")}
    assert {code for code, op in enumerate(pickle_stream._OPERATIONS) if op} == known


def test_bytes_are_stepped_over_and_not_read() -> None:
    value = load(b"\x8e" + struct.pack("<Q", 300_000) + bytes(300_000) + b".").value
    assert isinstance(value, Opaque)
    assert (value.offset, value.length) == (9, 300_000)


def test_pickles_one_after_another_end_where_they_end() -> None:
    first, second = dumps(["a" * 70_000, 1]), dumps({"b": 2})
    loaded = load(b"junk" + first + second + b"rest", 4)
    assert loaded.end == 4 + len(first)
    assert load(b"junk" + first + second + b"rest", loaded.end).end == 4 + len(first + second)


def test_persistent_ids_are_listed() -> None:
    assert [ref.value for ref in load(b"(Pabc\nK\x01Qt.").persistent] == ["abc", 1]


def test_sets_and_dicts_are_inert() -> None:
    assert isinstance(load(b"(K\x01K\x02d.").value, Mapping)
    assert load(b"(]\x91.").value.items == [[]]


def test_the_audit_hook_would_notice(audit: list[str], tmp_path: Path) -> None:
    (tmp_path / "canary").open("w").close()
    assert "open" in audit


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_malicious_pickle_runs_nothing(
    payload: bytes, audit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    audit.clear()
    survives(payload)
    happened = list(audit)
    assert happened == []
    assert set(sys.modules) == before
    assert list(tmp_path.iterdir()) == []


def test_a_call_is_a_record_of_names() -> None:
    value = load(PAYLOADS["REDUCE"]).value
    assert isinstance(value, Record)
    assert (value.func, value.args) == (Global("os", "system"), ("touch CANARY",))


MALFORMED = {
    "nothing": b"",
    "no stop": b"N",
    "stop without a value": b".",
    "unknown opcode": b"\xff.",
    "pop of nothing": b"0.",
    "no mark": b"K\x01t.",
    "tuple of too few": b"K\x01\x87.",
    "append to a number": b"K\x01K\x01a.",
    "set item of a list": b"]K\x01K\x01s.",
    "odd number of items": b"}(K\x01u.",
    "state for a list": b"]}b.",
    "unknown memo": b"h\x05.",
    "class of numbers": b"K\x01K\x02\x93.",
    "LONG4 of 2 GB": b"\x8b\xff\xff\xff\x7f.",
    "LONG4 of a negative length": b"\x8b\xff\xff\xff\xff.",
    "BINBYTES8 of 2^63": b"\x8e" + struct.pack("<Q", 2**63) + b".",
    "BINUNICODE8 of 2^64-1": b"\x8d" + b"\xff" * 8 + b".",
    "BYTEARRAY8 of 2^62": b"\x96" + struct.pack("<Q", 2**62) + b".",
    "BINSTRING of a negative length": b"T\xff\xff\xff\xff.",
    "an integer of 5000 digits": b"I" + b"1" * 5000 + b"\n.",
    "no integer": b"Ix\n.",
    "no float": b"Fx\n.",
    "no quotes": b"Sabc\n.",
    "no newline": b"I12",
    "bad UTF-8": b"\x8c\x01\xff.",
    "bad escape": b"V\\u12\n.",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_pickle_is_refused(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            load(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_of_2_to_the_63_allocates_nothing() -> None:
    assert load(b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.").value is None


def test_a_billion_laughs_stay_cheap() -> None:
    laughs = b"]q\x00" + b"".join(
        b"]q" + bytes([i]) + b"(" + (b"h" + bytes([i - 1])) * 10 + b"e" for i in range(1, 100)
    )
    start = time.perf_counter()
    survives(laughs + b".")
    assert time.perf_counter() - start < 2


def test_a_list_in_itself_is_walked_once() -> None:
    survives(b"]q\x00h\x00a.")


@pytest.mark.parametrize("unit", [b"]", b"(", b"}S'a'\n"], ids=["lists", "marks", "dicts"])
def test_deep_nesting_does_not_recurse(unit: bytes) -> None:
    depth = 200_000
    closing = {b"]": b"a" * (depth - 1), b"(": b"t" * depth}.get(unit, b"Ns" + b"s" * (depth - 1))
    survives(unit * depth + closing + b".")


def test_deep_tuples_do_not_recurse_when_used_as_keys() -> None:
    survives(b"})" + b"\x85" * 300_000 + b"Ns.")


def test_names_that_grow_with_depth_are_cut() -> None:
    deep = b"}" + b"".join(opcodes("k" * 4000) + b"}" for _ in range(200)) + b"s" * 200
    _, notes = torch_state.collect(load(deep + b".").value, set())
    assert "too deep" in notes[0]


@pytest.mark.parametrize(
    ("limit", "value", "data"),
    [
        ("MAX_STEPS", 100, b"N0" * 100 + b"N."),
        ("MAX_OBJECTS", 100, b"]" * 101 + b"."),
        ("MAX_MEMO", 100, b"N" + b"\x94" * 101 + b"."),
        ("MAX_TOTAL_TEXT", 100, (b"\x8c\x32" + b"a" * 50) * 3 + b"."),
    ],
)
def test_a_budget_is_kept(
    limit: str, value: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle_stream, limit, value)
    with pytest.raises(LimitError):
        load(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    survives(data)


OPCODES = st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes])


@given(st.lists(OPCODES | st.binary(max_size=4) | st.just(b"a\nb\n"), max_size=60))
def test_arbitrary_opcodes_raise_only_format_errors(parts: list[bytes]) -> None:
    survives(b"".join(parts) + b".")


def test_a_pickle_read_across_windows_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    value = [{"k": i} for i in range(50)] + ["text" * 10, 1.5, (1, None)]
    data = dumps([1, "text" * 10, 1.5, (1, None)]) + dumps(value)
    monkeypatch.setattr(pickle_stream, "_WINDOW", 1)
    first = load(data)
    assert first.value == [1, "text" * 10, 1.5, (1, None)]
    assert load(data, first.end).end == len(data)


def test_a_persistent_id_may_be_called() -> None:
    assert isinstance(load(b"Pmodule\n)\x81.").value.func, PersistentId)

from __future__ import annotations

import contextlib
import subprocess
import sys

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, LimitError, MvcError
from mvc.base.ids import ObjectId
from mvc.objects import canonical, history, model, tree

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
)
lists = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=20)
values = st.recursive(
    lists, lambda inner: st.dictionaries(st.text(st.characters(codec="utf-8")), inner), max_leaves=9
)


@given(values)
def test_a_value_comes_back_and_has_one_encoding(value: object) -> None:
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    assert canonical.encode(canonical.decode(data)) == data


@given(st.binary(max_size=200))
def test_random_bytes_are_either_canonical_or_refused(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except FormatError:
        return
    assert canonical.encode(value) == data


def test_the_order_of_keys_is_that_of_code_points() -> None:
    keys = ["", "Z", "a", "é", "\uffff", "\U0001f600"]
    data = canonical.encode(dict.fromkeys(reversed(keys), 0))
    assert list(canonical.decode(data)) == keys
    assert [key.encode() for key in keys] == sorted(key.encode() for key in keys)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "nothing"),
        (b"\x01\x02", "trailing byte"),
        (b"\xcc\x01", "number not in its shortest form"),
        (b"\xd0\x01", "signed form of a positive number"),
        (b"\xcd\x00\xff", "number not in its shortest form"),
        (b"\xd9\x01a", "text not in its shortest form"),
        (b"\xc5\x00\x01a", "bytes not in their shortest form"),
        (b"\xdc\x00\x01\x00", "array not in its shortest form"),
        (b"\xde\x00\x00", "map not in its shortest form"),
        (b"\xca\x3f\x80\x00\x00", "32-bit float"),
        (b"\x82\xa1b\x00\xa1a\x00", "keys out of order"),
        (b"\x82\xa1a\x00\xa1a\x01", "a key twice"),
        (b"\x81\x01\x00", "a key that is no text"),
        (b"\x81\xc4\x01a\x00", "a key of bytes"),
        (b"\xa1\xff", "text that is not UTF-8"),
        (b"\xa3\xed\xa0\x80", "a surrogate"),
        (b"\xc1", "the byte that is never used"),
        (b"\xd4\x05a", "an extension"),
        (b"\xd6\xff\x00\x00\x00\x01", "a timestamp"),
        (b"\x92\x00\xd6\xff\x00\x00\x00\x01", "a timestamp inside"),
        (b"\x91", "cut off"),
        (b"\xdd\xff\xff\xff\xff", "four thousand million items"),
        (b"\xdf\xff\xff\xff\xff", "a map of as many"),
        (b"\xc6\xff\xff\xff\xff", "as many bytes"),
        (b"\x91" * 100_000 + b"\x00", "deep nesting"),
        (b"\xdd\x00\x00\xff\xff" * 2000, "deep nesting of announced arrays"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bytes_that_encoding_never_gives_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(FormatError):
        canonical.decode(data)


@pytest.mark.parametrize(
    "value", ["\udcff", {"\ud800": 1}, 2**64, -(2**63) - 1, [2**70], object(), {1: 2, "a": 3}]
)
def test_values_without_an_encoding_are_refused(value: object) -> None:
    with pytest.raises(FormatError):
        canonical.encode(value)


def test_objects_have_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "MAX_OBJECT", 100)
    data = msgpack.packb(b"x" * 98, use_bin_type=True)
    assert canonical.decode(data) == b"x" * 98
    with pytest.raises(LimitError):
        canonical.encode(b"x" * 99)
    with pytest.raises(LimitError):
        canonical.decode(data + b"x")


def test_announcing_huge_arrays_costs_no_memory() -> None:
    program = (
        "import resource\n"
        "from mvc.objects import canonical\n"
        "from mvc.base.errors import FormatError\n"
        "size = 8 << 20\n"
        "data = (b'\\xdd' + (size - 5000).to_bytes(4, 'big')) * 900\n"
        "data += b'\\x00' * (size - len(data))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "try:\n    canonical.decode(data)\n"
        "except FormatError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.parametrize(
    "call",
    [
        lambda: canonical.fields([], ("a",)),
        lambda: canonical.fields({"a": 1, "b": 2}, ("a",)),
        lambda: canonical.fields({}, ("a",)),
        lambda: canonical.text(b"a", 10),
        lambda: canonical.text("ä" * 6, 10),
        lambda: canonical.natural(True),
        lambda: canonical.natural(-1),
        lambda: canonical.natural(11, 10),
        lambda: canonical.natural(1.0),
        lambda: canonical.array((), 10),
        lambda: canonical.array([0] * 11, 10),
        lambda: canonical.raw("a"),
        lambda: canonical.raw(b"abc", 4),
    ],
)
def test_a_field_of_another_type_or_size_is_refused(call) -> None:
    with pytest.raises(MvcError):
        call()


@given(values)
def test_values_are_counted_as_they_are(value: object) -> None:
    data = canonical.encode(value)
    count = counted(value)
    canonical._count(data, count)
    with pytest.raises(LimitError):
        canonical._count(data, count - 1)


def counted(value: object) -> int:
    if isinstance(value, list):
        return 1 + sum(map(counted, value))
    if isinstance(value, dict):
        return 1 + sum(1 + counted(item) for item in value.values())
    return 1


@given(st.binary(max_size=200))
def test_counting_random_bytes_raises_only_format_errors(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except FormatError:
        with contextlib.suppress(FormatError):
            canonical._count(data, 1000)
    else:
        canonical._count(data, counted(value))


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256, 65535, 65536])
def test_values_of_every_length_are_counted(length: int) -> None:
    for value in (b"x" * length, "x" * length, [None] * length, [-33] * length):
        canonical._count(canonical.encode(value), counted(value))
    if length:
        value = {f"{number:06}": 2.5 for number in range(length)}
        canonical._count(canonical.encode(value), counted(value))


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\x00\x01\x11\x70" + b"\x90" * 70_000,
        b"\xdd\x00\x01\x11\x70" + b"\xa2ab" * 70_000,
        b"\x92" * 70_000 + b"\x90" * 70_001,
        b"\x91" * 70_000 + b"\xc0",
        b"\xdd\x00\x0f\x42\x40" * 15_000,
        (b"\xdd\x00\x0f\x42\x40" + b"\x90" * 999_999) * 8,
    ],
    ids=["arrays", "texts", "a long tail", "deep", "announced", "half full"],
)
def test_a_large_object_of_too_many_or_too_deep_values_is_refused_before_it_is_made(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(msgpack, "unpackb", lambda *_, **__: pytest.fail("was made"))
    with pytest.raises(LimitError):
        canonical.decode(data, 1000)


def test_each_kind_has_as_many_values_as_it_may_need() -> None:
    assert 1 + tree.MAX_ENTRIES * counted(["", 0, b"", 0]) == tree.MAX_VALUES
    content = model.Content(4 << 20, 4, b"", (ObjectId(bytes(32)),))
    tensor = model.Tensor("float32", (1 << 20,), content)
    room = counted(canonical.decode(tensor.encode())) + model.MAX_CHUNKS + model.MAX_RANK
    assert room <= model.MAX_VALUES
    commit = history.Commit(ObjectId(bytes(32)), (), "a", 0, "")
    metric = counted(["", "", "", 0.0])
    room = counted(canonical.decode(commit.encode())) + history.MAX_PARENTS
    assert room + (2 + 2 + metric) * history.MAX_PAIRS <= history.MAX_VALUES


def test_what_cannot_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "MAX_VALUES", 70_000)
    assert canonical.encode([0] * 69_999)
    with pytest.raises(LimitError):
        canonical.encode([0] * 70_000)
    with pytest.raises(LimitError):
        canonical.encode([[[[[[[[[b"x" * 70_000]]]]]]]]])

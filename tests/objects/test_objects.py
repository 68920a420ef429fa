from __future__ import annotations

import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import dtypes
from mvc.base.errors import FormatError
from mvc.base.ids import ObjectId, digest, object_id
from mvc.objects import canonical, history, tree
from mvc.objects.history import Commit, Metric, Signature, Tag
from mvc.objects.model import (
    Blob,
    Checkpoint,
    Content,
    Layout,
    Literal,
    Placed,
    Tensor,
    ViewOf,
    chunk_id,
)
from mvc.objects.tree import Entry, Tree, tensor_path
from tests.objects.samples import every

ID = ObjectId(bytes(32))
SHA = bytes(32)
KINDS = (Tensor, Blob, Layout, Checkpoint, Tree, Commit, Tag)


def packed(value: object) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))


@given(every)
def test_every_object_comes_back_from_its_bytes(item) -> None:
    data = item.encode()
    again = type(item).decode(data)
    assert again == item
    assert again.encode() == data


@given(every, st.data())
def test_a_changed_byte_gives_another_object_or_none(item, data: st.DataObject) -> None:
    raw = bytearray(item.encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    for kind in KINDS:
        try:
            again = kind.decode(bytes(raw))
        except FormatError:
            continue
        assert again.encode() == raw


@given(every, st.data())
def test_a_cut_object_is_refused(item, data: st.DataObject) -> None:
    raw = item.encode()
    with pytest.raises(FormatError):
        type(item).decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(0, 9), st.binary(max_size=3), st.just(SHA), st.text()
    ),
    lambda inner: st.lists(inner, max_size=6),
)


@given(values, st.sampled_from(KINDS))
def test_any_value_is_an_object_or_malformed(value: object, kind) -> None:
    try:
        data = packed(value)
    except UnicodeEncodeError:
        return
    try:
        kind.decode(data)
    except FormatError:
        return


def test_a_chunk_is_named_by_its_segments_and_their_count() -> None:
    digests = (digest(b"high"), digest(b"low"))
    expected = object_id("chunk", packed([4, 2, list(digests)]))
    assert chunk_id(4, 2, digests) == expected
    assert len({chunk_id(4, 1, digests), chunk_id(8, 2, digests), expected}) == 3


CHUNK = 4 * dtypes.CHUNK_WORDS


@pytest.mark.parametrize(
    "call",
    [
        lambda: Content(3, 2, b"abc", ()),
        lambda: Content(4, 3, b"abcd", ()),
        lambda: Content(-4, 4, b"", ()),
        lambda: Content(4, 4, b"abc", ()),
        lambda: Content(4, 4, b"", (ID,)),
        lambda: Content(1025, 1, b"x" * 1025, ()),
        lambda: Content(1025, 1, b"x", (ID,)),
        lambda: Content(CHUNK + 4, 4, b"", (ID,)),
        lambda: Content(CHUNK, 4, b"", (ID, ID)),
        lambda: Content.unpack([4, 4, []]),
        lambda: Content.unpack([4, 4, "abcd"]),
        lambda: Content.unpack([4, 4]),
        lambda: Content.unpack([True, 1, b"a"]),
        lambda: Content.unpack([CHUNK, 4, [b"short"]]),
        lambda: Tensor("", (1,), Content(1, 1, b"a", ())),
        lambda: Tensor("float32", (2,), Content(4, 4, b"abcd", ())),
        lambda: Tensor("float32", (2,), Content(8, 8, b"abcdabcd", ())),
        lambda: Tensor("uint8", (1,) * 65, Content(1, 1, b"a", ())),
        lambda: Tensor("x" * 65, (), Content(1, 1, b"a", ())),
        lambda: Tensor("ggml_q4_1", (-1,), Content(1, 1, b"a", ())),
        lambda: Tensor("ggml_q4_1", (2**63,), Content(1, 1, b"a", ())),
        lambda: Blob(SHA, Content(2, 2, b"ab", ())),
        lambda: Blob(b"short", Content(2, 1, b"ab", ())),
        lambda: Layout((Placed("a"), Placed("a"))),
        lambda: Layout((Placed("a"),), (ViewOf("a", "a", (), 0, ()),)),
        lambda: Layout((Placed("a"),), (ViewOf("b", "c", (), 0, ()),)),
        lambda: Layout((Placed("a"),), (ViewOf("b", "a", (1,), 0, ()),)),
        lambda: Layout((Placed("a"),), (ViewOf("b", "a", (1,), -1, (1,)),)),
        lambda: Layout((Placed("a"),), (ViewOf("b", "a", (1,), 0, (-1,)),)),
        lambda: Layout((Placed("a" * 4097),)),
        lambda: Layout((), (), ("note",) * 65),
        lambda: Layout((Literal(Content(2, 2, b"ab", ())),)),
        lambda: Layout.decode(packed([[[True, [0, 1, b""]]], [], []])),
        lambda: Layout.decode(packed([[[1, "a", 4]], [], []])),
        lambda: Layout.decode(packed([[[2, "a", 0]], [], []])),
        lambda: Checkpoint("npy", 1, SHA, 2, ID, ID),
        lambda: Checkpoint("npy", 1, b"", 1, ID, ID),
        lambda: Checkpoint("x" * 65, 1, SHA, 1, ID, ID),
        lambda: Checkpoint("npy", 2**63, SHA, 1, ID, ID),
        lambda: Tree((Entry("b", "blob", ID, 1), Entry("a", "blob", ID, 1))),
        lambda: Tree((Entry("a", "blob", ID, 1), Entry("a", "blob", ID, 1))),
        lambda: Tree((Entry("a" * 4097, "blob", ID, 1),)),
        lambda: Tree((Entry("a", "blob", ID, -1),)),
        lambda: Tree.decode(packed([["a", 4, ID, 1]])),
        lambda: Tree.decode(packed([["a", 1, ID[:31], 1]])),
    ],
)
def test_an_impossible_object_cannot_be_made(call) -> None:
    with pytest.raises(FormatError):
        call()


def commit(**changes: object) -> Commit:
    return Commit(**{"tree": ID, "parents": (), "author": "A", "time": 0, "message": ""} | changes)


def test_a_round_of_a_fleet_of_thousands_fits_into_one_commit() -> None:
    parents = tuple(ObjectId(number.to_bytes(32)) for number in range(history.MAX_PARENTS))
    full = commit(parents=parents, params={str(number): number for number in range(10_000)})
    assert Commit.decode(full.encode()) == full


@pytest.mark.parametrize(
    "changes",
    [
        {"parents": (ID, ID)},
        {"parents": tuple(ObjectId(n.to_bytes(32)) for n in range(history.MAX_PARENTS + 1))},
        {"parents": (b"short",)},
        {"tree": b"short"},
        {"recipe": b"short"},
        {"base": "text"},
        {"author": ""},
        {"author": "  "},
        {"author": "two\nlines"},
        {"author": "del\x7f"},
        {"author": "a" * 1025},
        {"time": -1},
        {"time": 2**63},
        {"time": True},
        {"message": "m" * (history.MAX_MESSAGE + 1)},
        {"message": "\udcff"},
        {"author": "\udcff"},
        {"params": {"k" * 257: 1}},
        {"params": {"k": "v" * 65537}},
        {"params": {"k": math.nan}},
        {"params": {"k": math.inf}},
        {"params": {"k": 2**64}},
        {"params": {"k": None}},
        {"params": {"k": [1]}},
        {"params": {1: 1}},
        {"params": {str(number): 0 for number in range(10_001)}},
        {"labels": {"k": 1}},
        {"labels": {"k": "\udcff"}},
        {"metrics": (Metric("b", 1.0), Metric("a", 1.0))},
        {"metrics": (Metric("a", 1.0), Metric("a", 2.0))},
        {"metrics": tuple(Metric(f"{number:05}", 1.0) for number in range(10_001))},
    ],
)
def test_no_commit_is_made_that_could_not_be_read(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        commit(**changes).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"target": b""},
        {"name": "n" * 257},
        {"author": ""},
        {"time": -1},
        {"message": "m" * (history.MAX_MESSAGE + 1)},
    ],
)
def test_no_tag_is_made_that_could_not_be_read(changes: dict[str, object]) -> None:
    good = {"target": ID, "name": "v1", "author": "A", "time": 0, "message": ""}
    assert Tag.decode(Tag(**good).encode()) == Tag(**good)  # type: ignore[arg-type]
    with pytest.raises(FormatError):
        Tag(**good | changes).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_metric_is_a_finite_number(value: float) -> None:
    with pytest.raises(FormatError):
        Metric("loss", value)


@pytest.mark.parametrize("name", ["", "n" * 257, "\udcff"])
def test_a_metric_needs_a_name(name: str) -> None:
    with pytest.raises(FormatError):
        Metric(name, 1.0)


def test_a_whole_number_is_stored_as_a_float() -> None:
    made = commit(metrics=(Metric("epochs", 3),))
    assert Commit.decode(made.encode()).metrics[0].value == 3.0
    with pytest.raises(FormatError):
        Commit.decode(made.encode().replace(b"\xcb\x40\x08" + bytes(6), b"\x03"))


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 0.1])
def test_a_parameter_keeps_its_bits(value: float) -> None:
    again = Commit.decode(commit(params={"x": value}).encode()).params["x"]
    assert isinstance(again, float)
    assert again.hex() == value.hex()


def test_one_true_and_one_point_nought_are_three_parameters() -> None:
    made = {commit(params={"x": value}).encode() for value in (1, True, 1.0)}
    assert len(made) == 3


def test_a_metric_is_written_as_people_write_it() -> None:
    assert Metric("f1", 0.5).key == "f1"
    assert Metric("f1", 0.5, "coco").key == "f1@coco"
    assert Metric("f1", 0.5, "coco", "val").key == "f1@coco[val]"
    assert Metric("f1", 0.5, "", "val").key == "f1[val]"


def test_an_object_of_one_kind_is_not_one_of_another() -> None:
    made = Blob(SHA, Content(2, 1, b"ab", ()))
    for kind in (Tensor, Layout, Checkpoint, Tree, Commit, Tag):
        with pytest.raises(FormatError):
            kind.decode(made.encode())


def test_a_tree_is_in_the_order_of_utf_8_bytes() -> None:
    names = ("Z", "a", "a.", "é", "\uffee", "\U0001f600")
    made = Tree(tuple(Entry(name, "blob", ID, 1) for name in names))
    assert sorted(names, key=str.encode) == list(names)
    assert made.get("a.") == made.entries[2]
    assert made.get("b") is None
    assert made.size == len(names)


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("", ("",)),
        ("a", ("a",)),
        ("a.b/c", ("a.", "b/", "c")),
        ("a.", ("a.", "")),
        (".a", (".", "a")),
        ("..", (".", ".", "")),
        ("a//b", ("a/", "/", "b")),
        ("line\nbreak.w", ("line\nbreak.", "w")),
        ("é.ü", ("é.", "ü")),
    ],
)
def test_a_tensor_name_is_cut_behind_dots_and_slashes(name: str, pieces: tuple[str, ...]) -> None:
    assert tensor_path(name) == pieces


@given(st.text(alphabet="ab./\n", max_size=60))
def test_the_pieces_of_a_tensor_name_join_to_it(name: str) -> None:
    pieces = tensor_path(name)
    assert "".join(pieces) == name
    assert 1 <= len(pieces) <= tree.MAX_TENSOR_DEPTH
    assert all(piece[-1] in "./" for piece in pieces[:-1])


@given(st.lists(st.text(alphabet="ab./", max_size=40), unique=True, max_size=20))
def test_tensor_names_never_collide_with_directories(names: list[str]) -> None:
    paths = [tensor_path(name) for name in names]
    inner = {path[:depth] for path in paths for depth in range(1, len(path))}
    assert not inner & set(paths)
    assert len(set(paths)) == len(names)


def test_a_very_deep_name_keeps_its_rest_in_the_leaf() -> None:
    pieces = tensor_path("a." * 30 + "w")
    assert len(pieces) == 24
    assert pieces[-1] == "a." * 7 + "w"


SIGNATURE = Signature(bytes(32), bytes(64))


def test_a_commit_that_is_not_signed_has_the_bytes_it_always_had() -> None:
    plain = commit()
    assert b"signature" not in plain.encode()
    assert b"signature" in commit(signature=SIGNATURE).encode()
    assert len(canonical.decode(plain.encode())) == 10


def test_what_is_signed_covers_all_of_a_commit_but_its_signature() -> None:
    signed = commit(signature=SIGNATURE)
    assert signed.signed_bytes() == history.SIGNED + commit().encode()
    assert signed.signed_bytes() == commit().signed_bytes()
    assert commit(message="other", signature=SIGNATURE).signed_bytes() != signed.signed_bytes()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        {},
        {"algorithm": "ed25519", "key": bytes(32)},
        {"algorithm": "ed25519", "key": bytes(31), "signature": bytes(64)},
        {"algorithm": "ed25519", "key": bytes(32), "signature": bytes(65)},
        {"algorithm": "ed25519", "key": bytes(32), "signature": "0" * 64},
        {"algorithm": "none", "key": bytes(32), "signature": bytes(64)},
        {"algorithm": None, "key": bytes(32), "signature": bytes(64)},
        {"algorithm": "ed25519", "key": bytes(32), "signature": bytes(64), "name": "Ada"},
        [{"algorithm": "ed25519", "key": bytes(32), "signature": bytes(64)}] * 2,
    ],
)
def test_a_signature_of_another_shape_is_malformed(value: object) -> None:
    whole = canonical.decode(commit().encode())
    with pytest.raises(FormatError):
        Commit.decode(packed(dict(sorted({**whole, "signature": value}.items()))))

"""Random objects of every kind, as Hypothesis strategies."""

from __future__ import annotations

from hypothesis import strategies as st

from mvc.base.dtypes import KNOWN
from mvc.base.ids import ObjectId
from mvc.objects import model
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
    chunk_count,
)
from mvc.objects.tree import Entry, Tree

ids = st.binary(min_size=32, max_size=32).map(ObjectId)
names = st.text(st.characters(codec="utf-8"), max_size=40)
labels = names.filter(lambda name: len(name.encode()) <= model.MAX_LABEL)
lines = st.text(st.characters(codec="utf-8", min_codepoint=33, exclude_characters="\x7f"))
authors = lines.filter(lambda line: line.strip() and len(line.encode()) <= 1024)
times = st.integers(0, 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.one_of(names, st.integers(-(2**63), 2**64 - 1), finite, st.booleans())


@st.composite
def contents(draw: st.DrawFn, word: int | None = None) -> Content:
    word = word or draw(st.sampled_from([1, 2, 4, 8]))
    if draw(st.booleans()):
        inline = draw(st.binary(max_size=64))
        inline = inline[: len(inline) // word * word]
        return Content(len(inline), word, inline, ())
    size = word * draw(st.integers(1024 // word + 1, 3 << 20))
    count = chunk_count(size, word)
    return Content(size, word, b"", tuple(draw(ids) for _ in range(count)))


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    kind = draw(st.sampled_from(sorted(KNOWN.values(), key=lambda item: item.label)))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=3)))
    count = 1
    for dim in shape:
        count *= dim
    data = b"\x5a" * ((count * kind.bits + 7) // 8)
    if len(data) > 1024:
        content = Content(len(data), kind.word, b"", (draw(ids),))
    else:
        content = Content(len(data), kind.word, data, ())
    return Tensor(kind.label, shape, content)


def unknown_tensors() -> st.SearchStrategy[Tensor]:
    return st.builds(
        Tensor,
        st.just("ggml_q4_1"),
        st.lists(st.integers(0, 2**62), max_size=4).map(tuple),
        contents(),
    )


blobs = st.builds(Blob, st.binary(min_size=32, max_size=32), contents(1))


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    placed = draw(st.lists(names, unique=True, max_size=6))
    views = draw(st.lists(names, unique=True, max_size=3)) if placed else []
    extents: list[Literal | Placed] = [
        Placed(name, draw(st.booleans()), draw(st.booleans())) for name in placed
    ]
    extents += [Literal(item) for item in draw(st.lists(contents(1), max_size=3))]
    dims = st.lists(st.integers(0, 2**62), max_size=3)
    made = []
    for name in views:
        if name in placed:
            continue
        shape = tuple(draw(dims))
        source = draw(st.sampled_from(placed))
        made.append(ViewOf(name, source, shape, draw(times), tuple(1 for _ in shape)))
    notes = tuple(draw(st.lists(names, max_size=3)))
    return Layout(tuple(draw(st.permutations(extents))), tuple(made), notes)


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    size = draw(times)
    sha256 = draw(st.binary(min_size=32, max_size=32))
    inside = draw(st.integers(0, size))
    return Checkpoint(draw(labels), size, sha256, inside, draw(ids), draw(ids))


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    kinds = st.sampled_from(["tree", "blob", "checkpoint", "tensor"])
    listed = sorted(draw(st.lists(names, unique=True, max_size=8)))
    return Tree(tuple(Entry(name, draw(kinds), draw(ids), draw(times)) for name in listed))


signatures = st.builds(
    Signature, st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64)
)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    metrics = draw(
        st.lists(
            st.builds(Metric, names.filter(bool), finite, names, names),
            unique_by=lambda item: (item.name, item.dataset, item.split),
            max_size=4,
        )
    )
    return Commit(
        draw(ids),
        tuple(draw(st.lists(ids, unique=True, max_size=3))),
        draw(authors),
        draw(times),
        draw(names),
        draw(st.dictionaries(names, scalars, max_size=4)),
        tuple(sorted(metrics, key=lambda item: (item.name, item.dataset, item.split))),
        draw(st.dictionaries(names, names, max_size=4)),
        draw(st.none() | ids),
        draw(st.none() | ids),
        draw(st.none() | signatures),
    )


tags = st.builds(Tag, ids, names, authors, times, names)

every = st.one_of(
    tensors(), unknown_tensors(), blobs, layouts(), checkpoints(), trees(), commits(), tags
)

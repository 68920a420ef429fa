"""Random histories of model files, and who changed what last by the definition.

A tensor's elements are an integer here; equal integers have equal ids. The store is a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from posixpath import splitext

from hypothesis import strategies as st

from mvc.base.ids import ObjectId, object_id
from mvc.objects.history import Commit
from mvc.objects.model import Blob, Checkpoint, Content, Layout, Placed, Tensor, ViewOf
from mvc.objects.tree import Entry
from mvc.repo import trees

NAMES = ("a.w", "a.b", "b.w", "c", "d/e.f")
PATHS = ("m.st", "m.pt", "x/m.st")


@dataclass(frozen=True)
class Model:
    """Elements by name, and names that are views: of a whole tensor, or of its first element."""

    tensors: Mapping[str, int]
    views: Mapping[str, tuple[str, bool]] = field(default_factory=dict)

    def key(self, name: str) -> tuple[int, bool] | None:
        if name in self.tensors:
            return self.tensors[name], True
        if name in self.views:
            source, whole = self.views[name]
            return self.tensors[source], whole
        return None

    @property
    def names(self) -> list[str]:
        return [*self.tensors, *self.views]


Files = Mapping[str, Model]


class Shelf:
    """Objects by id."""

    def __init__(self) -> None:
        self.held: dict[ObjectId, bytes] = {}

    def put(self, item: object) -> ObjectId:
        content = item.encode()  # type: ignore[attr-defined]
        name = object_id(item.KIND, content)  # type: ignore[attr-defined]
        self.held[name] = content
        return name

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        return self.held[wanted]


@dataclass
class History:
    """Versions by number, parents first; stands for a repository."""

    files: list[Files]
    edges: list[list[int]]
    times: list[int]

    def __post_init__(self) -> None:
        self.store = Shelf()
        self.ids: list[ObjectId] = []
        for number, held in enumerate(self.files):
            leaves = {path: entry_of(self.store, model) for path, model in held.items()}
            tree = trees.write_files(self.store.put, leaves)
            parents = tuple(self.ids[parent] for parent in self.edges[number])
            commit = Commit(tree, parents, "Ada", self.times[number], str(number))
            self.ids.append(self.store.put(commit))

    def commit(self, wanted: ObjectId) -> Commit:
        return Commit.decode(self.store.read(wanted, "commit"))

    def parents(self, wanted: ObjectId, commit: Commit) -> tuple[ObjectId, ...]:
        del wanted
        return commit.parents

    def before(self, parent: int, number: int, path: str) -> str | None:
        """Return where a file was in a parent."""
        old, new = self.files[parent], self.files[number]
        if path in old:
            return path
        gone = sorted(name for name in old if name not in new)
        model = new[path]
        for same in (
            lambda one: one == model,
            lambda one: one.tensors == model.tensors,
        ):
            for name in gone:
                if same(old[name]):
                    return name
        count = len(model.tensors)
        values = [set(old[name].tensors.values()) for name in gone]
        alike = [sum(value in held for value in model.tensors.values()) for held in values]
        if alike and max(alike) * 2 >= count > 0:
            named = [len(old[name].tensors.keys() & model.tensors.keys()) for name in gone]
            return gone[max(range(len(gone)), key=lambda at: (alike[at], named[at]))]
        for name in gone:
            named_ = len(old[name].tensors.keys() & model.tensors.keys())
            if splitext(name)[0] == splitext(path)[0] and named_ * 2 >= count > 0:
                return name
        return None

    def origin(self, number: int, path: str, name: str) -> tuple[int, str, str]:
        """Return the version that last changed a tensor, with the file and the name there."""
        model = self.files[number][path]
        places = [
            (parent, place, self.files[parent][place])
            for parent in self.edges[number]
            if (place := self.before(parent, number, path)) is not None
        ]
        for parent, place, old in places:
            if old.key(name) == model.key(name):
                return self.origin(parent, place, name)
        if all(old.key(name) is None for _, _, old in places):
            for parent, place, old in places:
                if (previous := moved(old, model).get(name)) is not None:
                    return self.origin(parent, place, previous)
        return number, path, name


def moved(old: Model, new: Model) -> dict[str, str]:
    found = {}
    for value in {*new.tensors.values()}:
        gone = in_order(n for n, v in old.tensors.items() if v == value and n not in new.tensors)
        come = in_order(n for n, v in new.tensors.items() if v == value and n not in old.tensors)
        if len(gone) == len(come):
            found.update(zip(come, gone, strict=True))
    return found


def in_order(names: object) -> list[str]:
    return sorted(names)  # type: ignore[call-overload, no-any-return]


def entry_of(shelf: Shelf, model: Model) -> Entry:
    """Store a model and return its entry; one without tensors is a blob."""
    if not model.tensors:
        content = Content(1, 1, b"x", ())
        return Entry("", "blob", shelf.put(Blob(bytes(32), content)), 1)
    leaves = {}
    for name, value in model.tensors.items():
        tensor = Tensor("uint8", (2,), Content(2, 1, value.to_bytes(2), ()))
        leaves[name] = Entry("", "tensor", shelf.put(tensor), 2)
    views = tuple(
        ViewOf(name, source, (2,) if whole else (1,), 0, (1,))
        for name, (source, whole) in model.views.items()
    )
    layout = shelf.put(Layout(tuple(map(Placed, model.tensors)), views))
    size = 2 * len(leaves)
    root = trees.write_tensors(shelf.put, leaves)
    checkpoint = Checkpoint("safetensors", size, bytes(32), size, layout, root)
    return Entry("", "checkpoint", shelf.put(checkpoint), size)


@st.composite
def models(draw: st.DrawFn) -> Model:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    tensors = {name: draw(st.integers(0, 5)) for name in names}
    return draw(tied(Model(tensors)))


@st.composite
def tied(draw: st.DrawFn, model: Model) -> Model:
    free = [name for name in NAMES if name not in model.tensors]
    if not free or not draw(st.booleans()):
        return replace(model, views={})
    source = draw(st.sampled_from(sorted(model.tensors)))
    return replace(model, views={draw(st.sampled_from(free)): (source, draw(st.booleans()))})


@st.composite
def edited(draw: st.DrawFn, files: Files) -> Files:
    """Return files with one thing changed, or none."""
    changed = dict(files)
    kind = draw(st.sampled_from(["same", "value", "name", "path", "tie", "add", "new"]))
    path = draw(st.sampled_from(sorted(changed)))
    model = changed[path]
    tensors = dict(model.tensors)
    if kind == "new":
        changed[draw(st.sampled_from(PATHS))] = draw(models())
    elif kind == "path":
        changed[draw(st.sampled_from(PATHS))] = changed.pop(path)
    elif kind == "tie":
        changed[path] = draw(tied(model))
    elif kind == "value":
        tensors[draw(st.sampled_from(sorted(tensors)))] = draw(st.integers(0, 5))
        changed[path] = replace(model, tensors=tensors)
    elif kind in ("name", "add"):
        name = draw(st.sampled_from(NAMES))
        if name not in model.names:
            source = draw(st.sampled_from(sorted(tensors)))
            tensors[name] = tensors[source]
            if kind == "name" and source not in {one for one, _ in model.views.values()}:
                del tensors[source]
            changed[path] = replace(model, tensors=tensors)
    return changed


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Return up to twelve versions; later ones begin with files of their parents."""
    files: list[Files] = [{"m.st": draw(models())}]
    edges: list[list[int]] = [[]]
    for number in range(1, draw(st.integers(1, 12))):
        parents = draw(st.lists(st.integers(0, number - 1), min_size=1, max_size=3, unique=True))
        held = dict(files[parents[0]])
        for parent in parents[1:]:
            taken = draw(st.sampled_from(sorted(files[parent])))
            held[taken] = files[parent][taken]
        for _ in range(draw(st.integers(0, 2))):
            held = dict(draw(edited(held)))
        files.append(held)
        edges.append(parents)
    count = len(files)
    times = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    return History(files, edges, times)

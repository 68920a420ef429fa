"""Which tensors of a file came unchanged from one version into the next: decided by ids alone.

A tensor is known by its name. A name that is a tensor in one file and a view of a whole tensor in
the other (tied weights are kept under either) means the same elements, and so the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.objects.model import Checkpoint, ViewOf
from mvc.objects.tree import Entry, tensor_path
from mvc.repo import trees
from mvc.repo.metadata import read_checkpoint, read_layout, read_tensor
from mvc.store.object_store import ObjectStore

WHOLE = ""
"""The name under which a file without tensors is looked for, as one part."""
LAYOUTS = 64
"""How many layouts' views are remembered: versions of a model mostly share one."""

Geometry = tuple[tuple[int, ...], int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class FileAt:
    """A file of some version."""

    path: str
    entry: Entry


class Names:
    """Tensors looked for in a file: the name each has there, and the rows of the answer it fills.

    `tied` are the names that are views there.
    """

    def __init__(self, rows: Mapping[str, Iterable[int]], tied: Iterable[str] = ()) -> None:
        self.rows: dict[str, list[int]] = {}
        self.tied: set[str] = set()
        self._beginnings: Counter[str] = Counter()
        for name, numbers in rows.items():
            self._add(name, numbers)
        self.tied.update(tied)

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def leads(self, beginning: str) -> bool:
        """Tell whether any name starts with these pieces of a name."""
        return beginning in self._beginnings

    def take(self, some: Iterable[str]) -> Names:
        """Remove some of the names and return them; those that are not here are passed over."""
        taken = Names({})
        for name in some:
            numbers = self.rows.pop(name, None)
            if numbers is None:
                continue
            taken._add(name, numbers)
            if name in self.tied:
                self.tied.discard(name)
                taken.tied.add(name)
            for beginning in _beginnings(name):
                self._beginnings[beginning] -= 1
                if not self._beginnings[beginning]:
                    del self._beginnings[beginning]
        return taken

    def absorb(self, other: Names) -> None:
        """Look for the names of `other`, too."""
        for name, numbers in other.rows.items():
            self._add(name, numbers)
        self.tied |= other.tied

    def renamed(self, names: Mapping[str, str]) -> Names:
        """Return these under the names that they have in another file, where none is a view."""
        found = Names({})
        for name, numbers in self.rows.items():
            found._add(names[name], numbers)
        return found

    def _add(self, name: str, numbers: Iterable[int]) -> None:
        if name not in self.rows:
            self.rows[name] = []
            self._beginnings.update(_beginnings(name))
        self.rows[name].extend(numbers)


def _beginnings(name: str) -> Iterator[str]:
    start = ""
    for piece in tensor_path(name)[:-1]:
        start += piece
        yield start


def tensor_entry(store: ObjectStore, root: ObjectId, name: str) -> Entry | None:
    """Return the entry of a tensor in a checkpoint's tree, None where there is none."""
    entry = Entry("", "tree", root, 0)
    for piece in tensor_path(name):
        if entry.kind != "tree":
            return None
        below = trees.read_tree(store, entry.id).get(piece)
        if below is None:
            return None
        entry = below
    return entry if entry.kind == "tensor" else None


class Comparer:
    """Compares files of versions by the ids of their tensors."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._views: dict[ObjectId, dict[str, ViewOf]] = {}

    def model(self, file: FileAt) -> Checkpoint | None:
        """Return the model in a file, None for a file without tensors."""
        if file.entry.kind != "checkpoint":
            return None
        return read_checkpoint(self.store, file.entry.id)

    def views(self, model: Checkpoint) -> dict[str, ViewOf]:
        """Return the views of a model by name."""
        found = self._views.get(model.layout)
        if found is None:
            if len(self._views) >= LAYOUTS:
                self._views.clear()
            layout = read_layout(self.store, model.layout)
            found = self._views[model.layout] = {view.name: view for view in layout.views}
        return found

    def differing(self, before: FileAt, after: FileAt, names: Names) -> dict[str, ObjectId | None]:
        """Return which of the names in `after` have other elements in `before`, or none there.

        With each comes the id of the tensor that it is there, None where it is nothing. `names`
        learn which of those that are equal are views in `before`.
        """
        if before.entry.id == after.entry.id:
            return {}
        old, new = self.model(before), self.model(after)
        if old is None or new is None:
            same_kind = old is None and new is None
            return dict.fromkeys(names, before.entry.id if same_kind else None)
        found: dict[str, ObjectId | None] = {}
        changed = trees.changed(
            self.store, old.tensors, new.tensors, separator="", enter=names.leads
        )
        ids: dict[str, ObjectId] = {}
        for name, one, two in changed:
            if two is not None and name in names and name not in names.tied:
                found[name] = one.id if one else None
                ids[name] = two.id
        lost = [name for name, one in found.items() if one is None]
        for name in [*lost, *names.tied]:
            here = (ids[name], None) if name in ids else self._key(new, name)
            there = self._key(old, name)
            found.pop(name, None)
            if here is None or here != there:
                found[name] = there[0] if there else None
            elif name in self.views(old):
                names.tied.add(name)
            else:
                names.tied.discard(name)
        return found

    def changes(
        self,
        before: FileAt | None,
        after: FileAt | None,
        keep: Callable[[str], bool],
        leads: Callable[[str], bool],
    ) -> Iterator[str]:
        """Yield the names that `keep` wants and that do not mean equal elements in two files.

        Only beginnings of names that `leads` wants are followed. None is no file.
        """
        old, new = (self.model(file) if file else None for file in (before, after))
        roots = [model.tensors if model else None for model in (old, new)]
        changed = trees.changed(self.store, *roots, separator="", enter=leads)
        for name, one, two in changed:
            if not keep(name):
                continue
            entry, other = (two, old) if one is None else (one, new)
            alone = one is None or two is None
            if entry and not (alone and other and self._key(other, name) == (entry.id, None)):
                yield name
        views = [self.views(model) if model else {} for model in (old, new)]
        for name in filter(keep, dict.fromkeys([*views[0], *views[1]])):
            keys = [self._key(model, name) if model else None for model in (old, new)]
            both = all(name in held or key is None for held, key in zip(views, keys, strict=True))
            if both and keys[0] != keys[1]:
                yield name

    def added(
        self,
        before: FileAt,
        after: FileAt,
        keep: Callable[[str], bool],
        leads: Callable[[str], bool],
    ) -> Iterator[str]:
        """Yield the names of tensors that `keep` wants and that only `after` has."""
        old, new = self.model(before), self.model(after)
        if old is None or new is None:
            return
        changed = trees.changed(self.store, old.tensors, new.tensors, separator="", enter=leads)
        yield from (name for name, one, two in changed if two and not one and keep(name))

    def moved(self, before: FileAt, after: FileAt) -> dict[str, str]:
        """Return new name -> old name of tensors that have another name now, and equal elements.

        Only names that are gone count, and only if as many with these elements are gone as are new.
        """
        old, new = self.model(before), self.model(after)
        if old is None or new is None:
            return {}
        gone: dict[ObjectId, list[str]] = {}
        come: dict[ObjectId, list[str]] = {}
        for name, one, two in trees.changed(self.store, old.tensors, new.tensors, separator=""):
            if one is not None and two is None:
                gone.setdefault(one.id, []).append(name)
            elif two is not None and one is None:
                come.setdefault(two.id, []).append(name)
        return {
            name: previous
            for wanted, names in come.items()
            if len(gone.get(wanted, ())) == len(names)
            for name, previous in zip(names, gone[wanted], strict=True)
        }

    def key(self, model: Checkpoint, name: str) -> ObjectId | None:
        """Return the id of the tensor that a name means, through a view as well."""
        found = self._key(model, name)
        return found[0] if found else None

    def _key(self, model: Checkpoint, name: str) -> tuple[ObjectId, Geometry | None] | None:
        view = self.views(model).get(name)
        entry = tensor_entry(self.store, model.tensors, view.source if view else name)
        if entry is None:
            return None
        if view is None or is_whole(view, read_tensor(self.store, entry.id).shape):
            return entry.id, None
        return entry.id, (view.shape, view.offset, view.strides)


def is_whole(view: ViewOf, shape: tuple[int, ...]) -> bool:
    """Tell whether a view has all elements of a tensor of this shape, in their order."""
    strides: list[int] = []
    step = 1
    for dim in reversed(shape):
        strides.insert(0, step)
        step *= dim
    return view.shape == shape and view.offset == 0 and view.strides == tuple(strides)

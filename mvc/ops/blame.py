"""Who changed each tensor last: the version, the device, and how far it moved the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import join, normpath
from typing import TYPE_CHECKING, Literal

from mvc.base.errors import MvcError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.objects.model import Checkpoint, ViewOf
from mvc.objects.tree import Entry
from mvc.repo import revisions, trees
from mvc.repo.history import Version
from mvc.repo.makers import devices
from mvc.repo.metadata import read_tensor
from mvc.repo.parts import WHOLE, Comparer, FileAt, Names
from mvc.repo.provenance import Decided, last_changes
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection
from mvc.store.object_store import ObjectStore

if TYPE_CHECKING:
    from mvc.diff.weights import Weights

Made = Literal["added", "changed", "recast", "reshaped"]


@dataclass(frozen=True, slots=True)
class BlameRequest:
    """Which tensors to ask about.

    `words` are as people write them: `FILE`, `FILE:TENSOR_GLOB`, `REV:FILE`, `REV`; a file may be a
    folder or a pattern, and none means all. Without a revision it is HEAD. `paths` are files alone.
    Those without a revision before them are seen from the folder `here`.
    """

    words: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    weights: bool = True
    here: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The last change of a tensor.

    `path` and `name` are what the file and the tensor were called in that version. `made` says what
    the version did to the tensor, as compared with the parent `against`; that is None where the
    tensor was new. `weights` are there for those whose dtype and shape stayed. `at_or_before`:
    older versions were not fetched, and nobody knows what this one made.
    """

    version: Version
    device: str | None
    path: str
    name: str
    made: Made | None
    at_or_before: bool
    against: ObjectId | None = None
    weights: Weights | None = None


@dataclass(frozen=True, slots=True)
class BlamedTensor:
    """A tensor and where it comes from. `view_of` names the tensor that it shares elements with."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    view_of: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class BlamedFile:
    """A file: its tensors in natural order, or, without any, the last change of the whole."""

    path: str
    tensors: tuple[BlamedTensor, ...] | None
    whole: Origin | None = None


@dataclass(frozen=True, slots=True)
class BlameResult:
    """The files of a version that were asked about, in order of their paths."""

    commit: ObjectId
    files: tuple[BlamedFile, ...]


def blame(repo: Repository, request: BlameRequest, progress: Progress = SILENT) -> BlameResult:
    """Return the last change of each tensor. Raises NotFoundError, UsageError, IntegrityError."""
    commit, specs = asked(repo, request)
    comparer = Comparer(repo.store)
    asking = _Asking(comparer, Selection(specs))
    for path, entry in _files(repo, commit, asking.chosen):
        asking.add(FileAt(path, entry))
    _check(repo, commit, specs, asking)
    found = _origins(repo, commit, asking)
    if request.weights:
        _measured(repo.store, found, progress)
    origins = {number: item.origin for number, item in found.items()}
    return BlameResult(commit, tuple(asking.answer(origins)))


def asked(repo: Repository, request: BlameRequest) -> tuple[ObjectId, list[str]]:
    """Return the version that is meant, and what in it as `PATH[:TENSOR_GLOB]`.

    A word that means a file of HEAD is one; else what stands before its first colon may be a
    revision, once.
    """
    revision: str | None = None
    specs = [_seen(request.here, path) for path in request.paths]
    head = _paths(repo, repo.head_commit())
    for word in request.words:
        spec = _seen(request.here, word)
        name, _, rest = word.partition(":")
        is_file = bool(name) and (revision is not None or _means_file(head, spec))
        if is_file or not _is_revision(repo, name):
            specs.append(spec)
            continue
        revision = name or "HEAD"
        specs += [rest] if rest else []
    return revisions.resolve(repo, revision or "HEAD"), specs


def _seen(here: str, text: str) -> str:
    path, colon, glob = text.partition(":")
    return normpath(join(here, path)) + colon + glob


def _is_revision(repo: Repository, word: str) -> bool:
    try:
        revisions.resolve(repo, word or "HEAD")
    except MvcError:
        return False
    return True


def _paths(repo: Repository, commit: ObjectId | None) -> Iterable[str]:
    return trees.files(repo.store, repo.commit(commit).tree) if commit else ()


def _means_file(paths: Iterable[str], word: str) -> bool:
    chosen = Selection([word])
    return any(chosen.path(path) for path in paths)


def _files(repo: Repository, commit: ObjectId, chosen: Selection) -> Iterator[tuple[str, Entry]]:
    found = trees.files(repo.store, repo.commit(commit).tree)
    yield from ((path, found[path]) for path in sorted(found) if chosen.path(path))


def _check(repo: Repository, commit: ObjectId, specs: Sequence[str], asking: _Asking) -> None:
    for spec in specs:
        if not any(Selection([spec]).path(path) for path in asking.paths):
            from difflib import get_close_matches

            near = get_close_matches(spec, list(_paths(repo, commit)), 1, 0.5)
            raise NotFoundError(
                f"version {short(commit)} has no file {spec[:200]!r}",
                hint=f"did you mean {near[0]}?" if near else "`mvc ls-tree -r REV` lists its files",
            )
    if specs and not asking.count:
        raise NotFoundError(
            f"no tensor of version {short(commit)} is called like {specs[0][:200]!r}",
            hint=f"`mvc show {short(commit)}:{asking.paths[0]}` lists the tensors",
        )


@dataclass(slots=True)
class _Row:
    file: int
    name: str
    tensor: ObjectId | None
    view: ViewOf | None = None


class _Asking:
    """The rows that are asked for, by their numbers."""

    def __init__(self, comparer: Comparer, chosen: Selection) -> None:
        self._comparer = comparer
        self.chosen = chosen
        self._files: list[tuple[FileAt, Names, bool]] = []
        self._rows: list[_Row] = []

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    @property
    def paths(self) -> list[str]:
        """The files."""
        return [file.path for file, _, _ in self._files]

    def add(self, file: FileAt) -> None:
        """Ask about a file: the tensors that are chosen, or the whole where it has none."""
        model = self._comparer.model(file)
        before = len(self._rows)
        number = len(self._files)
        views: Mapping[str, ViewOf] = {}
        if model is None:
            if not self.chosen.names_tensors(file.path):
                self._rows.append(_Row(number, WHOLE, None))
        else:
            keep = self.chosen.tensor(file.path)
            tensors = trees.tensors(self._comparer.store, model.tensors)
            views = self._comparer.views(model)
            for name, entry in tensors.items():
                if keep(name):
                    self._rows.append(_Row(number, name, entry.id))
            for name, view in views.items():
                if keep(name):
                    self._rows.append(_Row(number, name, tensors[view.source].id, view))
        rows = {self._rows[place].name: [place] for place in range(before, len(self._rows))}
        names = Names(rows, {name for name in rows if name in views})
        self._files.append((file, names, model is not None))

    def wanted(self) -> list[tuple[FileAt, Names]]:
        """Return the names to look for in each file."""
        return [(file, names) for file, names, _ in self._files if names]

    def answer(self, origins: Mapping[int, Origin]) -> Iterator[BlamedFile]:
        """Yield the files with the origins of their rows."""
        from mvc.diff.structure import natural_key

        rows: dict[int, list[tuple[_Row, Origin]]] = {}
        for number, row in enumerate(self._rows):
            rows.setdefault(row.file, []).append((row, origins[number]))
        for number, (file, _, has_tensors) in enumerate(self._files):
            held = rows.get(number, [])
            if not has_tensors:
                if held:
                    yield BlamedFile(file.path, None, held[0][1])
                continue
            tensors = [self._tensor(row, origin) for row, origin in held]
            if tensors:
                tensors.sort(key=lambda tensor: natural_key(tensor.name))
                yield BlamedFile(file.path, tuple(tensors))

    def _tensor(self, row: _Row, origin: Origin) -> BlamedTensor:
        assert row.tensor is not None  # noqa: S101
        tensor = read_tensor(self._comparer.store, row.tensor)
        if row.view is not None:
            source = row.view.source
            return BlamedTensor(row.name, tensor.dtype, row.view.shape, 0, source, origin)
        size = tensor.content.size
        return BlamedTensor(row.name, tensor.dtype, tensor.shape, size, None, origin)


@dataclass(frozen=True, slots=True)
class _Found:
    """The origin of a row, and the ids of the tensor before and after it."""

    origin: Origin
    pair: tuple[ObjectId, ObjectId] | None = None
    model: Checkpoint | None = None


def _origins(repo: Repository, commit: ObjectId, asking: _Asking) -> dict[int, _Found]:
    decided = list(last_changes(repo, commit, asking.wanted()))
    made = devices(repo, {item.version.id: item.version.commit for item in decided})
    comparer = Comparer(repo.store)
    found: dict[int, _Found] = {}
    for item in decided:
        for name, rows in item.names.rows.items():
            one = _origin(comparer, item, name, made.get(item.version.id))
            found.update(dict.fromkeys(rows, one))
    return found


def _origin(comparer: Comparer, item: Decided, name: str, device: str | None) -> _Found:
    before = item.before.get(name)
    cut = item.at_or_before
    plain = Origin(item.version, device, item.file.path, name, None if cut else "added", cut)
    model = comparer.model(item.file)
    if before is None or before.tensor is None:
        return _Found(plain)
    changed = replace(plain, made="changed", against=before.parent)
    if model is None:
        return _Found(changed)
    new = comparer.key(model, name)
    assert new is not None  # noqa: S101
    one, two = (read_tensor(comparer.store, wanted) for wanted in (before.tensor, new))
    if one.shape != two.shape:
        return _Found(replace(changed, made="reshaped"))
    if one.dtype != two.dtype:
        return _Found(replace(changed, made="recast"))
    return _Found(changed, (before.tensor, new), model)


def _measured(store: ObjectStore, found: dict[int, _Found], progress: Progress) -> None:
    """Add how far the weights moved; equal pairs are read once."""
    from mvc.diff.structure import Pair
    from mvc.diff.weights import measure
    from mvc.repo.tensors import StoredTensors

    pairs: dict[tuple[ObjectId, ObjectId], Pair] = {}
    for item in found.values():
        if item.pair is not None and item.model is not None and item.pair not in pairs:
            tensors = StoredTensors(store, item.model)
            old, new = map(tensors.held, item.pair)
            pairs[item.pair] = Pair(item.origin.name, old, new)
    weights = dict(zip(pairs, measure(pairs.values(), progress), strict=True))
    for number, item in found.items():
        if item.pair in weights:
            origin = replace(item.origin, weights=weights[item.pair])
            found[number] = replace(item, origin=origin)

"""Which versions a fleet's drift is measured of, from which base, and where they differ from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mvc.base import wording
from mvc.base.errors import NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.diff.drift import comparable
from mvc.diff.layers import layer_of
from mvc.diff.structure import natural_key
from mvc.objects.model import Tensor
from mvc.objects.tree import Entry
from mvc.repo import revisions, trees
from mvc.repo.history import merge_bases
from mvc.repo.metadata import read_checkpoint, read_tensor
from mvc.repo.refs import BRANCHES, TAGS, short
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection
from mvc.repo.tensors import StoredTensors

FLEET = ("devices/*", "*/devices/*")


def versions(repo: Repository, refs: Sequence[str]) -> dict[str, ObjectId]:
    """Return the versions meant, by name."""
    found: dict[str, ObjectId] = {}
    if not refs:
        for pattern in FLEET:
            with suppress(NotFoundError):
                return _matching(repo, pattern)
        raise UsageError(
            "there are no branches devices/* to measure",
            hint="name branches, tags or versions: mvc drift main 'experiments/*'",
        )
    for ref in refs:
        if any(char in ref for char in "*?["):
            found |= _matching(repo, ref)
        else:
            found[ref] = revisions.resolve(repo, ref)
    return found


def _matching(repo: Repository, pattern: str) -> dict[str, ObjectId]:
    """Return the commits of the refs that match, by short name, device 2 before device 10."""
    found = {short(name): commit for name, commit in revisions.matching(repo, pattern).items()}
    return dict(sorted(found.items(), key=lambda item: natural_key(item[0])))


def base_of(repo: Repository, given: str | None, commits: list[ObjectId]) -> tuple[str, ObjectId]:
    """Return the name and the commit to measure from, the newest common ancestor by default."""
    if given is not None:
        return given, revisions.resolve(repo, given)
    asked = list(dict.fromkeys(commits))
    head = repo.head_commit()
    if len(asked) == 1 and head is not None:
        asked.append(head)
    found = merge_bases(repo, asked)
    if not found:
        raise UsageError(
            "these versions have no common ancestor",
            hint="say what to measure from: mvc drift --base REV ..."
            + ("; `mvc fetch --unshallow` brings older versions" * bool(repo.shallow.commits())),
        )
    return _called(repo, found[0]), found[0]


def _called(repo: Repository, commit: ObjectId) -> str:
    """Return the name of a tag or a branch at a commit, else its abbreviated id."""
    for prefix in (TAGS, BRANCHES):
        for name, target in repo.refs.all(prefix).items():
            if revisions.peel(repo, target) == commit:
                return name.removeprefix(prefix)
    return wording.short(commit)


def models_of(repo: Repository, base: ObjectId, chosen: Selection) -> dict[str, Entry]:
    """Return the model files of the base that are meant, by path."""
    files = trees.files(repo.store, repo.commit(base).tree)
    models = {
        path: entry
        for path, entry in files.items()
        if entry.kind == "checkpoint" and chosen.path(path)
    }
    if not models:
        raise NotFoundError(
            "the base has no model file" + (" of that name" if files else ""),
            hint=f"`mvc ls-tree -r {wording.short(base)}` lists its files",
        )
    return models


@dataclass(slots=True)
class FleetVersion:
    """A version, what its tensors are that cannot be compared, and the files it lacks."""

    name: str
    commit: ObjectId
    missing: int = 0
    added: int = 0
    reshaped: int = 0
    recast: int = 0
    lost: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Differing:
    """A tensor of the base that some version changed.

    `others` are the tensors that versions have in its place; `held` says which version has which,
    None where it has nothing that can be compared.
    """

    base: Tensor
    others: list[Tensor] = field(default_factory=list)
    places: dict[ObjectId, int | None] = field(default_factory=dict)
    held: dict[int, int | None] = field(default_factory=dict)


class Table:
    """Which tensors of the base differ in which version, from ids alone."""

    def __init__(self, repo: Repository, models: dict[str, Entry], chosen: Selection) -> None:
        self._repo = repo
        self._store = repo.store
        self._models = models
        self._roots = {
            path: read_checkpoint(self._store, entry.id).tensors for path, entry in models.items()
        }
        self._chosen: dict[str, Callable[[str], bool]] = {
            path: chosen.tensor(path) for path in models
        }
        self.entries: dict[tuple[str, str], Differing] = {}

    def enter(self, number: int, version: FleetVersion) -> None:
        """Take in a version."""
        tree = self._repo.commit(version.commit).tree
        for path, entry in self._models.items():
            found = trees.find(self._store, tree, path)
            if found is None or found.kind != "checkpoint":
                version.lost.add(path)
            elif found.id != entry.id:
                root = read_checkpoint(self._store, found.id).tensors
                self._tensors(number, version, path, root)

    def _tensors(self, number: int, version: FleetVersion, path: str, root: ObjectId) -> None:
        differing = trees.changed(self._store, self._roots[path], root, separator="")
        for name, one, two in differing:
            if not self._chosen[path](name):
                continue
            if one is None:
                version.added += 1
                continue
            entry = self.entries.get((path, name))
            if entry is None:
                entry = self.entries[path, name] = Differing(read_tensor(self._store, one.id))
            if two is None:
                version.missing += 1
                entry.held[number] = None
            else:
                entry.held[number] = self._place(version, entry, two.id)

    def _place(self, version: FleetVersion, entry: Differing, wanted: ObjectId) -> int | None:
        other = read_tensor(self._store, wanted)
        version.reshaped += other.shape != entry.base.shape
        version.recast += other.shape == entry.base.shape and other.dtype != entry.base.dtype
        if wanted not in entry.places:
            if comparable(entry.base, other):
                entry.places[wanted] = len(entry.others)
                entry.others.append(other)
            else:
                entry.places[wanted] = None
        return entry.places[wanted]

    def layers(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Return the tensors of each layer that some version changed, in natural order."""
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for path, name in self.ordered():
            found.setdefault((path, layer_of(name)), []).append((path, name))
        return found

    def ordered(self) -> list[tuple[str, str]]:
        """Return the tensors in natural order."""
        return sorted(self.entries, key=lambda at: (natural_key(at[0]), natural_key(at[1])))

    def equal_layers(self) -> int:
        """Return how many layers no version changed."""
        touched = {(path, layer_of(name)) for path, name in self.entries}
        every = {
            (path, layer_of(name))
            for path, entry in self._models.items()
            for name in StoredTensors(self._store, read_checkpoint(self._store, entry.id)).names
            if self._chosen[path](name)
        }
        return len(every - touched)

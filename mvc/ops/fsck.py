"""Check everything: packs, objects, versions, refs; say what damage hurts which versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from mvc.base.errors import MvcError, TailAwayError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.objects.model import Content, Literal
from mvc.objects.tree import Entry
from mvc.ops.offload import Place, places
from mvc.repo import trees
from mvc.repo.history import walk
from mvc.repo.metadata import read_blob, read_checkpoint, read_layout, read_tensor
from mvc.repo.refs import short
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel
from mvc.storage import keys
from mvc.store.chunks import load, load_top
from mvc.store.copies import faults
from mvc.store.object_store import ObjectStore
from mvc.store.tails import is_remote


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where in a version: `FILE:TENSOR`, as far down as is known."""

    place: str
    what: str

    def inside(self, name: str) -> Fault:
        """Return the fault as seen from what holds `name`."""
        return Fault(f"{name}:{self.place}" if self.place else name, self.what)


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: what is wrong, with which object or ref, and the versions that it hurts."""

    what: str
    object: str
    affects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FsckReport:
    """The result of a check.

    `offloaded` is where lower bits are that are not here; those of a place that cannot be reached
    were not checked, which is no damage.
    """

    objects: int
    packs: int
    problems: tuple[Problem, ...]
    offloaded: tuple[Place, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problems


def fsck(repo: Repository, *, quick: bool = False, progress: Progress = SILENT) -> FsckReport:
    """Check the repository; the index is made anew from the packs first.

    Every copy of every object is read and hashed, whether a version needs it or not; `quick`
    leaves out the chunks' content. Then every version that a ref or reflog names is walked for
    missing objects. Lower bits that are at a remote are not asked for.
    """
    if repo.store.tails is not None:
        repo.store.tails.asks_remotes = False
    try:
        return _checked_all(repo, progress, quick=quick)
    finally:
        if repo.store.tails is not None:
            repo.store.tails.asks_remotes = True


def _checked_all(repo: Repository, progress: Progress, *, quick: bool) -> FsckReport:
    repo.store.rebuild()
    problems = [Problem(why, f"pack {name}") for name, why in repo.store.damaged.items()]
    bad, copies = ({}, []) if quick else _bad_chunks(repo, progress)
    problems += copies
    walker = _Walker(repo, bad)
    problems += walker.check_refs()
    hurt: dict[Fault, list[str]] = {}
    for fault, version in walker.faults:
        hurt.setdefault(fault, []).append(version)
    problems += [
        Problem(fault.what, fault.place or "a version", tuple(dict.fromkeys(versions)))
        for fault, versions in hurt.items()
    ]
    reached = walker.seen
    problems += [
        Problem(why, f"chunk {name.hex()}", ()) for name, why in bad.items() if name not in reached
    ]
    counts = repo.store.index.counts()
    packs = len(repo.store.index.packs()) + len(repo.store.damaged)
    return FsckReport(sum(counts.values()), packs, tuple(problems), _places(repo))


def _places(repo: Repository) -> tuple[Place, ...]:
    unasked = "`mvc fetch --full` brings and verifies them"
    return tuple(
        replace(place, problem=unasked) if is_remote(place.source) else place
        for place in places(repo)
    )


def _bad_chunks(repo: Repository, progress: Progress) -> tuple[dict[ObjectId, str], list[Problem]]:
    """Return what is wrong with chunks, and with copies of chunks that others hold whole."""
    chunks = repo.store.of_kind("chunk")
    progress.start("checking chunks", len(chunks))
    bad: dict[ObjectId, str] = {}
    copies: list[Problem] = []
    for name, fault, spoilt in ordered_map(partial(_checked, repo.store), chunks):
        progress.advance(1)
        if fault:
            bad[name] = fault
        copies += [Problem(f"{what}; another pack has it whole", place) for place, what in spoilt]
    progress.finish()
    return bad, copies


def _checked(
    store: ObjectStore, name: ObjectId
) -> tuple[ObjectId, str | None, list[tuple[str, str]]]:
    try:
        try:
            load(store, name)
        except TailAwayError:
            load_top(store, name)
    except MvcError as error:
        return name, error.message, []
    if len(store.places(name)) == 1:
        return name, None, []
    place = f"a copy of chunk {name.hex()} in pack"
    return name, None, [(f"{place} {pack}", why) for pack, why in faults(store, name).items()]


class _Walker:
    """Visits what versions are made of, each object once, and collects faults by version."""

    def __init__(self, repo: Repository, bad: dict[ObjectId, str]) -> None:
        self._repo = repo
        self._bad = bad
        self.seen: dict[ObjectId, tuple[Fault, ...]] = {}
        self.faults: list[tuple[Fault, str]] = []

    def check_refs(self) -> list[Problem]:
        """Walk all versions; return the faults of refs themselves."""
        repo = self._repo
        problems: list[Problem] = []
        starts: dict[ObjectId, str] = {}
        for item in repo.storage.list(keys.REFS):
            name = keys.ref_of(item.key)
            try:
                target = repo.refs.get(name)
                if target is not None:
                    starts[peel(repo, target)] = short(name)
            except MvcError as error:
                problems.append(Problem(error.message, name))
        try:
            head = repo.refs.head()
            if head.commit is not None:
                starts.setdefault(peel(repo, head.commit), "HEAD")
        except MvcError as error:
            problems.append(Problem(error.message, "HEAD"))
        for target in repo.refs.logged():
            if repo.store.index.kind(target) == "commit":
                starts.setdefault(target, f"the reflog at {target.hex()[:12]}")
        for start, name in starts.items():
            self._check_history(start, name)
        return problems

    def _check_history(self, start: ObjectId, name: str) -> None:
        try:
            for version in walk(self._repo, [start]):
                if version.id in self.seen:
                    continue
                self.seen[version.id] = ()
                label = f"{version.id.hex()[:12]} ({name})"
                self.faults += [(fault, label) for fault in self._tree(version.commit.tree)]
        except MvcError as error:
            self.faults.append((Fault(name, error.message), name))

    def _tree(self, root: ObjectId) -> tuple[Fault, ...]:
        return self._once(root, partial(self._files, root))

    def _files(self, root: ObjectId) -> Iterator[Fault]:
        scope = self._repo.chosen.scope
        for path, entry in trees.files(self._repo.store, root).items():
            kind = self._repo.store.kind(entry.id)
            if kind is None and scope is not None and not scope.chooses(path):
                continue
            if kind not in (entry.kind, None):
                what = f"object {entry.id.hex()[:12]} is a {kind}, not a {entry.kind}"
                yield Fault(path, what)
                continue
            for fault in self._once(entry.id, partial(self._file, entry)):
                yield fault.inside(path)

    def _file(self, entry: Entry) -> Iterator[Fault]:
        store = self._repo.store
        if entry.kind == "blob":
            yield from self._content(read_blob(store, entry.id).content)
            return
        checkpoint = read_checkpoint(store, entry.id)
        for extent in read_layout(store, checkpoint.layout).extents:
            if isinstance(extent, Literal):
                yield from self._content(extent.content)
        for name, leaf in trees.tensors(store, checkpoint.tensors).items():
            for fault in self._once(leaf.id, partial(self._tensor, leaf.id)):
                yield fault.inside(name)

    def _tensor(self, name: ObjectId) -> Iterator[Fault]:
        yield from self._content(read_tensor(self._repo.store, name).content)

    def _content(self, content: Content) -> Iterator[Fault]:
        for name in content.chunks:
            self.seen.setdefault(name, ())
            if name in self._bad:
                yield Fault("", self._bad[name])
            elif not self._repo.store.contains(name):
                yield Fault("", f"chunk {name.hex()[:12]} is missing")

    def _once(self, name: ObjectId, visit: Callable[[], Iterator[Fault]]) -> tuple[Fault, ...]:
        if name not in self.seen:
            faults: list[Fault] = []
            try:
                faults.extend(visit())
            except MvcError as error:
                faults.append(Fault("", error.message))
            self.seen[name] = tuple(faults)
        return self.seen[name]

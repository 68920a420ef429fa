"""Bring the versions of a remote, and remember where its branches are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from mvc.base.dtypes import check_precision
from mvc.base.errors import MvcError, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.ops.complete import Completed, complete
from mvc.ops.links import Access, opened
from mvc.ops.tails import let_ask
from mvc.ops.widen import Widened, check_request, checked, widen
from mvc.repo import remotes, revisions
from mvc.repo.refs import BRANCHES, TAGS, Change
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.repo.tracking import ahead_behind
from mvc.store.locks import pinned
from mvc.sync.fetch import fetched
from mvc.sync.history import versions_between
from mvc.sync.limits import MAX_BASES, MAX_CHANGES
from mvc.sync.link import Link
from mvc.sync.listing import EVERYTHING, Listing, few, listed
from mvc.sync.memory import Fetched, Memory
from mvc.sync.quarantine import Quarantine, quarantine
from mvc.sync.transfer import Sums

MAX_DEPTH = 1 << 31
MANY = 64
"""Refs of one request from which on fewer versions are named that are here."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """From which remote (None: the usual one), which of its branches (none: all, and tags).

    `prune` drops what is gone there. Tags that are at another version here move with `force` only.
    At `precision` 16 the lower bits of floats stay there; without it, what the remote's settings
    say. `full` brings those that stayed there before, too, and later ones will come. With `depth`
    so many versions of each branch and tag are to be here at least (0: all of history); without it,
    history ends where it did. `paths` are files that were left out so far and are to be here of all
    versions from now on; `full` brings all.
    """

    remote: str | None = None
    branches: tuple[str, ...] = ()
    prune: bool = False
    tags: bool = True
    force: bool = False
    precision: int | None = None
    full: bool = False
    depth: int | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchedRef:
    """A ref there, what it is called here, and what became of it.

    `status` is `new`, `forward`, `forced`, `deleted` or `refused`, with a `message` then.
    """

    ref: str
    local: str
    old: ObjectId | None
    new: ObjectId | None
    status: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What a fetch changed. `head` is the branch that is current there; `listed` what was listed.

    `completed` is what a full one brought of lower bits, `widened` what files came that had been
    left out.
    """

    remote: str
    url: str
    refs: tuple[FetchedRef, ...]
    sent: Sums = field(default_factory=Sums)
    head: str | None = None
    listed: dict[str, ObjectId] = field(default_factory=dict)
    completed: Completed | None = None
    widened: Widened | None = None


def fetch(
    repo: Repository,
    request: FetchRequest,
    access: Access | None = None,
    progress: Progress = SILENT,
) -> FetchResult:
    """Bring what the branches and tags of a remote lead to; branches here stay where they are.

    A fetch that was cut off goes on where it was when it is run again.
    """
    remote = (
        remotes.usual(repo, repo.refs.head().branch)
        if request.remote is None
        else remotes.find(repo, request.remote)
    )
    access = access or Access()
    check_precision(request.precision)
    check_depth(request.depth)
    if request.full and request.precision:
        raise UsageError("all bits, or some of them?", hint="leave out --full or --precision")
    check_request(request.paths, full=request.full)
    paths = checked(request.paths)
    if request.full and remote.precision:
        remotes.set_precision(repo, remote.name, None)
        remote = replace(remote, precision=None)
    let_ask(repo, access)
    with opened(repo, remote, access) as link:
        listing = _listed(link, remote, request, Memory(repo, remote.url))
        if listing.same:
            found = FetchResult(remote.name, remote.url, (), head=listing.head)
        else:
            found = bring(repo, remote, link, listing, request, progress)
        if repo.chosen.patterns and (paths or request.full):
            every = listing if not (listing.same or request.branches) else listed(link)
            found = replace(found, widened=widen(repo, remote, link, every, paths, progress))
        if not request.full:
            return found
        return replace(found, completed=complete(repo, remote, link, progress))


def check_depth(depth: int | None) -> None:
    """Raise UsageError for a number of versions that cannot be fetched."""
    if depth is not None and not 0 <= depth < MAX_DEPTH:
        raise UsageError(f"a history of {depth} versions cannot be fetched", hint="at least 1")


def bring(
    repo: Repository,
    remote: Remote,
    link: Link,
    listing: Listing,
    request: FetchRequest,
    progress: Progress = SILENT,
) -> FetchResult:
    """Bring what was listed, and note where the branches are there."""
    memory = Memory(repo, remote.url)
    heads = bool(request.precision or remote.precision)
    with closing(_quarantine(repo, memory, heads=heads)) as held:
        fetching = _Fetch(repo, remote, link, held, progress, request.depth)
        return fetching.run(request, listing, memory)


def mirror(
    repo: Repository,
    remote: Remote,
    link: Link,
    listing: Listing,
    progress: Progress = SILENT,
    depth: int | None = None,
) -> FetchResult:
    """Bring what was listed; each branch gets the name here that it has there."""
    here = repo.refs.all()
    wanted = [
        (ref, ref, here.get(ref), new) for ref, new in listing.refs.items() if here.get(ref) != new
    ]
    heads = remote.precision is not None
    with closing(_quarantine(repo, Memory(repo, remote.url), heads=heads)) as held:
        found = _Fetch(repo, remote, link, held, progress, depth).moved(wanted, listing)
        held.drop(held.parts())
        return found


def _quarantine(repo: Repository, memory: Memory, *, heads: bool) -> Quarantine:
    """Return where parts of a remote wait; those without tails have a place of their own."""
    return quarantine(repo, f"remote {memory.key}{' heads' * heads}", heads=heads)


def _listed(link: Link, remote: Remote, request: FetchRequest, memory: Memory) -> Listing:
    if request.branches:
        names = [
            name if name.startswith((BRANCHES, TAGS)) else BRANCHES + name
            for name in request.branches
        ]
        listing = listed(link, few(names))
        for name in names:
            if name not in listing.refs:
                raise NotFoundError(
                    f"{remote.name} has no {name.removeprefix(BRANCHES)[:80]!r}",
                    hint=f"`mvc ls-remote {remote.name}` lists what it has",
                )
        return replace(listing, refs={name: listing.refs[name] for name in names}, state=None)
    before = memory.fetched()
    useful = before is not None and request.tags and not request.force and request.depth is None
    if before is None or not useful or (request.prune and before.stale):
        known = None
    else:
        known = before.state
    return listed(link, EVERYTHING if request.tags else (BRANCHES,), known)


_Wanted = tuple[str, str, ObjectId | None, ObjectId]
"""A ref there, what it is called here, where it is here, and where it is to be."""


class _Fetch:
    def __init__(
        self,
        repo: Repository,
        remote: Remote,
        link: Link,
        held: Quarantine,
        progress: Progress,
        depth: int | None,
    ) -> None:
        self._repo = repo
        self._remote = remote
        self._link = link
        self._held = held
        self._progress = progress
        self._depth = depth
        self._sums = Sums()
        self._peeled: dict[ObjectId, ObjectId] = {}

    def run(self, request: FetchRequest, listing: Listing, memory: Memory) -> FetchResult:
        """Bring what was listed and let refs move."""
        repo, remote = self._repo, self._remote
        whole = not request.branches
        here = repo.refs.all(remote.tracking) | repo.refs.all(TAGS)
        rows: list[FetchedRef] = []
        wanted: list[_Wanted] = []
        for ref, target in listing.refs.items():
            local = remote.tracked(ref) or ref
            old = here.get(local)
            if old == target:
                if self._depth is not None:
                    wanted.append((ref, local, old, target))
                continue
            if ref.startswith(TAGS) and old is not None and not request.force:
                message = "this tag is at another version here; --force moves it"
                rows.append(FetchedRef(ref, local, old, target, "refused", message))
                continue
            wanted.append((ref, local, old, target))
        stale = self._stale(here, listing) if whole else {}
        if request.prune:
            rows += self._prune(stale)
        result = self.moved(wanted, listing, rows)
        clean = all(row.status != "refused" or row.ref.startswith(TAGS) for row in result.refs)
        if whole and request.tags:
            known = listing.state is not None and clean
            note = Fetched(listing.state, bool(stale) and not request.prune) if known else None  # type: ignore[arg-type]
            # All that was there is here: what is left is of a fetch that was cut off at its end.
            self._held.drop(self._held.parts())
            memory.note_fetched(note)
        return result

    def moved(
        self, wanted: list[_Wanted], listing: Listing, rows: Iterable[FetchedRef] = ()
    ) -> FetchResult:
        """Bring versions and let refs move to them, some at a time."""
        done = list(rows)
        waiting: list[_Wanted] = []
        # What has come stays until a ref leads to it.
        with pinned(self._repo.scratch):
            try:
                for group in self._groups(wanted, listing):
                    self._group(group, listing.part_bytes)
                    waiting += (item for item in group if item[2] != item[3])
                    if len(waiting) >= MAX_CHANGES:
                        done += self._move(waiting)
                        waiting = []
            finally:
                done += self._move(waiting)
        order = {row.ref: row for row in sorted(done, key=lambda row: row.ref)}
        return FetchResult(
            self._remote.name,
            self._remote.url,
            tuple(order.values()),
            self._sums,
            listing.head,
            listing.refs,
        )

    def _stale(self, here: dict[str, ObjectId], listing: Listing) -> dict[str, ObjectId]:
        there = {self._remote.tracked(ref) for ref in listing.refs}
        return {
            local: target
            for local, target in here.items()
            if local.startswith(self._remote.tracking) and local not in there
        }

    def _prune(self, stale: dict[str, ObjectId]) -> list[FetchedRef]:
        rows = []
        refused = self._repo.refs.update_many(
            (local, target, None, self._change(target, None, "pruned"))
            for local, target in stale.items()
        )
        for local, target in stale.items():
            ref = BRANCHES + local.removeprefix(self._remote.tracking)
            message = refused[local].message if local in refused else ""
            status = "refused" if message else "deleted"
            rows.append(FetchedRef(ref, local, target, None, status, message))
        return rows

    def _groups(self, wanted: list[_Wanted], listing: Listing) -> Iterator[list[_Wanted]]:
        """Yield runs of few enough versions, first what others probably build on."""
        main = (listing.head, BRANCHES + "main")
        ordered = sorted(wanted, key=lambda item: (item[0] not in main, item[0].startswith(TAGS)))
        group: list[_Wanted] = []
        targets: set[ObjectId] = set()
        for item in ordered:
            if item[3] not in targets and len(targets) == MAX_BASES:
                yield group
                group, targets = [], set()
            group.append(item)
            targets.add(item[3])
        if group:
            yield group

    def _group(self, group: list[_Wanted], part_bytes: int) -> None:
        tips = self._tips
        wants = list(dict.fromkeys(item[3] for item in group))
        if self._depth is None:
            wants = self._lacking(wants, tips)
        haves = self._haves(group, tips)
        if not wants:
            return
        source = self._remote.name if self._held.heads else None
        with fetched(
            self._repo,
            self._link,
            wants,
            haves,
            self._held,
            part_bytes,
            self._progress,
            source,
            self._depth,
        ) as sums:
            tips += wants
        self._sums.parts += sums.parts
        self._sums.bytes += sums.bytes

    @cached_property
    def _tips(self) -> list[ObjectId]:
        """Where the refs here are, or will be, the likeliest to help first."""
        refs = self._repo.refs
        head = refs.head().commit
        order = (BRANCHES, self._remote.tracking, TAGS, "refs/")
        found = [] if head is None else [head]
        every = refs.all()
        for prefix in order:
            found += [target for name, target in every.items() if name.startswith(prefix)]
        return list(dict.fromkeys(found))

    def _lacking(self, targets: list[ObjectId], tips: list[ObjectId]) -> list[ObjectId]:
        """Return the versions that no ref here leads to: of others all is here for certain."""
        store = self._repo.store
        store.refresh()
        held = set(tips)
        here = {item for item in targets if store.index.kind(item) is not None}
        unsure = [item for item in targets if item not in held and item in here]
        loose = set(unsure)
        if unsure:
            with suppress(MvcError):
                loose = {item.id for item in versions_between(self._repo, unsure, tips)[0]}
        return [
            item for item in targets if item not in held and (item in loose or item not in here)
        ]

    def _haves(self, group: list[_Wanted], tips: list[ObjectId]) -> list[ObjectId]:
        found: dict[ObjectId, None] = {}
        # Each costs time on both sides, and what is here is not sent again in any case.
        most = MAX_BASES if len(group) <= MANY else MANY
        for item in (*(old for _, _, old, _ in group if old is not None), *tips):
            if len(found) == most:
                break
            # A damaged ref is no help, and told of elsewhere.
            with suppress(MvcError):
                if item not in self._peeled:
                    self._peeled[item] = revisions.peel(self._repo, item)
                found[self._peeled[item]] = None
        return list(found)

    def _move(self, group: list[_Wanted]) -> list[FetchedRef]:
        rows = [
            FetchedRef(ref, local, old, new, self._status(local, old, new))
            for ref, local, old, new in group
        ]
        refused = self._repo.refs.update_many(
            (row.local, row.old, row.new, self._change(row.old, row.new, row.status))
            for row in rows
        )
        return [
            replace(row, status="refused", message=refused[row.local].message)
            if row.local in refused
            else row
            for row in rows
        ]

    def _status(self, local: str, old: ObjectId | None, new: ObjectId) -> str:
        if old is None:
            return "new"
        if local.startswith(TAGS):
            return "forced"
        try:
            return "forced" if ahead_behind(self._repo, new, old)[1] else "forward"
        except MvcError:
            return "forced"

    def _change(self, old: ObjectId | None, new: ObjectId | None, what: str) -> Change:
        return self._repo.change(old, new, f"fetch {self._remote.name}: {what}")

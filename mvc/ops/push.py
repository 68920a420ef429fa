"""Send branches and tags to a remote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from mvc.base.errors import (
    MissingObjectError,
    MvcError,
    NegativeAnswer,
    NotAllowedError,
    NotFoundError,
    RemoteMovedError,
    UsageError,
)
from mvc.base.ids import ObjectId, parse_id
from mvc.base.progress import SILENT, Progress
from mvc.ops.links import Access, meant, opened
from mvc.repo import remotes, revisions
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, TAGS, short
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.sync.limits import MAX_CHANGES
from mvc.sync.memory import Memory
from mvc.sync.push import Move, Pushed, Row
from mvc.sync.push import push as sent
from mvc.sync.transfer import Sums


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What is to be where.

    `specs` are `BRANCH`, `TAG`, `SRC:DST`, `:DST` (deletes), each with `+` before it to force; none
    stand for the current branch. `leases` are `REF` or `REF:ID` of --force-with-lease, `leased` is
    that option without any.
    """

    remote: str | None = None
    specs: tuple[str, ...] = ()
    branches: bool = False
    tags: bool = False
    delete: bool = False
    force: bool = False
    leased: bool = False
    leases: tuple[str, ...] = ()
    atomic: bool = False
    dry_run: bool = False
    set_upstream: bool = False


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of each ref. `follows` are branches that have an upstream now: name, upstream."""

    remote: str
    url: str
    rows: tuple[Row, ...]
    objects: int = 0
    planned: int = 0
    sent: Sums = field(default_factory=Sums)
    dry_run: bool = False
    follows: tuple[tuple[str, str], ...] = ()

    def problem(self) -> MvcError | None:
        """Return the error that the refusals are together, None if nothing was refused."""
        refused = [row for row in self.rows if row.status == "refused"]
        if not refused:
            return None
        codes = {row.code for row in refused}
        name = short(refused[0].move.ref)
        count = name if len(refused) == 1 else f"{len(refused)} refs"
        message = f"{self.remote or self.url} did not take {count}"
        if "not-allowed" in codes:
            return NotAllowedError(message, hint="ask who runs it for a grant, or push elsewhere")
        if codes & {"moved", "not-forward"}:
            if all(row.move.ref.startswith(TAGS) for row in refused if row.code != "not-moved"):
                return RemoteMovedError(message, hint="give the tag another name")
            return RemoteMovedError(
                message, hint="`mvc pull` brings what is there, then push again"
            )
        return NegativeAnswer(message, hint="the table above has the reasons")


def push(
    repo: Repository,
    request: PushRequest,
    access: Access | None = None,
    progress: Progress = SILENT,
) -> PushResult:
    """Send what a remote lacks of some versions and let its refs move to them.

    A push that was cut off goes on where it was when it is run again.
    """
    access = access or Access()
    remote = meant(repo, request.remote, access.here)
    seen = remotes.seen(repo, remote) if remote.name else {}
    moves = [_leased(repo, request, seen, move) for move in _Wishes(repo, remote, request).moves()]
    moves = list({move.ref: move for move in moves}.values())
    if request.atomic and len(moves) > MAX_CHANGES:
        raise UsageError(f"at most {MAX_CHANGES} refs move together", hint="leave out --atomic")
    memory = Memory(repo, remote.url)
    found: list[Pushed] = []
    with _told_of_depth(repo), opened(repo, remote, access) as link:
        for at in range(0, len(moves), MAX_CHANGES):
            done = sent(
                repo,
                link,
                moves[at : at + MAX_CHANGES],
                memory,
                seen.values(),
                atomic=request.atomic,
                dry_run=request.dry_run,
                progress=progress,
            )
            found.append(done)
            if not request.dry_run:
                _remember(repo, remote, done.rows)
    rows = tuple(row for done in found for row in done.rows)
    follows = () if request.dry_run else tuple(_follow(repo, remote, request, rows))
    return PushResult(
        remote.name,
        remote.url,
        rows,
        sum(done.objects for done in found),
        sum(done.planned for done in found),
        Sums(sum(done.sent.parts for done in found), sum(done.sent.bytes for done in found)),
        request.dry_run,
        follows,
    )


@contextmanager
def _told_of_depth(repo: Repository) -> Iterator[None]:
    """Say what to do where a server lacks versions that are not here either."""
    try:
        yield
    except MissingObjectError as error:
        if repo.chosen.scope is not None:
            error.hint = "`mvc fetch --full` brings all files of the versions, which it may lack"
        if repo.shallow.commits():
            error.hint = "`mvc fetch --unshallow` brings the older versions, which it may lack"
        raise


class _Wishes:
    """Turns the words of a push into moves."""

    def __init__(self, repo: Repository, remote: Remote, request: PushRequest) -> None:
        self._repo = repo
        self._remote = remote
        self._request = request

    def moves(self) -> Iterator[Move]:
        """Yield what is to move where."""
        request, refs = self._request, self._repo.refs
        prefixes = (BRANCHES,) * request.branches + (TAGS,) * request.tags
        for prefix in prefixes:
            for ref, target in refs.all(prefix).items():
                yield self._move(ref, target, self._remote.pushed(ref), force=request.force)
        specs = request.specs
        if not specs and not prefixes:
            if request.delete:
                raise UsageError("which branch is to be deleted there?", hint="mvc push -d NAME")
            specs = (self._current(),)
        for spec in specs:
            yield self._spec(f":{spec}" if request.delete else spec)

    def _current(self) -> str:
        head = self._repo.refs.head()
        if head.ref is None:
            raise NegativeAnswer(
                "HEAD is at no branch", hint="`mvc push REMOTE HEAD:BRANCH` says where it belongs"
            )
        if head.commit is None:
            raise NegativeAnswer("there is nothing to push yet", hint="`mvc commit -m MESSAGE`")
        return head.ref

    def _spec(self, spec: str) -> Move:
        forced = self._request.force or spec.startswith("+")
        source, colon, goal = spec.removeprefix("+").partition(":")
        if colon and not goal:
            raise UsageError(f"{spec[:80]!r} does not say where to", hint="write SRC:DST")
        if not source:
            return Move(self._goal(goal, BRANCHES), None, goal, force=True)
        if source in ("HEAD", "@"):
            source = self._repo.refs.head().ref or source
        ref, target = self._source(source)
        if not goal:
            if ref is None:
                raise UsageError(
                    f"{source[:80]!r} is neither a branch nor a tag",
                    hint=f"write {source[:40]}:BRANCH to say what it becomes there",
                )
            return self._move(ref, target, self._remote.pushed(ref), force=forced)
        kind = TAGS if ref is not None and ref.startswith(TAGS) else BRANCHES
        return self._move(ref or source, target, self._goal(goal, kind), force=forced)

    def _source(self, name: str) -> tuple[str | None, ObjectId]:
        for prefix in ("", BRANCHES, TAGS):
            ref = prefix + name
            if ref.startswith((BRANCHES, TAGS)):
                target = self._repo.refs.get(ref)
                if target is not None:
                    return ref, target
        try:
            return None, revisions.resolve(self._repo, name)
        except NotFoundError as error:
            raise NotFoundError(
                f"there is no branch or tag {name[:80]!r} to push", hint=error.hint
            ) from error

    def _goal(self, name: str, kind: str) -> str:
        """Return the full name of what a destination names."""
        if name.startswith((BRANCHES, TAGS)):
            return remotes.check_ref(name)
        check_branch(name)
        if kind == TAGS or name.startswith(self._remote.prefix):
            return kind + name
        return self._remote.pushed(kind + name)

    def _move(self, source: str, target: ObjectId, goal: str, *, force: bool) -> Move:
        if goal.startswith(BRANCHES):
            target = revisions.peel(self._repo, target)
        return Move(goal, target, short(source), force)


def _leased(repo: Repository, request: PushRequest, seen: dict[str, ObjectId], move: Move) -> Move:
    """Add to a move where --force-with-lease says that the ref must be."""
    for lease in request.leases:
        name, colon, expected = lease.partition(":")
        if name not in (move.ref, short(move.ref), move.source):
            continue
        if not colon:
            return replace(move, lease=(seen.get(move.ref),))
        return replace(move, lease=(_expected(repo, expected),))
    if request.leased and not request.leases:
        return replace(move, lease=(seen.get(move.ref),))
    return move


def _expected(repo: Repository, text: str) -> ObjectId | None:
    if not text:
        return None
    with suppress(MvcError):
        return parse_id(text)
    return revisions.resolve_object(repo, text)


def _remember(repo: Repository, remote: Remote, rows: tuple[Row, ...]) -> None:
    """Note where branches are there now, so that status knows without asking."""
    if not remote.name:
        return
    changes = []
    for row in rows:
        local = remote.tracked(row.move.ref)
        if local is None or row.status == "refused":
            continue
        old = repo.refs.get(local)
        if old != row.move.new:
            change = repo.change(old, row.move.new, f"push to {remote.name}: {row.status}")
            changes.append((local, old, row.move.new, change))
    # What cannot be noted (a branch beside a folder of its name) the next fetch tells.
    repo.refs.update_many(changes)


def _follow(
    repo: Repository, remote: Remote, request: PushRequest, rows: tuple[Row, ...]
) -> Iterator[tuple[str, str]]:
    """Let branches follow what they were pushed to, those that follow nothing yet in any case."""
    if not remote.name:
        return
    for row in rows:
        branch, local = row.move.source, remote.tracked(row.move.ref)
        if row.status == "refused" or row.move.new is None or local is None:
            continue
        if repo.refs.get(BRANCHES + branch) is None:
            continue
        before = remotes.upstream(repo, branch)
        if before is None or (request.set_upstream and before.local != local):
            remotes.follow(repo, branch, remote.name, row.move.ref)
            yield branch, short(local)

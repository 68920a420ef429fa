"""Copy a repository: all of it, or nothing that looks like it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mvc.base import fileio
from mvc.base.dtypes import check_precision
from mvc.base.errors import MvcError, NegativeAnswer, NotFoundError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.ops.checkout import checkout
from mvc.ops.fetch import FetchRequest, FetchResult, bring, check_depth, mirror
from mvc.ops.links import Access, located, opened
from mvc.ops.pull import forward
from mvc.ops.tails import let_ask
from mvc.ops.widen import checked
from mvc.repo import remotes
from mvc.repo.refs import BRANCHES, DEFAULT_BRANCH, TAGS
from mvc.repo.remotes import DEFAULT, Remote
from mvc.repo.repository import Environment, Repository
from mvc.sync.link import Link
from mvc.sync.listing import Listing, listed

COPY = "copy"


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """What to copy where; `branch` is a branch or tag to begin at, by default theirs.

    At `precision` 16 the lower bits of floats stay there, also those of later fetches. With `depth`
    so many versions of each branch and tag come, with `paths` of each version those files alone.
    """

    url: str
    target: Path
    bare: bool = False
    branch: str | None = None
    precision: int | None = None
    depth: int | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CloneResult:
    """Where the copy is, and at what; `commit` is None where there was nothing to copy.

    `reduced` are the files that were written at reduced precision.
    """

    folder: Path
    bare: bool
    branch: str | None
    commit: ObjectId | None
    written: int
    fetched: FetchResult
    reduced: tuple[str, ...] = ()


def clone(
    request: CloneRequest,
    environment: Environment | None = None,
    access: Access | None = None,
    progress: Progress = SILENT,
) -> CloneResult:
    """Copy a repository into a folder that is new or empty, which appears when all is there.

    One that was cut off goes on where it was when it is run again; where nothing has come yet,
    nothing stays.
    """
    access = access or Access()
    check_precision(request.precision)
    check_depth(request.depth)
    request = replace(request, paths=checked(request.paths))
    url = str(located(request.url, access.here))
    remote = Remote(DEFAULT, url, precision=request.precision)
    target = request.target
    if fileio.lexists(target) and (not fileio.is_dir(target) or fileio.names(target)):
        if not fileio.lexists(_beside(target) / COPY):
            # Of a clone that was killed when all but this was done.
            fileio.remove_tree(_beside(target))
        raise NegativeAnswer(
            f"{target} exists already", hint="clone into a folder that is new or empty"
        )
    with _staged(target, access) as staged:
        _clear_other(staged, remote, request)
        with Repository.init(staged, bare=request.bare, environment=environment) as repo:
            if not remotes.remotes(repo):
                repo.chosen.change(request.paths)
                remotes.add(repo, remote)
            let_ask(repo, access)
            with opened(repo, remote, access) as link:
                done = _filled(repo, remote, link, request, progress)
        fileio.publish(staged, target)
    return done


@contextmanager
def _staged(target: Path, access: Access) -> Iterator[Path]:
    """Give a folder beside the target, which stays where there is something to go on with."""
    folder = _beside(target)
    staged = folder / COPY
    fileio.make_dirs(folder)
    with fileio.locked(folder / "lock", wait=False):
        try:
            yield staged
        except BaseException as error:
            if not _worth_keeping(staged):
                fileio.remove_tree(folder)
            elif isinstance(error, MvcError):
                error.hint = (
                    f"what has come is kept: run the same command again to go on{_also(error)}"
                )
            else:
                access.told("what has come is kept: run the same command again to go on")
            raise
        fileio.remove_tree(folder)


def _beside(target: Path) -> Path:
    return target.parent / f".{target.name}.mvc-clone"


def _also(error: MvcError) -> str:
    return f"; {error.hint}" if error.hint else ""


def _worth_keeping(staged: Path) -> bool:
    for folder in (staged / ".mvc", staged):
        packs = fileio.names(folder / "packs") if fileio.is_dir(folder / "packs") else []
        if packs or (fileio.is_dir(folder / "incoming") and _has_parts(folder / "incoming")):
            return True
    return False


def _has_parts(folder: Path) -> bool:
    return any(entry.parts[-1].endswith(".head") for entry in fileio.walk_files(folder, ()))


def _clear_other(staged: Path, remote: Remote, request: CloneRequest) -> None:
    """Remove what an earlier try left, if it was to be another copy or cannot be read."""
    if not fileio.lexists(staged):
        return
    folder = staged if request.bare else staged / ".mvc"
    with suppress(MvcError), Repository(folder, None) as repo:
        deep = request.depth is None and repo.shallow.commits()
        others = repo.chosen.patterns != request.paths
        if remotes.remotes(repo) in ([], [remote]) and not (deep or others):
            return
    fileio.remove_tree(staged)


def _filled(
    repo: Repository, remote: Remote, link: Link, request: CloneRequest, progress: Progress
) -> CloneResult:
    listing = listed(link)
    ref = _begin(listing, request.branch, remote)
    if request.bare:
        found = mirror(repo, remote, link, listing, progress, request.depth)
    else:
        wanted = FetchRequest(depth=request.depth)
        found = bring(repo, remote, link, listing, wanted, progress)
    for row in found.refs:
        if row.status == "refused":
            raise NegativeAnswer(f"{row.ref} cannot be copied: {row.message}")
    branch = (ref or BRANCHES + DEFAULT_BRANCH).removeprefix(BRANCHES)
    commit = listing.refs[ref] if ref else None
    written = 0
    reduced: tuple[str, ...] = ()
    if ref is None or ref.startswith(BRANCHES):
        _point(repo, BRANCHES + branch)
    if ref and not request.bare:
        written, reduced = _written(repo, remote, ref, found, progress)
    head = repo.refs.head()
    at = head.commit or commit
    return CloneResult(request.target, request.bare, head.branch, at, written, found, reduced)


def _begin(listing: Listing, wanted: str | None, remote: Remote) -> str | None:
    """Return the ref that the copy begins at, None where there is none."""
    if wanted is not None:
        for ref in (BRANCHES + wanted, TAGS + wanted):
            if ref in listing.refs:
                return ref
        raise NotFoundError(
            f"there is no branch or tag {wanted[:80]!r} there",
            hint=f"`mvc ls-remote {remote.url}` lists what there is",
        )
    usual = (listing.head, BRANCHES + DEFAULT_BRANCH)
    branches = [ref for ref in listing.refs if ref.startswith(BRANCHES)]
    return next((ref for ref in (*usual, *branches) if ref in listing.refs), None)


def _point(repo: Repository, ref: str) -> None:
    head = repo.refs.head()
    if head.ref != ref:
        repo.refs.set_head(ref, repo.change(head.commit, repo.refs.get(ref), "clone"))


def _written(
    repo: Repository, remote: Remote, ref: str, found: FetchResult, progress: Progress
) -> tuple[int, tuple[str, ...]]:
    """Write the files of the version that the copy begins at; return how many, and which short."""
    if ref.startswith(TAGS):
        done = checkout(repo, ref, detach=True, precision=remote.precision, progress=progress)
        return done.written, done.reduced
    local = remote.tracked(ref) or ref
    target = repo.refs.get(local)
    if target is None:
        raise NotFoundError(f"{ref} has gone meanwhile", hint="run the same command again")
    remotes.follow(repo, ref.removeprefix(BRANCHES), remote.name, ref)
    head = repo.refs.head()
    moved = forward(repo, found, head, local, target, progress, "clone")
    return moved.written, moved.reduced

"""The steps of a merge, cherry-pick or revert in a working copy, in an order that survives kills.

1. All objects are durable in the store: files, trees, and the commit where nothing is to decide.
2. What is under way is noted durably (mvc.repo.merging).
3. The files of the working copy change, each in one step.
4. The branch moves by compare-and-swap; or the merge stops for decisions, and this is noted.
5. The note goes.

A kill before 2 leaves nothing but scratch, a kill after it what `go_on` and `go_back` can end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mvc.base.errors import NegativeAnswer, RemoteMovedError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import merging
from mvc.repo.in_the_way import check_free
from mvc.repo.merging import Merging
from mvc.repo.repository import Repository
from mvc.repo.state import Known
from mvc.repo.worktree import Worktree

Files = Mapping[str, Entry]


def changed(files: Files, changes: Mapping[str, Entry | None]) -> dict[str, Entry]:
    """Return files with changes to some of them; None takes one away."""
    found = {path: entry for path, entry in files.items() if path not in changes}
    return found | {path: entry for path, entry in changes.items() if entry is not None}


def here(repo: Repository, changes: Mapping[str, Entry | None]) -> dict[str, Entry | None]:
    """Return the changes to files that this working copy has."""
    scope = repo.chosen.scope
    return {path: entry for path, entry in changes.items() if scope is None or scope.chooses(path)}


def check_clean(tree: Worktree, files: Files, verb: str) -> None:
    """Raise NegativeAnswer where anything is uncommitted: decisions would end in one commit."""
    found = tree.changes(dict(files), untracked=False)
    every = [*found.modified, *found.added, *found.deleted]
    if every:
        raise NegativeAnswer(
            f"this {verb} stops for decisions, and there are uncommitted changes: {_some(every)}",
            hint="commit them or `mvc restore` them first",
        )


def check_room(repo: Repository, tree: Worktree, found: Merging) -> None:
    """Raise NegativeAnswer, having changed nothing, where uncommitted work is in the way."""
    files = tree.files_of(found.task.ours)
    target = changed(files, here(repo, found.files))
    if lost := tree.blockers(target, files):
        raise NegativeAnswer(
            f"uncommitted changes would be lost: {_some(lost)}",
            hint="commit them or `mvc restore` them first; move files away that are not tracked",
        )
    fresh = [path for path, entry in target.items() if files.get(path) != entry]
    gone = {path for path in files if path not in target and path in tree.state.files}
    check_free(tree.root, fresh, gone, force=False)


def begin(repo: Repository, tree: Worktree, found: Merging, progress: Progress = SILENT) -> int:
    """Take the steps from 2 on; return how many files were written."""
    reduced = {
        path: known.precision
        for path in {*found.files, *(item.path for item in found.conflicts)}
        if isinstance(known := tree.state.files.get(path), Known) and known.precision
    }
    found = replace(found, reduced=reduced)
    merging.save(repo, found)
    return place(repo, tree, found, progress)


def place(repo: Repository, tree: Worktree, found: Merging, progress: Progress = SILENT) -> int:
    """Bring the files in place and move the branch if there is a commit already."""
    files = tree.files_of(found.task.ours)
    written = tree.move_to(changed(files, here(repo, found.files)), files, progress=progress)
    if found.commit is None:
        merging.save(repo, replace(found, written=True))
    else:
        land(repo, found, found.commit)
    return len(written)


def rewrite(
    tree: Worktree,
    paths: Iterable[str],
    then: Mapping[str, Entry | None],
    now: Mapping[str, Entry | None],
    progress: Progress = SILENT,
) -> None:
    """Write files whose conflicts were decided, over what the merge had left there."""
    _put_back(tree, _present(then), _present(now), paths, None, progress)


def land(repo: Repository, found: Merging, commit: ObjectId) -> None:
    """Move the branch to the commit that ends this, and drop the note.

    Where more is to be picked, the note stays until that of the next replaces it.
    """
    subject = found.message.split("\n", 1)[0][:200]
    repo.advance(found.task.ours, commit, f"{found.verb}: {subject}")
    if not found.todo:
        merging.clear(repo)


def check_head(repo: Repository, found: Merging) -> None:
    """Raise RemoteMovedError if the branch or HEAD went elsewhere since."""
    head = repo.refs.head()
    if head.ref != found.ref or head.commit not in (found.task.ours, found.commit):
        raise RemoteMovedError(
            f"HEAD has moved since this {found.verb} began",
            hint=f"`mvc {found.verb} --abort` drops what was begun and leaves HEAD where it is",
        )


def go_back(repo: Repository, tree: Worktree, progress: Progress = SILENT) -> Merging:
    """Bring branch and files back to where they were; return what was given up.

    Where HEAD went elsewhere meanwhile, only the note is dropped.
    """
    found = merging.load(repo)
    if found is None:
        raise NegativeAnswer(
            "nothing is under way", hint="`mvc reset --hard HEAD~1` undoes a merge"
        )
    try:
        check_head(repo, found)
    except RemoteMovedError:
        merging.clear(repo)
        return found
    before = tree.files_of(found.origin)
    now = changed(tree.files_of(found.task.ours), here(repo, found.files))
    about = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
    about |= {item.path for item in found.conflicts}
    about |= {path for path in here(repo, found.files) if path in before.keys() | now.keys()}
    _put_back(tree, before, now, about - found.reduced.keys(), None, progress)
    for bits in set(found.reduced.values()):
        short = {path for path, count in found.reduced.items() if count == bits}
        _put_back(tree, before, now, about & short, bits, progress)
    head = repo.head_commit()
    if head is not None and head != found.origin:
        repo.advance(head, found.origin, f"{found.verb}: aborted")
    merging.clear(repo)
    return found


def _put_back(
    tree: Worktree,
    before: Files,
    now: Files,
    about: Iterable[str],
    precision: int | None,
    progress: Progress,
) -> None:
    paths = set(about)
    for path in sorted(paths & now.keys() - before.keys()):
        # One that a run brought which was cut off before it noted so.
        if path not in tree.state.files and tree.has(path, now[path]):
            tree.track(path)
    target = {path: before[path] for path in sorted(paths & before.keys())}
    held = {path: now[path] for path in paths & now.keys()}
    tree.move_to(target, held, force=True, precision=precision, progress=progress)


def _present(files: Mapping[str, Entry | None]) -> dict[str, Entry]:
    return {path: entry for path, entry in files.items() if entry is not None}


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(sorted(paths)[:5]) + more

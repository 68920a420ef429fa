"""Revisions as people write them (docs/cli.md, "Revisions").

HEAD  @  main  v1.0  3f2a91  origin/main  @{2}  main@{1}  REV~3  REV^  REV^2  REV:path
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mvc.base.errors import MissingObjectError, NotFoundError, UsageError
from mvc.base.ids import ObjectId, is_prefix
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.refs import BRANCHES, REMOTES, TAGS, short
from mvc.repo.repository import Repository
from mvc.storage import keys

_SUFFIX = re.compile(r"\^\{commit\}|\^\{\}|\^[0-9]{0,3}|~[0-9]{0,6}|@\{[0-9]{1,6}\}", re.ASCII)
_BASE = re.compile(r"(?:(?!@\{)[^~^:])*")


@dataclass(frozen=True, slots=True)
class Found:
    """What `REV:path` names: a file or directory of a version, or its root (`path` empty)."""

    commit: ObjectId
    path: str
    entry: Entry


def resolve(repo: Repository, revision: str) -> ObjectId:
    """Return the commit a revision names, or raise NotFoundError or UsageError."""
    match = _BASE.match(revision)
    base = match.group() if match else ""
    rest = revision[len(base) :]
    if rest.startswith("@{"):
        number = _SUFFIX.match(rest)
        if number is None:
            raise _malformed(revision)
        current = _logged(repo, base or "HEAD", int(number.group()[2:-1]))
        rest = rest[number.end() :]
    else:
        current = peel(repo, resolve_object(repo, base))
    while rest:
        step = _SUFFIX.match(rest)
        if step is None or step.group().startswith("@"):
            raise _malformed(revision)
        current = _step(repo, current, step.group(), revision)
        rest = rest[step.end() :]
    return current


def resolve_object(repo: Repository, name: str) -> ObjectId:
    """Return the id that a ref or an abbreviated id names, without following tags."""
    if name in ("HEAD", "@"):
        commit = repo.head_commit()
        if commit is None:
            bare = "`mvc push` from a working copy brings some"
            hint = "`mvc add FILE` and `mvc commit -m MESSAGE`" if repo.worktree else bare
            raise NotFoundError("there are no commits yet", hint=hint)
        return commit
    for prefix in ("", BRANCHES, TAGS, REMOTES):
        full = prefix + name
        if full.startswith(keys.REFS) and _plausible(full):
            target = repo.refs.get(full)
            if target is not None:
                return target
    if is_prefix(name):
        return _abbreviated(repo, name)
    raise NotFoundError(f"no revision is called {name[:80]!r}", hint=_suggestion(repo, name))


def find(repo: Repository, spec: str) -> Found:
    """Return what `REV` or `REV:path` names, or raise NotFoundError."""
    revision, _, path = spec.partition(":")
    commit = resolve(repo, revision or "HEAD")
    tree = repo.commit(commit).tree
    entry = trees.find(repo.store, tree, path)
    if entry is None:
        near = _close(path, trees.files(repo.store, tree))
        raise NotFoundError(
            f"{revision or 'HEAD'} has no file {path[:200]!r}",
            hint=f"did you mean {near[0]}?" if near else "`mvc ls-tree -r REV` lists its files",
        )
    return Found(commit, path.strip("/"), entry)


def peel(repo: Repository, target: ObjectId) -> ObjectId:
    """Return the commit an id stands for, following annotated tags."""
    for _ in range(10):
        kind = repo.store.kind(target)
        if kind == "commit":
            return target
        if kind is None:
            raise MissingObjectError(
                f"version {target.hex()[:12]} is missing or damaged",
                hint="`mvc fsck` shows the damage; `mvc export` saves versions that are whole",
            )
        if kind != "tag":
            raise NotFoundError(f"{target.hex()[:12]} is a {kind}, not a version")
        target = repo.tag(target).target
    raise NotFoundError("a tag points to tags without end")


def matching(repo: Repository, pattern: str) -> dict[str, ObjectId]:
    """Return the commits of the refs that match a pattern such as `devices/*`, by full name.

    Branches come first, then refs of remotes, then tags; only the first kind that has a match
    counts. Raises NotFoundError where none has.
    """
    for prefix in ("", BRANCHES, REMOTES, TAGS):
        found = {
            name: repo.refs.get(name)
            for name in repo.refs.names(prefix or keys.REFS)
            if fnmatchcase(name.removeprefix(prefix), pattern)
        }
        if found:
            return {name: peel(repo, target) for name, target in found.items() if target}
    raise NotFoundError(
        f"no branch or tag matches {pattern[:80]!r}",
        hint="`mvc branch -v` lists them; of a remote write 'origin/devices/*'",
    )


def names(repo: Repository) -> list[str]:
    """Return the short names of all refs, for completion and suggestions."""
    return ["HEAD", *(short(name) for name in repo.refs.names())]


def _plausible(full: str) -> bool:
    return "//" not in full and ".." not in full and "\0" not in full and len(full) < 400


def _abbreviated(repo: Repository, name: str) -> ObjectId:
    found = repo.store.prefixed(name)
    versions = [item for item, kind in found if kind in ("commit", "tag")]
    candidates = versions or [item for item, _ in found]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        some = ", ".join(item.hex()[:12] for item in candidates[:4])
        raise UsageError(f"{name} is ambiguous: {some}", hint="give more digits")
    raise NotFoundError(f"no object starts with {name}", hint=_suggestion(repo, name))


def _suggestion(repo: Repository, name: str) -> str:
    near = _close(name, names(repo))
    return f"did you mean {near[0]}?" if near else "`mvc branch` and `mvc tag` list the names"


def _close(name: str, among: Iterable[str]) -> list[str]:
    # Only a mistake needs it; every command would pay for loading it.
    from difflib import get_close_matches

    return get_close_matches(name, list(among), 1, 0.5)


def _logged(repo: Repository, base: str, number: int) -> ObjectId:
    if base in ("HEAD", "@"):
        places = [keys.HEAD]
    elif base.startswith(keys.REFS):
        places = [base]
    else:
        places = [prefix + base for prefix in (BRANCHES, TAGS, REMOTES)]
    history = next(filter(None, map(repo.refs.history, places)), [])
    if number == 0 and not history:
        return peel(repo, resolve_object(repo, base))
    if number >= len(history):
        raise NotFoundError(
            f"the log of {base} goes back {max(0, len(history) - 1)} steps, not {number}",
            hint=f"`mvc reflog {base}` shows it",
        )
    target = history[number].new
    if target is None:
        raise NotFoundError(f"{base} did not exist {number} steps ago")
    return target


def _step(repo: Repository, current: ObjectId, step: str, revision: str) -> ObjectId:
    if step in ("^{commit}", "^{}", "^0"):
        return current
    count = int(step[1:]) if len(step) > 1 else 1
    if step.startswith("^"):
        parents = repo.parents(current, repo.commit(current))
        if not parents:
            raise _too_far(repo, current, revision)
        if count > len(parents):
            raise NotFoundError(f"{revision}: a commit has {len(parents)} parents, not {count}")
        return parents[count - 1]
    for _ in range(count):
        parents = repo.parents(current, repo.commit(current))
        if not parents:
            raise _too_far(repo, current, revision)
        current = parents[0]
    return current


def _too_far(repo: Repository, current: ObjectId, revision: str) -> NotFoundError:
    if current in repo.shallow.commits():
        return NotFoundError(
            f"{revision} goes back further than was fetched",
            hint="`mvc fetch --unshallow` brings the rest of history",
        )
    return NotFoundError(f"{revision} goes back further than the first commit")


def _malformed(revision: str) -> UsageError:
    return UsageError(
        f"{revision[:80]!r} is not a revision",
        hint="for example HEAD~2, main, v1.0, @{1} or the first digits of an id",
    )

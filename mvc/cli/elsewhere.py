"""Words that other programs have for commands, and what to write for them here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mvc.base.errors import UsageError

_EXPORT = "`mvc export REV DIR` writes the files of a version into a folder"
_NOT_YET = {
    "rebase": "`mvc switch NEW` and `mvc cherry-pick OLD..BRANCH` put commits on top of another",
    "stash": "`mvc switch -c NAME` and `mvc commit` keep changes on a branch",
    "lfs": "nothing needs it: every file is stored whole or as a difference, however large",
    "grep": "`mvc diff` and `mvc log -- FILE:TENSOR` look into files",
    "notes": "`mvc tag -a NAME -m TEXT` adds a text to a version",
    "worktree": _EXPORT,
    "clean": "`mvc status` lists the files that are not tracked",
}
_CALLED = {
    "annotate": "`mvc blame FILE` shows which version changed each tensor last",
    "archive": _EXPORT,
    "submodule": "a repository inside another one is left alone: use both side by side",
    "version": "`mvc --version` tells it",
    "prune": "`mvc gc --prune now` drops what nothing reaches",
    "ls-files": "`mvc ls-tree -r HEAD` lists the files of a version",
    "ls": "`mvc ls-tree -r HEAD` lists the files of a version",
    "cat-file": "`mvc cat-object` prints a stored object",
    "cat": "`mvc show REV:FILE` tells of a file, `mvc export REV:FILE DIR` writes it",
    "show-ref": "`mvc branch -v` and `mvc tag -v` list them",
    "describe": "`mvc log --oneline -n 1` shows the version with its names",
    "shortlog": "`mvc log --oneline` has one line a commit",
    "rename": "`mvc mv OLD NEW` renames",
    "delete": "`mvc rm FILE` removes",
    "remove": "`mvc rm FILE` removes",
    "move": "`mvc mv OLD NEW` renames",
    "undo": "`mvc restore FILE` drops changes, `mvc reset HEAD~1` the last commit",
    "history": "`mvc log` shows it",
    "verify": "`mvc fsck` verifies everything",
    "list": "`mvc ls-tree -r HEAD` lists the files of a version",
    "track": "`mvc add FILE` starts tracking",
    "untrack": "`mvc rm --cached FILE` stops tracking",
    "unstage": "nothing is staged here: `mvc rm --cached FILE` stops tracking",
    "save": "`mvc commit -m 'what changed'` records a version",
}


def not_a_command(name: str, commands: Iterable[str]) -> UsageError:
    """Return the error for a word that is no command, with the nearest thing there is."""
    if name in _NOT_YET:
        return UsageError(f"mvc has no {name!r} yet", hint=_NOT_YET[name])
    message = f"{name[:80]!r} is not an mvc command"
    if name in _CALLED:
        return UsageError(message, hint=_CALLED[name])
    from difflib import get_close_matches

    near = get_close_matches(name, list(commands), 1, 0.6)
    suggestion = f"; did you mean {near[0]}?" if near else ""
    return UsageError(message + suggestion, hint="`mvc --help` lists the commands")


def wanted_help(words: Sequence[str], commands: Iterable[str]) -> str | None:
    """Return the command that `help WORDS` asks about, None for all of them."""
    names = [word for word in words if not word.startswith("-")]
    if len(names) > 1:
        raise UsageError("help takes one command", hint="for example `mvc help commit`")
    if names and names[0] not in commands:
        raise not_a_command(names[0], commands)
    return names[0] if names else None

"""How repositories of a server are called: paths of plain segments, and patterns of them.

The rule is stricter than that of files: no name needs an escape in a URL, so that a path has one
spelling only and whoever filters paths before the server sees what the server sees.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import NamedTuple

from mvc.base.errors import UsageError
from mvc.repo.names import name_problem

MAX_SEGMENTS = 8
MARK = "/-/mvc/"
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~+=@,-]{0,99}", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9_*?][A-Za-z0-9._~+=@,*?-]{0,99}", re.ASCII)
_VERB = re.compile(r"[a-z]{1,16}", re.ASCII)


class Target(NamedTuple):
    """What the path of a request names."""

    repository: str
    verb: str


def is_name(text: str) -> bool:
    """Tell whether a text can be the name of a repository."""
    parts = text.split("/")
    return len(parts) <= MAX_SEGMENTS and all(
        _SEGMENT.fullmatch(part) and not part.endswith(".lock") and name_problem(part) is None
        for part in parts
    )


def parse_target(raw_path: bytes) -> Target | None:
    """Return what the raw path of a request names, None if it is no request to a repository."""
    try:
        text = raw_path.decode("ascii")
    except UnicodeDecodeError:
        return None
    name, mark, verb = text.removeprefix("/").partition(MARK)
    if not text.startswith("/") or not mark or not is_name(name) or not _VERB.fullmatch(verb):
        return None
    return Target(name, verb)


def check_glob(text: str) -> str:
    """Return a pattern of names: `*` and `?` stay within a segment, `**` is any number of them.

    Raises UsageError.
    """
    parts = text.split("/")
    if len(parts) > MAX_SEGMENTS or not all(_PATTERN.fullmatch(part) for part in parts):
        raise UsageError(
            f"{text[:80]!r} is not a pattern of repositories",
            hint="write fleet, fleet/*, or ** for all of them",
        )
    return text


def matches(glob: str, name: str) -> bool:
    """Tell whether a pattern means a repository."""
    return _matches(glob.split("/"), name.split("/"))


def _matches(globs: list[str], parts: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_matches(globs[1:], parts[at:]) for at in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _matches(globs[1:], parts[1:])

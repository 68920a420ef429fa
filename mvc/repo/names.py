"""Which names may be files and refs: one rule for every operating system.

A name from a repository is untrusted text. What one system takes for a harmless file name is a
device, a stream or the repository itself on another, so the strictest rule holds everywhere
(docs/format.md, "Names").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from mvc.base.errors import FormatError, UsageError

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
MAX_TREE_DEPTH = 64
MAX_REF_BYTES = 255
FOLDER = ".mvc"

_FORBIDDEN = re.compile(
    r'[\x00-\x1f\x7f\x80-\x9f<>"/\\|?*\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]'
)
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.I)
# Drive letters and alternate streams; a colon elsewhere is common in the names of real models.
_COLON = re.compile(r"[A-Za-z]:.*|.*:\$[^:]*|.*::.*", re.S)
_SHORT_FOLDER = re.compile(r"\.?mvc~[0-9]+", re.I)
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f~^:?*\[\\<>|\"]|\.\.|@\{|//")
_HEX_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def folded(name: str) -> str:
    """Return the form in which two names clash on a system that ignores case or composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def name_problem(name: str) -> str | None:
    """Return why a name cannot be a file on every system, None if it can."""
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    checks = {
        "it is empty or means a directory": name in ("", ".", ".."),
        f"it is longer than {MAX_NAME_BYTES} bytes": len(encoded) > MAX_NAME_BYTES,
        "it has a character that some systems refuse": bool(_FORBIDDEN.search(name)),
        "it ends with a dot or a space": name[-1:] in (".", " "),
        "some systems take it for a device": bool(_DEVICES.fullmatch(name)),
        "some systems take it for a drive or a stream": bool(_COLON.fullmatch(name)),
        "it is the repository's own name": folded(name.partition(":")[0]).rstrip(". ") == FOLDER
        or bool(_SHORT_FOLDER.fullmatch(name)),
    }
    return next((reason for reason, holds in checks.items() if holds), None)


def split_path(path: str) -> tuple[str, ...]:
    """Return the parts of a path inside the tree, or raise FormatError."""
    parts = tuple(path.split("/"))
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES or len(parts) > MAX_TREE_DEPTH:
        raise FormatError(f"path {path[:80]!r} is too long or too deep")
    for part in parts:
        if problem := name_problem(part):
            raise FormatError(f"{part[:80]!r} cannot be a file name: {problem}")
    return parts


def clash(paths: list[str]) -> tuple[str, str] | None:
    """Return two paths that are one file on a system that ignores case or composition."""
    seen: dict[str, str] = {}
    for path in paths:
        pieces = path.split("/")
        for depth in range(1, len(pieces) + 1):
            part = "/".join(pieces[:depth])
            other = seen.setdefault(folded(part), part)
            if other != part:
                return other, part
    return None


def nested(paths: Iterable[str]) -> tuple[str, str] | None:
    """Return a path and one below it, which cannot both be files."""
    every = set(paths)
    for path in sorted(every):
        pieces = path.split("/")
        for depth in range(1, len(pieces)):
            if (above := "/".join(pieces[:depth])) in every:
                return above, path
    return None


def check_branch(name: str) -> str:
    """Return a name that can be a branch or a tag, or raise UsageError."""
    bad = (
        not name
        or len(name.encode("utf-8", "replace")) > MAX_REF_BYTES
        or _REF_FORBIDDEN.search(name)
        or _HEX_ID.fullmatch(name)
        or name in ("HEAD", "@")
        or name.startswith(("-", "refs/"))
        or any(
            not part or part.startswith(".") or part.endswith((".", ".lock"))
            for part in name.split("/")
        )
    )
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        bad = True
    if bad:
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a branch or tag",
            hint="use letters, digits, '-', '_', '.' and '/', for example devices/car-17",
        )
    return name

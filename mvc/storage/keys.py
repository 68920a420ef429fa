"""The names of everything a repository stores, in one place for every kind of storage."""

from __future__ import annotations

import re

from mvc.base.errors import FormatError
from mvc.base.ids import parse_id

HEAD = "HEAD"
FORMAT = "format"
PACKS = "packs/"
REFS = "refs/"

_PLAIN = re.compile(r"[A-Za-z0-9/@_=+,~.-]+", re.ASCII)
_PACK = re.compile(r"packs/pack-([0-9a-f]{64})\.head", re.ASCII)
_TAIL = re.compile(r"packs/pack-([0-9a-f]{64})\.tail", re.ASCII)


def pack_head(pack: str) -> str:
    """Return the key of a pack's head: directory, metadata and top segments."""
    parse_id(pack)
    return f"packs/pack-{pack}.head"


def pack_tail(pack: str) -> str:
    """Return the key of a pack's tail: the lower segments."""
    parse_id(pack)
    return f"packs/pack-{pack}.tail"


def pack_of(key: str) -> str | None:
    """Return the pack that a head key names, None for any other key."""
    match = _PACK.fullmatch(key)
    return match.group(1) if match else None


def pack_of_tail(key: str) -> str | None:
    """Return the pack that a tail key names, None for any other key."""
    match = _TAIL.fullmatch(key)
    return match.group(1) if match else None


def ref(name: str) -> str:
    """Return the key of a ref such as `refs/heads/main`; characters outside ASCII are escaped."""
    if not name.startswith(REFS):
        raise FormatError(f"not a ref: {name[:80]!r}")
    return _escaped(name)


def ref_of(key: str) -> str:
    """Return the ref that a key names, or raise FormatError where no ref has this key."""
    if _PLAIN.fullmatch(key):
        return key
    from urllib.parse import unquote

    try:
        name = unquote(key, errors="strict")
    except UnicodeDecodeError:
        name = ""
    if _escaped(name) != key:
        raise FormatError(f"not the key of a ref: {key[:80]!r}")
    return name


def _escaped(name: str) -> str:
    # Importing the quoting machinery costs the start of every command some milliseconds.
    if _PLAIN.fullmatch(name):
        return name
    from urllib.parse import quote

    return quote(name, safe="/@_=+,~.-")

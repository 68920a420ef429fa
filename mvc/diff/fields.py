"""What differs between two configurations, field by field. JSON and TOML; YAML stays text."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from mvc.diff.findings import FieldChange

MAX_CONFIG = 64 << 20
MAX_DEPTH = 100
MAX_VALUE = 200
"""Characters of a value that are kept."""

MAX_CHANGES = 10_000


def known(path: str) -> bool:
    """Tell whether the syntax of a file is known by its name."""
    return path.rpartition(".")[2].lower() in _READERS


def parse(path: str, data: bytes) -> Any | None:
    """Return what a file named `path` says, None if its syntax is unknown or it is malformed."""
    read = _READERS.get(path.rpartition(".")[2].lower())
    if read is None or len(data) > MAX_CONFIG:
        return None
    try:
        found = read(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, (dict, list)) else None


_READERS: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads}


def changes(old: Any, new: Any) -> tuple[FieldChange, ...] | None:
    """Return the fields that differ, in the order of the files; None if there are too many."""
    found: list[FieldChange] = []
    for change in _changes(old, new, "", MAX_DEPTH):
        found.append(change)
        if len(found) > MAX_CHANGES:
            return None
    return tuple(found)


def _changes(old: Any, new: Any, path: str, depth: int) -> Iterator[FieldChange]:
    if depth <= 0:
        if not _equal(old, new):
            yield FieldChange(path, text(old), text(new))
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            below = _key(path, key)
            if key not in new:
                yield FieldChange(below, text(old[key]), None)
            elif key not in old:
                yield FieldChange(below, None, text(new[key]))
            else:
                yield from _changes(old[key], new[key], below, depth - 1)
    elif isinstance(old, list) and isinstance(new, list) and _worth_entering(old, new):
        for place in range(max(len(old), len(new))):
            below = f"{path}[{place}]"
            if place >= len(new):
                yield FieldChange(below, text(old[place]), None)
            elif place >= len(old):
                yield FieldChange(below, None, text(new[place]))
            else:
                yield from _changes(old[place], new[place], below, depth - 1)
    elif not _equal(old, new):
        yield FieldChange(path, text(old), text(new))


def _worth_entering(old: list[Any], new: list[Any]) -> bool:
    """Tell whether to compare lists place by place: those of groups, and long ones of a length."""
    groups = any(isinstance(item, (dict, list)) for item in (*old, *new))
    return groups or (len(old) == len(new) and len(text(old)) >= MAX_VALUE)


def _equal(old: Any, new: Any) -> bool:
    """Tell whether two values are one: 1, 1.0 and true are three."""
    if type(old) is not type(new):
        return False
    if isinstance(old, (dict, list)):
        return text(old, limit=None) == text(new, limit=None)
    return bool(old == new) or (old != old and new != new)


def _key(path: str, key: str) -> str:
    """Return the path of a field; a key that would read like a path is quoted."""
    if not key or any(char in key for char in '.[]" ') or not key.isprintable():
        return f"{path}[{text(key)}]"
    return f"{path}.{key}" if path else key


def text(value: Any, limit: int | None = MAX_VALUE) -> str:
    """Return a value as JSON on one line, cut after `limit` characters."""
    try:
        whole = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        whole = "..."
    return whole if limit is None or len(whole) <= limit else whole[: limit - 3] + "..."

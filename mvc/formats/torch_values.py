"""What a PyTorch checkpoint carries beside tensors: epochs, rates, names. Nothing is executed."""

from __future__ import annotations

from typing import Any

from mvc.formats import pickle_stream as ps
from mvc.formats.graph import digest, shortened
from mvc.formats.torch_state import children, is_ordered_dict

MAX_VALUES = 10_000
MAX_VISITED = 1_000_000
MAX_DEPTH = 16
MAX_LISTED = 16
"""Entries of a list that is given as it is; of a longer one, how many and a digest."""

MAX_TEXT = 120
"""Characters of a text that is given as it is; a longer one is its beginning and a digest."""

MAX_NAME = 1000


def plain(value: Any) -> dict[str, Any]:
    """Return numbers, texts and None of the containers in a pickle, by their paths.

    Only dicts, lists and tuples are entered, each once; what a class would make of its state is
    left alone. Of more than MAX_VALUES values, the first ones are given.
    """
    found: dict[str, Any] = {}
    stack = [iter([("", value)])] if _is_container(value) else []
    seen: set[int] = set()
    visited = 0
    while stack and len(found) < MAX_VALUES and visited < MAX_VISITED:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        visited += 1
        name, item = entry
        if _is_plain(item):
            found.setdefault(name, shortened(item, MAX_TEXT) if type(item) is str else item)
        elif _is_container(item) and id(item) not in seen and len(stack) <= MAX_DEPTH:
            seen.add(id(item))
            if type(item) in (list, tuple) and len(item) > MAX_LISTED and all(map(_is_plain, item)):
                found.setdefault(
                    name,
                    f"{len(item)} values #{digest(repr(item).encode('utf-8', 'backslashreplace'))}",
                )
            elif len(name) <= MAX_NAME:
                below = children(name or None, item)
                stack.append((part or "", held) for part, held in below)
    return found


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _is_container(value: Any) -> bool:
    return type(value) in (ps.Mapping, list, tuple) or is_ordered_dict(value)

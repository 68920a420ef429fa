"""How names became others: the place where two differ, and what many such places share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mvc.diff.findings import Move

_PIECES = re.compile(r"[^./]+")
_NUMBER = re.compile(r"[0-9]+", re.ASCII)
ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """What stands where two names differ; equal numbers in it are written `#`."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class _Split:
    before: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]
    after: tuple[str, ...]


def rule(old: str, new: str) -> Rule:
    """Return what turns a name into another: `encoder.layer.3.bias`, `encoder.block.3.bias`."""
    found = _split(old, new)
    return Rule(*_without_numbers(_joined(found.old, old), _joined(found.new, new)))


def _split(old: str, new: str) -> _Split:
    one, two = _PIECES.findall(old), _PIECES.findall(new)
    shortest = min(len(one), len(two))
    head = next((at for at in range(shortest) if one[at] != two[at]), shortest)
    rest = shortest - head
    tail = next((at for at in range(rest) if one[-1 - at] != two[-1 - at]), rest)
    ends = len(one) - tail, len(two) - tail
    after = tuple(one[ends[0] :])
    return _Split(tuple(one[:head]), tuple(one[head : ends[0]]), tuple(two[head : ends[1]]), after)


def _joined(pieces: Iterable[str], name: str) -> str:
    return ("." if "." in name or "/" not in name else "/").join(pieces)


def _without_numbers(old: str, new: str) -> tuple[str, str]:
    if _NUMBER.findall(old) == _NUMBER.findall(new):
        return _NUMBER.sub("#", old), _NUMBER.sub("#", new)
    return old, new


def alike(old: str, new: str) -> int:
    """Return how many pieces at the end of two names are equal."""
    one, two = _PIECES.findall(old), _PIECES.findall(new)
    shortest = min(len(one), len(two))
    return next((at for at in range(shortest) if one[-1 - at] != two[-1 - at]), shortest)


def moves(pairs: Iterable[tuple[str, str, bool]]) -> tuple[Move, ...]:
    """Sum up pairs of (old name, new name, words are equal), most tensors first."""
    groups: dict[Rule, list[tuple[str, str, bool]]] = {}
    for pair in pairs:
        groups.setdefault(rule(pair[0], pair[1]), []).append(pair)
    found = [_move(group) for group in groups.values()]
    return tuple(sorted(found, key=lambda move: (-move.tensors, move.old, move.new)))


def _move(group: Sequence[tuple[str, str, bool]]) -> Move:
    equal = sum(same for _, _, same in group)
    first_old, first_new, _ = group[0]
    if len(group) == 1:
        return Move(first_old, first_new, 1, equal)
    splits = [_split(old, new) for old, new, _ in group]
    before = _shared_end([split.before for split in splits])
    after = _shared_start([split.after for split in splits])
    whole = {(split.old, split.new) for split in splits}
    found = rule(first_old, first_new)
    middle = (splits[0].old, splits[0].new) if len(whole) == 1 else ((found.old,), (found.new,))
    texts = [
        _joined([*before, *(piece for piece in part if piece), *after], name)
        for part, name in zip(middle, (first_old, first_new), strict=True)
    ]
    return Move(texts[0], texts[1], len(group), equal)


def _shared_start(parts: Sequence[tuple[str, ...]]) -> list[str]:
    shortest = min(map(len, parts))
    same = next((at for at in range(shortest) if len({part[at] for part in parts}) > 1), shortest)
    return [*parts[0][:same], *([ANY] if any(len(part) > same for part in parts) else [])]


def _shared_end(parts: Sequence[tuple[str, ...]]) -> list[str]:
    return _shared_start([part[::-1] for part in parts])[::-1]

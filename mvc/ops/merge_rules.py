"""What decides where sides disagree: a file of rules, a strategy for all, and what was said since.

[[rule]]                     the first rule that matches and can be applied counts
file = "*.safetensors"       a pattern of paths, or a list; default all
tensors = "head.*"           a pattern of names, or a list; default all, and the file as a whole
strategy = "ties"            with its parameters: density = 0.3
literals = "ours"            whose bytes beside the tensors
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mvc.base import fileio
from mvc.base.errors import NotFoundError, UsageError
from mvc.merge.numbers import numbers
from mvc.merge.strategies import STRATEGIES, Strategy, strategy
from mvc.merge.threeway import Mode, Rules
from mvc.repo.merging import Named, Take, Task
from mvc.repo.selection import Selection

MAX_RULES = 64 << 10
"""Bytes of a file of rules: it is kept in the commit."""
_WHOLE = ("ours", "theirs")
_KEYS = ("file", "tensors", "strategy", "literals")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it is about, and what it says. No `tensors`: all, and the whole file."""

    files: tuple[str, ...]
    tensors: tuple[str, ...]
    strategy: Strategy | None
    literals: Strategy | None

    def covers(self, path: str, tensor: str | None) -> bool:
        """Tell whether a rule is about a tensor, or (None) about the file as a whole."""
        if self.files and not any(_matches(path, pattern) for pattern in self.files):
            return False
        if tensor is None:
            return not self.tensors
        return not self.tensors or any(_matches(tensor, pattern) for pattern in self.tensors)


def read_rules(path: Path) -> str:
    """Return the text of a file of rules, or raise UsageError where it makes no sense."""
    try:
        text = fileio.read_bytes(path, MAX_RULES).decode("utf-8", "replace")
    except NotFoundError as error:
        raise NotFoundError(error.message, hint="docs/merge.md shows such a file") from None
    parse_rules(text, str(path))
    return text


def parse_rules(text: str, where: str = "the file of rules") -> tuple[Rule, ...]:
    """Return the rules of a TOML text in order, or raise UsageError."""
    if not text:
        return ()
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not TOML: {error}", hint="docs/merge.md shows one") from None
    rows = found.pop("rule", [])
    if found or not isinstance(rows, list):
        unknown = next(iter(found), "rule")
        raise UsageError(
            f"{where} has {unknown[:40]!r}, and only [[rule]] is known",
            hint="docs/merge.md shows one",
        )
    return tuple(_rule(row, number, where) for number, row in enumerate(rows, 1))


def named(wanted: Named | None) -> Strategy | None:
    """Return a strategy by its name and parameters, or raise UsageError."""
    if wanted is None:
        return None
    return strategy(wanted.name, dict(wanted.options))


def deciding(task: Task) -> Rules:
    """Return what decides a task."""
    chain = _Chain(task)
    return Rules(
        _mode(task),
        task.counted,
        chain.tensor,
        chain.literals,
        _has_numbers if task.verb == "merge" else _is_float,
    )


def _has_numbers(dtype: str) -> bool:
    return numbers(dtype) is not None


def _is_float(dtype: str) -> bool:
    """Tell whether a change of tensors of a dtype can be added to others as it is."""
    found = numbers(dtype)
    return found is not None and found.integer is None


class _Chain:
    """The strategies for a place, the most particular first."""

    def __init__(self, task: Task) -> None:
        self._rules = parse_rules(task.rules)
        self._default = named(task.strategy)
        self._literals = _side(task.literals) if task.literals else None
        self._takes = [(_said(take), Selection(take.patterns)) for take in task.takes]

    def tensor(self, path: str, name: str | None) -> Iterator[Strategy]:
        """Yield what there is for a tensor, or (None) for a file as a whole."""
        for rule in self._rules:
            if rule.strategy is not None and rule.covers(path, name):
                yield rule.strategy
        if self._default is not None:
            yield self._default
        for said, selection in self._takes:
            if not selection.path(path):
                continue
            if name is None:
                if not selection.names_tensors(path):
                    yield said
            elif selection.tensor(path)(name):
                yield said

    def literals(self, path: str) -> Iterator[Strategy]:
        """Yield whose bytes beside the tensors are taken."""
        for rule in self._rules:
            if rule.literals is not None and rule.covers(path, None):
                yield rule.literals
        if self._literals is not None:
            yield self._literals
        if self._default is not None and self._default.name in _WHOLE:
            yield self._default
        for said, selection in self._takes:
            if selection.path(path) and not selection.names_tensors(path):
                yield said


def _mode(task: Task) -> Mode:
    modes: dict[str, Mode] = {"mix": "mix", "vector": "vector"}
    return modes.get(task.mode, "three-way")


def _said(take: Take) -> Strategy:
    return strategy(take.strategy.name, dict(take.strategy.options))


def _side(name: str) -> Strategy:
    if name not in _WHOLE:
        raise UsageError(f"literals cannot be {name[:40]!r}", hint="they are ours or theirs")
    return strategy(name)


def _rule(row: Any, number: int, where: str) -> Rule:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: rule {number} is not a table", hint="write [[rule]] above it")
    about = f"{where}, rule {number}"
    options = {key: value for key, value in row.items() if key not in _KEYS}
    name = row.get("strategy")
    literals = row.get("literals")
    if not isinstance(name, str | None) or not isinstance(literals, str | None):
        raise UsageError(f"{about}: a strategy is a text", hint=f"one of {', '.join(STRATEGIES)}")
    if name is None and (options or literals is None):
        unknown = next(iter(options), None)
        what = f"{unknown[:40]!r} without a strategy" if unknown else "no strategy"
        raise UsageError(f"{about} has {what}", hint=f"one of {', '.join(STRATEGIES)}")
    try:
        made = strategy(name, options) if name is not None else None
        beside = _side(literals) if literals is not None else None
    except UsageError as error:
        raise UsageError(f"{about}: {error.message}", hint=error.hint) from None
    return Rule(_texts(row, "file", about), _texts(row, "tensors", about), made, beside)


def _texts(row: dict[str, Any], key: str, about: str) -> tuple[str, ...]:
    found = row.get(key, [])
    every = found if isinstance(found, list) else [found]
    if not all(isinstance(item, str) and item for item in every):
        raise UsageError(f"{about}: {key} is a pattern or a list of them", hint='as in "head.*"')
    return tuple(every)


def _matches(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern)

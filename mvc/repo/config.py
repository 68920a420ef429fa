"""Settings in TOML files: the user's, then the repository's, later ones winning.

Libraries never look for the user's file; the command line says where it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvc.base import fileio
from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError

Value = str | int | float | bool
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+", re.ASCII)
MAX_CONFIG = 1 << 20

DEFAULTS: dict[str, Value] = {
    "core.codec": "default",
    "core.sync_worktree": True,
    "gc.grace_days": 14,
    "gc.reflog_days": 90,
    "repack.budget": 2.0,
    "repack.max_depth": 8,
}
KNOWN = (
    "user.name",
    "user.email",
    "user.signing_key",
    "commit.base",
    "commit.sign",
    "core.idle_seconds",
    "core.least_rate",
    "core.ssh_command",
    "core.trust_other_owners",
    "http.authorities",
    "http.plain_token",
    "sign.key",
    "sign.required",
    *DEFAULTS,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting and the file it comes from (`default`, `user` or `repository`)."""

    key: str
    value: Value
    origin: str


class Config:
    """The settings in force."""

    def __init__(self, repository: Path | None, user: Path | None = None) -> None:
        self._files: dict[str, Path | None] = {"user": user, "repository": repository}
        self._load()

    def _load(self) -> None:
        self._settings = {key: Setting(key, value, "default") for key, value in DEFAULTS.items()}
        for origin, path in self._files.items():
            for key, value in _read(path).items():
                self._settings[key] = Setting(key, value, origin)

    def get(self, key: str) -> Value | None:
        """Return a setting's value, None if it is not set."""
        found = self._settings.get(key)
        return found.value if found else None

    def text(self, key: str) -> str | None:
        """Return a setting as text."""
        value = self.get(key)
        return None if value is None else str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a setting that is a list of texts, or words of one text. Raises FormatError."""
        found: object = ()
        for path in self._files.values():
            table: object = _tables(path)
            for part in key.split("."):
                table = table.get(part) if isinstance(table, dict) else None
            found = found if table is None else table
        words = found.split() if isinstance(found, str) else found
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise FormatError(f"the setting {key} is not a list of texts", hint="mend it")
        return tuple(words)

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return a table of lists of texts, the repository's. Raises FormatError."""
        table: object = _tables(self._files["repository"])
        for part in key.split("."):
            table = table.get(part, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise FormatError(f"the setting {key} is not a table", hint="mend it")
        for words in table.values():
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise FormatError(
                    f"the setting {key} is not made of lists of texts", hint="mend it"
                )
        return {name: tuple(words) for name, words in table.items()}

    def trusted(self, key: str) -> Value | None:
        """Return a setting of the user's file alone.

        For programs to run and the like: whoever hands out a repository must not choose them.
        """
        return _read(self._files["user"]).get(key)

    def all(self) -> list[Setting]:
        """Return all settings in order of their keys."""
        return [self._settings[key] for key in sorted(self._settings)]

    def set(self, key: str, value: Value | None, origin: str, staging: Path) -> None:
        """Write a setting to the user's or the repository's file; None removes it."""
        if not _KEY.fullmatch(key):
            raise UsageError(f"not a setting: {key[:80]!r}", hint="settings look like user.name")
        parts = tuple(key.split("."))
        if value is None and not _holds(self._document(origin), parts):
            raise _unset(key, origin)
        self.change({parts: value}, origin, staging)

    def change(
        self, values: Mapping[tuple[str, ...], Value | None], origin: str, staging: Path
    ) -> None:
        """Write several settings of one file in one step, each named by its keys from the top.

        None removes a setting, or a section with all that is in it. What would not read back as
        it is here is not written.
        """
        import tomlkit

        path = self._path(origin)
        document = self._document(origin)
        for parts, value in values.items():
            _place(document, parts, value)
        text = tomlkit.dumps(document)
        found = _flat(_parsed(text), "")
        for parts, value in values.items():
            if found.get(".".join(parts)) != value:
                raise FormatError(f"{'.'.join(parts)} would not read back as it was written")
        fileio.write_file(path, text.encode(), staging)
        self._load()

    def named(self, section: str, key: str) -> dict[str, str]:
        """Return the texts under one key of all sections `[section.NAME]`, by name."""
        start, end = section + ".", "." + key
        return {
            name.removeprefix(start).removesuffix(end): str(setting.value)
            for name, setting in self._settings.items()
            if name.startswith(start) and name.endswith(end) and len(name) > len(start + end)
        }

    def _path(self, origin: str) -> Path:
        path = self._files[origin]
        if path is None:
            raise UsageError(f"there is no {origin} configuration file here")
        return path

    def _document(self, origin: str) -> MutableMapping[str, Any]:
        import tomlkit

        return tomlkit.parse(_text(self._path(origin)))


def _holds(table: Mapping[str, Any], parts: tuple[str, ...]) -> bool:
    for part in parts:
        if not isinstance(table, Mapping) or part not in table:
            return False
        table = table[part]
    return True


def _place(table: MutableMapping[str, Any], parts: tuple[str, ...], value: Value | None) -> None:
    """Set a value in a document, or remove what is there."""
    import tomlkit

    if value is None and not _holds(table, parts):
        return
    for section in parts[:-1]:
        if section not in table:
            table[section] = tomlkit.table()
        below = table[section]
        if not isinstance(below, MutableMapping):
            raise UsageError(f"{'.'.join(parts)} is below a setting that has a value")
        table = below
    if value is None:
        del table[parts[-1]]
    else:
        table[parts[-1]] = value


def _unset(key: str, origin: str) -> NegativeAnswer:
    whose = "the user's settings" if origin == "user" else "this repository's settings"
    return NegativeAnswer(
        f"{key!r} is not set in {whose}", hint="`mvc config --list --show-origin` shows what is"
    )


def parse_value(text: str) -> Value:
    """Return the typed value of text from a command line: true, 3, 0.5, or the text itself."""
    try:
        value = _parsed(f"x = {text}").get("x") if "\n" not in text else text
    except ValueError:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _text(path: Path) -> str:
    try:
        return fileio.read_bytes(path, MAX_CONFIG).decode("utf-8")
    except NotFoundError:
        return ""
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text") from None


def _read(path: Path | None) -> dict[str, Value]:
    try:
        return _flat(_tables(path), "")
    except RecursionError as error:
        raise FormatError(f"{path} has sections in sections without end", hint="mend it") from error


def _tables(path: Path | None) -> dict[str, object]:
    text = _text(path) if path else ""
    if not text:
        return {}
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not valid TOML: {error}", hint="mend or remove it") from error


def _parsed(text: str) -> dict[str, object]:
    # Loaded only where there is something to parse: most commands find no configuration.
    import tomllib

    return tomllib.loads(text)


def _flat(table: dict[str, object], prefix: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float | bool):
            found[prefix + key] = value
    return found

"""Read and write settings, in a repository or outside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mvc.base.errors import NegativeAnswer, UsageError
from mvc.repo.config import KNOWN, Config, Setting, Value
from mvc.repo.repository import Repository

Origin = Literal["user", "repository"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force, and where changes to them are written."""

    config: Config
    user: Path | None
    scratch: Path | None


def of_repository(repo: Repository) -> Settings:
    """Return the settings in force in a repository."""
    return Settings(repo.config, repo.environment.user_config, repo.scratch)


def of_user(folder: Path, user: Path | None) -> Settings:
    """Return the settings in force in a folder outside every repository."""
    return Settings(Config(folder / ".mvc" / "config.toml", user), user, None)


def doubt(key: str) -> str | None:
    """Return the known setting that a key is probably meant to be, None if it is fine.

    Sections that mvc does not know belong to whoever uses them.
    """
    sections = {known.partition(".")[0] for known in KNOWN}
    if key in KNOWN or key.partition(".")[0] not in sections:
        return None
    from difflib import get_close_matches

    return get_close_matches(key, KNOWN, 1, 0)[0]


def read(settings: Settings, key: str) -> Setting:
    """Return a setting, or raise NegativeAnswer if it is not set."""
    for setting in settings.config.all():
        if setting.key == key:
            return setting
    meant = doubt(key)
    hint = f"did you mean {meant}?" if meant else "`mvc config --list` shows what is"
    raise NegativeAnswer(f"{key[:80]!r} is not set", hint=hint)


def write(settings: Settings, key: str, value: Value | None, origin: Origin) -> None:
    """Write a setting, or remove it where `value` is None."""
    if origin == "user":
        if settings.user is None:
            raise UsageError("nobody's configuration can be found: there is no home folder")
        settings.config.set(key, value, origin, settings.user.parent)
    elif settings.scratch is None:
        raise UsageError(
            "this folder is in no repository", hint="--global writes the user's own settings"
        )
    else:
        settings.config.set(key, value, origin, settings.scratch)

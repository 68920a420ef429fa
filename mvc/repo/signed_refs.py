"""Which refs take signed commits only, and whose signatures each of them takes.

[sign]
required = ["refs/heads/main", "refs/heads/releases/"]
[sign.keys]
"refs/heads/main" = ["ada", "ben"]
"refs/heads/devices/{key}/" = ["{key}", "ada"]

Only the repository's own file counts, read anew each time (docs/signing.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from mvc.base.errors import FormatError, UsageError
from mvc.repo.config import Config
from mvc.repo.keys import check_name
from mvc.repo.repository import Repository

OWN = "{key}"
"""In a pattern any one part of a ref, and in its list the key of that name."""


@dataclass(frozen=True, slots=True)
class SignedRefs:
    """The settings: refs, or their beginnings, and for some of them names of trusted keys."""

    required: tuple[str, ...]
    keys: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, repo: Repository) -> Self:
        """Read the settings of now. Raises FormatError where they are not understood."""
        config = Config(repo.folder / "config.toml")
        required = config.texts("sign.required")
        tables = config.lists("sign.keys")
        if any(not ref.startswith("refs/") for ref in (*required, *tables)):
            raise FormatError(
                "the settings sign.required and sign.keys are about refs such as refs/heads/main",
                hint='[sign] required = ["refs/heads/main", "refs/heads/releases/"]',
            )
        return cls(required, tuple(_checked(tables)))

    def cover(self, ref: str) -> bool:
        """Tell whether a ref takes signed commits only."""
        return any(_matched(prefix, ref) is not None for prefix in self.required) or (
            self.names(ref) is not None
        )

    def names(self, ref: str) -> frozenset[str] | None:
        """Return the names of the keys whose signatures a ref takes, None for all trusted ones.

        The entry with most parts decides; of several, all of them.
        """
        found: dict[int, set[str]] = {}
        for pattern, names in self.keys:
            own = _matched(pattern, ref)
            if own is not None:
                parts = 2 * pattern.count("/") + (not pattern.endswith("/"))
                filled = {own if name == OWN else name for name in names}
                found.setdefault(parts, set()).update(filled)
        return frozenset(found[max(found)]) if found else None

    def judge_as(self, name: str, ref: str) -> bool:
        """Tell whether what one ref has taken was judged no less strictly than another asks for."""
        if not self.cover(name):
            return False
        wanted, had = self.names(ref), self.names(name)
        return wanted is None or (had is not None and had <= wanted)


def _checked(tables: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for pattern, names in tables.items():
        if pattern.count(OWN) > 1 or (OWN in pattern and OWN not in pattern.split("/")):
            raise FormatError(f"{OWN} is one part of a ref, once: {pattern[:80]!r}", hint="mend it")
        if OWN in names and OWN not in pattern:
            raise FormatError(f"{pattern[:80]!r} does not say which part {OWN} is", hint="mend it")
        try:
            for name in names:
                if name != OWN:
                    check_name(name)
        except UsageError as error:
            raise FormatError(f"sign.keys names no key: {error.message}", hint="mend it") from error
        yield pattern, names


def _matched(pattern: str, ref: str) -> str | None:
    """Return what stands for {key} where a pattern is a ref or its beginning, else None.

    Where there is no {key} that is nothing, an empty text.
    """
    wanted, parts = pattern.removesuffix("/").split("/"), ref.split("/")
    below = pattern.endswith("/")
    if len(parts) < len(wanted) + below or (len(parts) > len(wanted) and not below):
        return None
    own = ""
    for one, part in zip(wanted, parts, strict=False):
        if one == OWN:
            own = part
        elif one != part:
            return None
    return own

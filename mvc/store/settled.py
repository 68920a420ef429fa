"""What an earlier repack decided, so that the next one looks only at what is new.

A local file that may be lost: everything is then planned again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.objects import canonical
from mvc.objects.canonical import array
from mvc.storage.keys import pack_head
from mvc.store.plan import Limits

VERSION = 1


@dataclass(frozen=True, slots=True)
class Settled:
    """Packs whose chunks are as a plan within `limits` wants them."""

    limits: Limits
    packs: frozenset[str] = field(default_factory=frozenset)

    def having(self, added: set[str], gone: set[str]) -> Self:
        """Return the same with packs added and others left out."""
        return replace(self, packs=(self.packs | added) - gone)

    def save(self, path: Path, staging: Path) -> None:
        """Write it, in one step."""
        limits = [float(self.limits.budget), self.limits.depth]
        data = canonical.encode([VERSION, limits, sorted(self.packs)])
        fileio.clear(staging)
        fileio.write_file(path, data, staging)


def load(path: Path) -> Settled | None:
    """Return what was settled, None if nothing is known."""
    try:
        version, limits, packs = array(canonical.decode(fileio.read_bytes(path)), 3)
        if version != VERSION:
            return None
        budget, depth = limits
        for name in packs:
            pack_head(name)
        return Settled(Limits(float(budget), int(depth)), frozenset(packs))
    except NotFoundError:
        return None
    except (FormatError, ValueError, TypeError):
        return None

"""Who may delete packs, and what keeps them from it (docs/maintenance.md, "What may run at once").

Whoever relies on an object that no ref reaches yet, because a ref is about to, holds the *writers'
lock* together with others. Deleting packs takes holding it alone. Kernel locks, so a process that
dies holds none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer

PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.05


@contextmanager
def pinned(scratch: Path) -> Iterator[None]:
    """Keep all packs while inside; `scratch` is the repository's folder of unfinished files."""
    with fileio.locked(_writers(scratch), shared=True):
        yield


@contextmanager
def alone(scratch: Path, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Keep writers out while inside, or raise NegativeAnswer if they do not end in time.

    Polls instead of waiting in the kernel, so that writers never queue behind this.
    """
    left = patience
    while True:
        try:
            held = fileio.locked(_writers(scratch), wait=False)
            held.__enter__()
            break
        except NegativeAnswer:
            if left <= 0:
                raise
        fileio.pause(_POLL_SECONDS)
        left -= _POLL_SECONDS
    try:
        yield
    finally:
        held.__exit__(None, None, None)


@contextmanager
def maintenance(scratch: Path) -> Iterator[None]:
    """Be the only one who plans to replace packs, or raise NegativeAnswer."""
    with fileio.locked(scratch.parent / "locks" / "maintenance", wait=False):
        yield


def _writers(scratch: Path) -> Path:
    return scratch.parent / "locks" / "objects"

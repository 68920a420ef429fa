"""Objects from quarantine join a repository, each once (docs/protocol.md, "update")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.repo.repository import Repository
from mvc.sync.quarantine import Quarantine


@contextmanager
def receive(
    repo: Repository,
    held: Quarantine,
    parts: Iterable[ObjectId],
    wants: Iterable[ObjectId],
    haves: Iterable[ObjectId] = (),
    progress: Progress = SILENT,
) -> Iterator[None]:
    """Let what fetched commits and annotated tags lead to join; refs are to move inside.

    `haves` are commits that this repository has completely. Nothing can be removed from the
    repository before the block ends; the parts are dropped when it ends without an error. Raises
    MissingObjectError where something was neither sent nor there before, IntegrityError,
    FormatError or LimitError where what was sent is not what it claims; nothing has joined then.
    """
    raise NotImplementedError
    yield

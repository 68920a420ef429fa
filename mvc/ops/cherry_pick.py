"""Add what commits changed to the current version."""

from __future__ import annotations

from mvc.base.progress import SILENT, Progress
from mvc.ops.merge_result import MergeResult
from mvc.ops.picking import CHERRY_PICK, PickRequest, pick
from mvc.repo.repository import Repository


def cherry_pick(
    repo: Repository, request: PickRequest, progress: Progress = SILENT
) -> tuple[MergeResult, ...]:
    """Make the current version that of now plus `scale` times what each commit changed.

    Onto the version that a commit was made from, this gives its files byte for byte. One result a
    commit; conflicts stop at the first. For errors see `mvc.ops.picking.pick`.
    """
    return pick(repo, CHERRY_PICK, request, progress)

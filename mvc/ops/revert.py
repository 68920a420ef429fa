"""Take back what commits changed."""

from __future__ import annotations

from mvc.base.progress import SILENT, Progress
from mvc.ops.merge_result import MergeResult
from mvc.ops.picking import REVERT, PickRequest, pick
from mvc.repo.repository import Repository


def revert(
    repo: Repository, request: PickRequest, progress: Progress = SILENT
) -> tuple[MergeResult, ...]:
    """Make the current version that of now minus `scale` times what each commit changed.

    Taking back the newest commit gives the files before it byte for byte. One result a commit;
    conflicts stop at the first. For errors see `mvc.ops.picking.pick`.
    """
    return pick(repo, REVERT, request, progress)

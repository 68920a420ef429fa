"""Compare two files, or two folders, that no repository needs to know."""

from __future__ import annotations

from pathlib import Path

from mvc.base.progress import SILENT, Progress
from mvc.ops.diff import DiffRequest, DiffResult, compare, on_disk


def diff_files(
    old: Path, new: Path, request: DiffRequest, progress: Progress = SILENT
) -> DiffResult:
    """Return what differs between two files, or between the files of two folders.

    The revisions of `request` do not count; paths in it are seen from the folders. Raises
    NotFoundError where there is nothing, and UsageError for a file and a folder.
    """
    ends = [on_disk(path, str(path), progress) for path in (old, new)]
    return compare(ends[0], ends[1], request, progress)

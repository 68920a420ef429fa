"""Compare two files, or two folders, that no repository needs to know."""

from __future__ import annotations

from pathlib import Path

from mvc.base.progress import SILENT, Progress
from mvc.diff.asked import check_tensors
from mvc.ops.diff import DiffRequest, DiffResult, compare, on_disk


def diff_files(
    old: Path, new: Path, request: DiffRequest, progress: Progress = SILENT
) -> DiffResult:
    """Return what differs between two files, or between the files of two folders.

    Both are seen from `request.folder`, and the paths of `request` from the folders that are
    compared; its revisions do not count. Raises NotFoundError where there is nothing, or
    no tensor of a name that `request` has, and UsageError for a file and a folder.
    """
    folder = request.folder or Path()
    ends = [on_disk(folder / path, str(path), progress) for path in (old, new)]
    found = compare(ends[0], ends[1], request, progress)
    check_tensors(request, ends[0], ends[1], found)
    return found

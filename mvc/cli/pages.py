"""Pages on their way into files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvc.base import fileio
from mvc.base.errors import NotFoundError, UsageError
from mvc.base.escape import escaped
from mvc.base.wording import size
from mvc.cli.session import Session

if TYPE_CHECKING:
    from mvc.objects.history import Commit
    from mvc.ops.diff import DiffResult, End
    from mvc.ops.drift import DriftResult, Metric

STDOUT = "-"


def check_target(session: Session, target: str, *, as_json: bool = False) -> None:
    """Raise where a page cannot be written, before long work is done for it."""
    if target == STDOUT:
        if as_json:
            raise UsageError(
                "--html - and --json would both write to stdout", hint="name a file: --html FILE"
            )
        return
    path = session.path(target)
    if fileio.is_dir(path):
        raise UsageError(f"{target} is a folder", hint=f"name a file in it: {target}/page.html")
    if not fileio.is_dir(path.parent):
        raise NotFoundError(f"there is no folder {path.parent}", hint="make it, or write elsewhere")


def write_page(session: Session, target: str, page: str) -> None:
    """Write a page to a file, replacing one that is there, or to stdout for `-`."""
    if target == STDOUT:
        session.write(page)
        return
    check_target(session, target)
    data, path = page.encode(), session.path(target)
    fileio.write_file(path, data, path.parent)
    session.note(f"wrote {escaped(str(path))} ({size(len(data))}); a browser shows it")


def write_diff(session: Session, target: str, result: DiffResult) -> None:
    """Write the page of a comparison."""
    from mvc.cli.diff_json import as_json
    from mvc.web.diff_page import diff_page

    def commit(end: End) -> Commit | None:
        return session.repo.commit(end.commit) if end.commit is not None else None

    commits = commit(result.old), commit(result.new)
    write_page(session, target, diff_page(result, as_json(result), commits))


def write_drift(session: Session, target: str, found: DriftResult, metric: Metric) -> None:
    """Write the page of a fleet's drift."""
    from mvc.cli.drift_json import of_drift
    from mvc.web.drift_page import drift_page

    write_page(session, target, drift_page(found, of_drift(found, metric), metric))

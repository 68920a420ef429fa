"""What each commit of a log changed, as `mvc diff` would show it against the first parent."""

from __future__ import annotations

import shutil
import sys
from itertools import islice
from typing import Any

from mvc.cli.session import Session
from mvc.ops.diff import DiffRequest, DiffResult, versions
from mvc.repo.touching import Touched


class Changes:
    """Compares commits with their first parents, in what was asked about."""

    def __init__(self, session: Session, *, whole: bool, weights: bool = True) -> None:
        self._session = session
        self._whole = whole
        self._weights = weights

    def lines(self, item: Touched) -> list[str]:
        """Return the lines below a commit."""
        from mvc.cli import render_diff
        from mvc.cli.paper import Paper

        columns = shutil.get_terminal_size((80, 24)).columns
        unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        paper = Paper(self._session.style, columns, unicode)
        found = self._compared(item)
        if not found.files:
            return []
        if self._whole:
            # The title, which names both sides, is left out.
            return list(islice(render_diff.lines(found, paper), 1, None))
        return ["", *render_diff.stat_lines(found, paper)]

    def json(self, item: Touched) -> dict[str, Any]:
        """Return what `mvc diff --json` prints."""
        from mvc.cli import diff_json

        return diff_json.as_json(self._compared(item))

    def _compared(self, item: Touched) -> DiffResult:
        repo, version = self._session.repo, item.version
        first = next(iter(repo.parents(version.id, version.commit)), None)
        paths = tuple(dict.fromkeys((*item.old_specs, *item.specs)))
        request = DiffRequest(paths=paths, weights=self._weights)
        return versions(repo, first, version.id, request)

"""`.mvcignore`: which untracked files stay out, in the syntax of `.gitignore`."""

from __future__ import annotations

from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NotFoundError
from mvc.repo.names import FOLDER

FILE = ".mvcignore"
ALWAYS = (FOLDER, ".git", "__pycache__", ".ipynb_checkpoints")
MAX_FILE = 1 << 20


class Ignore:
    """The rules of the `.mvcignore` at the root of a working copy."""

    def __init__(self, root: Path) -> None:
        try:
            text = fileio.read_bytes(root / FILE, MAX_FILE).decode("utf-8", "replace")
        except NotFoundError:
            text = ""
        self._spec = None
        if text.strip():
            from pathspec import GitIgnoreSpec

            lines = [line for line in text.splitlines() if _understood(line)]
            self._spec = GitIgnoreSpec.from_lines(lines)

    def covers(self, path: str) -> bool:
        """Tell whether an untracked file is ignored."""
        if path.rpartition("/")[2].startswith(".mvc-") and path.endswith(".tmp"):
            return True
        return self._spec is not None and self._spec.match_file(path)


def _understood(line: str) -> bool:
    """Tell whether a line is a pattern; git passes over the others, too."""
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True

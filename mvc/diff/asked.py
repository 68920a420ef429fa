"""Whether the tensors that a comparison is asked for exist: "no difference" would be wrong.

Names come from layouts and headers alone; no weight is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

from mvc.base.errors import NotFoundError
from mvc.diff.results import DiffRequest, DiffResult, End, FileDiff
from mvc.diff.sides import File, FolderSide, Side, TreeSide
from mvc.repo.selection import Selection

MOST_NAMES = 4096
"""Names among which one is looked for that was mistyped."""

_LISTS = ("changed", "added", "removed", "renamed", "reshaped", "recast")


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of the tensors of a file, and how a stored one is written; "" for others."""

    path: str
    names: Sequence[str]
    written: str = ""


@dataclass(slots=True)
class _Pattern:
    """What was asked for: `--tensor GLOB`, or `PATH:GLOB`. `open`: files had no such tensor."""

    text: str
    glob: str | None
    chosen: Selection
    open: bool = False

    def takes(self, file: _Names) -> bool:
        """Tell whether a file has what is meant."""
        if not self.chosen.path(file.path):
            return False
        if self.glob is not None:
            glob = self.glob
            return any(fnmatchcase(name, glob) for name in file.names)
        if not self.chosen.names_tensors(file.path):
            return True
        return any(map(self.chosen.tensor(file.path), file.names))


def check_tensors(
    request: DiffRequest, before: tuple[End, Side], after: tuple[End, Side], found: DiffResult
) -> None:
    """Raise NotFoundError for a pattern of tensors that no file of either side has."""
    chosen = Selection(request.paths)
    patterns = [_Pattern(glob, glob, chosen) for glob in request.tensors]
    patterns += [_Pattern(spec, None, Selection([spec])) for spec in request.paths if ":" in spec]
    near: dict[str, None] = {}
    written = ""
    single = after[0].path if _is_single(after[1]) else None
    for file in chain(map(_listed, found.files), _files(before, single), _files(after, single)):
        for pattern in list(patterns):
            if pattern.takes(file):
                patterns.remove(pattern)
            else:
                pattern.open = pattern.open or pattern.chosen.path(file.path)
        if not patterns:
            return
        if chosen.path(file.path):
            written = written or file.written
            near.update(dict.fromkeys(file.names[: max(0, MOST_NAMES - len(near))]))
    for pattern in patterns:
        if pattern.open:
            raise _unknown(pattern.text, list(near), written)


def _listed(file: FileDiff) -> _Names:
    """Return the names that a comparison lists of a file."""
    names: list[str] = []
    for part in _LISTS if file.tensors else ():
        for item in getattr(file.tensors, part):
            names += filter(None, (item.name, getattr(item, "old_name", None)))
    return _Names(file.path, names)


def _files(side: tuple[End, Side], single: str | None) -> Iterator[_Names]:
    """Yield the files of a side; where two files were named, both go by the path `single`."""
    end, files = side
    for path, file in files.files().items():
        names = _names(file)
        written = _written(end, path) if names else ""
        yield _Names(path if single is None else single, names, written)


def _names(file: File) -> list[str]:
    try:
        source = file.tensors()
        return [*source.names, *source.views] if source else []
    finally:
        file.close()


def _is_single(side: Side) -> bool:
    return isinstance(side, (TreeSide, FolderSide)) and side.single


def _written(end: End, path: str) -> str:
    """Return how `mvc show` takes a file of a version."""
    if end.commit is None:
        return ""
    if end.path is None:
        return f"{end.name}:{path}"
    return end.name if end.path.endswith(path) else f"{end.name.rstrip('/')}/{path}"


def _unknown(text: str, names: list[str], written: str) -> NotFoundError:
    from difflib import get_close_matches

    glob = text.rpartition(":")[2] if text not in names else text
    close = get_close_matches(glob, names, 1, 0.6)
    hint = f"did you mean {close[0][:200]!r}?" if close else "leave it out to see which differ"
    if written and not close:
        hint = f"`mvc show {written}` lists tensors"
    return NotFoundError(f"neither side has a tensor {text[:200]!r}", hint=hint)

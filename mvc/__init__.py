"""mvc versions models the way git versions source. The public names; see docs/api.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mvc._version import VERSION as __version__

if TYPE_CHECKING:
    from mvc.api import MergeResult, Repository, Stats, Version, diff_files
    from mvc.base.errors import (
        FormatError,
        IntegrityError,
        LimitError,
        MissingObjectError,
        MvcError,
        NegativeAnswer,
        NotAllowedError,
        NotFoundError,
        RemoteMovedError,
        StorageError,
        TailAwayError,
        UsageError,
    )
    from mvc.ops.diff import DiffResult
    from mvc.ops.drift import DriftResult

__all__ = [
    "DiffResult",
    "DriftResult",
    "FormatError",
    "IntegrityError",
    "LimitError",
    "MergeResult",
    "MissingObjectError",
    "MvcError",
    "NegativeAnswer",
    "NotAllowedError",
    "NotFoundError",
    "RemoteMovedError",
    "Repository",
    "Stats",
    "StorageError",
    "TailAwayError",
    "UsageError",
    "Version",
    "__version__",
    "diff_files",
]

_ELSEWHERE = {"DiffResult": "mvc.ops.diff", "DriftResult": "mvc.ops.drift"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line must start fast."""
    if name not in __all__:
        raise AttributeError(f"module 'mvc' has no attribute {name!r}")
    home = "mvc.base.errors" if name.endswith(("Error", "Answer")) else "mvc.api"
    return getattr(import_module(_ELSEWHERE.get(name, home)), name)

"""The Python interface: save models from memory and load them back (docs/api.md).

repo = mvc.Repository.open(".")
version = repo.commit({"w": array}, "epoch 3", metrics={"accuracy@imagenet": 0.91})
arrays = repo.load(version)
"""

from __future__ import annotations

from mvc.api.repository import Repository, diff_files
from mvc.api.results import MergeParent, MergeResult, Stats, Version

__all__ = ["MergeParent", "MergeResult", "Repository", "Stats", "Version", "diff_files"]

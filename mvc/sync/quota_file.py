"""What tokens have used of their day, kept where a server finds it when it starts again.

{"version": 1, "tokens": {"ID": [when the day began, seconds since the epoch, and bytes]}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError

FILE = "quotas.json"
MAX_FILE = 64 << 20
VERSION = 1
Spent = tuple[float, int]
"""When a day began, and the bytes of it."""


class QuotaFile:
    """The file in the folder of a server's own data."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._staging = folder / "tmp"

    def load(self) -> dict[str, Spent]:
        """Return what each token has used; nothing where the file is not understood."""
        try:
            found = json.loads(fileio.read_bytes(self._path, MAX_FILE))
            if found["version"] != VERSION:
                return {}
            return {
                str(token): (float(day), max(0, int(count)))
                for token, (day, count) in found["tokens"].items()
            }
        except (NotFoundError, FormatError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def save(self, spent: Mapping[str, Spent]) -> None:
        """Replace it durably, in one step."""
        tokens = {token: list(one) for token, one in sorted(spent.items())}
        text = json.dumps({"version": VERSION, "tokens": tokens})
        fileio.write_file(self._path, text.encode(), self._staging, private=True)

"""The list of files that make up families of models, as `benchmarks.families` leaves it.

`manifest.json` in the folder of the families is a list with one entry a file. The files of one
family with the same `version` are committed together, and `place` says under which name: a
training program writes its checkpoint over the last one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a family.

    Attributes:
        path: Where it lies, relative to the folder of the families.
        family: The family it belongs to, which is the folder it lies in.
        version: Which commit of the family brings it, from 0.
        place: Its name in the working folder.
        step: The step of the training run that it is a snapshot of.
        parent: The path of the file it was made from, if that is one of the family.
        dtype: The element type of its weights.
        bytes: Its size.
        sha256: Of its content.
        change: In words, what sets it apart from its parent.
    """

    path: str
    family: str
    version: int
    place: str
    step: int
    parent: str | None
    dtype: str
    bytes: int
    sha256: str
    change: str


def describe(
    folder: Path,
    path: str,
    *,
    version: int,
    dtype: str,
    change: str,
    place: str | None = None,
    step: int = 0,
    parent: str | None = None,
) -> Entry:
    """Return the entry of a file that has been written to `folder`/`path`."""
    family, _, name = path.partition("/")
    file = folder / path
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = file.stat().st_size
    return Entry(
        path, family, version, place or name, step, parent, dtype, size, digest, change
    )  # fmt: skip


def read(folder: Path) -> list[Entry]:
    """Return the entries of a folder of families, none when it has no manifest."""
    file = folder / NAME
    if not file.exists():
        return []
    return [Entry(**fields) for fields in json.loads(file.read_text())]


def write(folder: Path, entries: Iterable[Entry]) -> None:
    """Write the manifest, leaving in it the other families that it had."""
    fresh = list(entries)
    built = {entry.family for entry in fresh}
    kept = [entry for entry in read(folder) if entry.family not in built]
    text = json.dumps([asdict(entry) for entry in kept + fresh], indent=1)
    (folder / NAME).write_text(text + "\n")

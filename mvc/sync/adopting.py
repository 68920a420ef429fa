"""Parts that join as they are: their files become those of a pack, and nothing is copied.

A part will do if it is a pack that this repository could have written: all that it holds is to
join, nothing of it is here, its depths are right beside what it stands on, and its files hold
nothing between what its directory names. Everything in it has been verified before.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.storage import keys
from mvc.store.directory import ChunkEntry
from mvc.store.pack import FOOTER, HEAD_MAGIC, TAIL_FOOTER, TAIL_MAGIC
from mvc.store.rows import Written
from mvc.sync.parts import Held, Parts

LEAST_BYTES = 4 << 20
"""What is smaller is copied, or a bad connection would leave thousands of packs."""
_STEP = 1 << 24


class Adopter:
    """Lets whole parts join; call inside `mvc.sync.joining.joining`.

    `wanted` are all objects that are to join. Bases come before what stands on them.
    """

    def __init__(self, repo: Repository, parts: Parts, wanted: Iterable[ObjectId]) -> None:
        self._repo = repo
        self._parts = parts
        self._wanted = frozenset(wanted)
        self._depths: dict[ObjectId, int] = {}

    def run(self) -> None:
        """Let those parts join that can, durably, each behind those that it stands on."""
        left = {name: held for name, held in self._parts.packs.items() if self._is_fit(name, held)}
        below = {name: self._below(name, held) & left.keys() for name, held in left.items()}
        above: dict[ObjectId, list[ObjectId]] = {}
        for name, others in below.items():
            for other in others:
                above.setdefault(other, []).append(name)
        # Parts that stand on each other are never ready.
        ready = [name for name in left if not below[name]]
        joined: list[Written] = []
        try:
            while ready:
                name = ready.pop()
                if self._fits_in(left[name]) and self._adopt(name):
                    joined.append(left[name].written)
                    self._note(left[name])
                for other in above.get(name, ()):
                    below[other].discard(name)
                    if not below[other]:
                        ready.append(other)
        finally:
            self._repo.store.joined(*joined)

    def _below(self, name: ObjectId, held: Held) -> set[ObjectId]:
        """Return the other parts that hold what records of a part stand on."""
        found = {self._parts.part(other) for entry in held.chunks() for other in entry.references}
        return {part for part in found if part is not None and part != name}

    def _is_fit(self, name: ObjectId, held: Held) -> bool:
        """Tell whether a part could be a pack of this repository, whatever it stands on."""
        tail = fileio.stat_file(self._file(keys.pack_tail(name.hex())))
        tail_bytes = tail.size if tail else 0
        rows = held.written.rows
        return (
            held.written.head_bytes + tail_bytes >= LEAST_BYTES
            and all(row.id in self._wanted for row in rows)
            and all(self._parts.part(row.id) == name for row in rows)
            and _is_plain(held, tail_bytes)
            and self._is_new(held)
        )

    def _is_new(self, held: Held) -> bool:
        """Tell whether nothing of a part is here."""
        store = self._repo.store
        return not any(
            store.has_chunk(row.id) if row.kind == "chunk" else store.contains(row.id)
            for row in held.written.rows
        )

    def _note(self, held: Held) -> None:
        """Note how deep the records lie that have joined: the index learns of all at the end."""
        self._depths.update((entry.id, entry.depth) for entry in held.chunks())

    def _fits_in(self, held: Held) -> bool:
        """Tell whether what a part stands on is here or in it, and of less depth."""
        depths = {entry.id: entry.depth for entry in held.chunks()}
        for entry in held.chunks():
            for other in entry.references:
                depth = depths.get(other, self._depths.get(other))
                if depth is None:
                    if next(self._repo.store.records(other, entry.depth), None) is None:
                        return False
                elif depth >= entry.depth:
                    return False
        return True

    def _adopt(self, name: ObjectId) -> bool:
        """Give the files of a part their names as a pack; False where that cannot be."""
        storage = self._repo.store.storage
        with fileio.Workspace(self._repo.scratch) as workspace:
            for key in (keys.pack_tail(name.hex()), keys.pack_head(name.hex())):
                source = self._file(key)
                if not fileio.lexists(source):
                    continue
                linked = workspace.path / "adopted"
                if not fileio.link(source, linked):
                    return False
                if not storage.write_new(key, linked) and not self._is_same(key, source):
                    raise IntegrityError(
                        f"{key} is there already and damaged",
                        hint="run `mvc fsck` to see what it affects",
                    )
        return True

    def _is_same(self, key: str, source: Path) -> bool:
        storage = self._repo.store.storage
        with fileio.Reader(source) as reader:
            if [item.size for item in storage.list(key) if item.key == key] != [reader.size]:
                return False
            for at in range(0, reader.size, _STEP):
                length = min(_STEP, reader.size - at)
                if storage.read_range(key, at, length) != reader.read_at(at, length):
                    return False
        return True

    def _file(self, key: str) -> Path:
        return self._parts.folder / key


def _is_plain(held: Held, tail: int) -> bool:
    """Tell whether the files of a part hold what its directory names, and nothing else."""
    entries = held.entries()
    if b"".join(entry.encode() for entry in entries) != held.directory:
        return False
    lower: list[tuple[int, int]] = []
    upper: list[tuple[int, int]] = []
    for entry in entries:
        if isinstance(entry, ChunkEntry):
            top, *others = entry.sections
            upper.append((top.at, top.length))
            lower += [(part.at, part.length) for part in others]
        else:
            upper.append((entry.at, entry.length))
    end = tail - TAIL_FOOTER.size if tail else len(TAIL_MAGIC)
    whole = _end_of(lower, len(TAIL_MAGIC)) == end
    written = held.written
    whole = whole and _end_of(upper, len(HEAD_MAGIC)) == written.directory_at
    return whole and written.directory_at + len(held.directory) + FOOTER.size == written.head_bytes


def _end_of(places: list[tuple[int, int]], start: int) -> int:
    """Return where sections end that follow each other from `start` on; -1 if they do not."""
    at = start
    for place, length in sorted(places):
        if place != at:
            return -1
        at += length
    return at

"""What can be said of a received pack without anything else: that it is one, and whole."""

from __future__ import annotations

from mvc.base.errors import FormatError, IntegrityError, LimitError
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store.directory import ChunkEntry, PackEntry
from mvc.store.pack import FOOTER, TAIL_FOOTER, TAIL_MAGIC
from mvc.store.pack_reader import open_pack, parse, read_rows
from mvc.store.rows import Written
from mvc.sync.limits import MAX_IDS, MAX_UNPACKED


def inspect(storage: Storage, name: str, head: int, tail: int, *, away: bool = False) -> Written:
    """Return what a part holds whose files have so many bytes; `away` if its tail was left out.

    Its name, its directory, the checks of all sections and the ids of all metadata objects are
    verified; chunks are not decoded, as they may stand on others. Raises FormatError,
    LimitError, IntegrityError.
    """
    reader, directory = open_pack(storage, name, head)
    footer = storage.read_range(keys.pack_head(name), head - FOOTER.size, FOOTER.size)
    if not away:
        _check_sizes(FOOTER.unpack(footer)[3], tail)
    objects = unpacked = stored = 0
    for number, (_, entry) in enumerate(parse(directory, whole=True)):
        count, size, length = _weight(entry, away=away)
        objects, unpacked, stored = objects + count, unpacked + size, stored + length
        if max(objects, number + 1) > MAX_IDS or unpacked > MAX_UNPACKED:
            raise LimitError("a part holds more objects than one may")
    # Else a few bytes could be checked and decoded again and again.
    if stored > head + tail:
        raise FormatError("the records of a part overlap")
    written = read_rows(storage, name, head)
    for _, entry in parse(directory, whole=True):
        if isinstance(entry, ChunkEntry):
            reader.sections(entry, 1 if away else len(entry.sections))
    return written


def _check_sizes(tail_bytes: int, tail: int) -> None:
    wanted = len(TAIL_MAGIC) + tail_bytes + TAIL_FOOTER.size if tail_bytes else 0
    if tail != wanted:
        raise IntegrityError("a part has another tail than its head says")


def _weight(entry: PackEntry, *, away: bool) -> tuple[int, int, int]:
    """Return how many objects an entry stands for, their bytes unpacked, and those stored."""
    if isinstance(entry, ChunkEntry):
        return 1, 0, entry.sections[0].length if away else entry.stored
    return entry.count, entry.size, entry.length

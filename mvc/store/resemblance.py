"""Which chunk a new one is coded against: candidates are tried until one pays.

Candidates come from metadata alone and may be wrong: another training of the same architecture
has the same names and shapes and nothing else in common. A base is decoded in full only after
its top segment promised something, and a file whose chunks resemble nothing soon stops asking.
"""

from __future__ import annotations

from threading import Lock

from mvc.base.dtypes import Family
from mvc.base.errors import FormatError, IntegrityError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.codec import chunk as codec
from mvc.codec.segments import Segment, Segments
from mvc.store.decode import load, load_top
from mvc.store.directory import ChunkEntry
from mvc.store.object_store import ObjectStore

TRUSTED = 2
"""Chunks in a row that must have paid before the first candidate is taken without a look."""
PATIENCE = 4
"""Chunks in a row that may find nothing before most of those that follow are not compared."""
EVERY = 16
NEAR = 0.8
"""A candidate that promises so much is taken before the others are looked at."""
MAX_TRIED = 4


class Trial:
    """What the chunks of one file found so far. Safe from several threads."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._won = self._lost = self._skipped = 0
        self.plans = codec.Plans()

    def trusts(self) -> bool:
        """Tell whether the first candidate has been right lately."""
        return self._won >= TRUSTED

    def asks(self) -> bool:
        """Tell whether a chunk should be compared with its candidates at all."""
        with self._guard:
            if self._lost < PATIENCE:
                return True
            self._skipped += 1
            return self._skipped % EVERY == 0

    def note(self, *, first: bool, paid: bool) -> None:
        """Remember whether a candidate paid, and whether it was the first."""
        with self._guard:
            self._won = self._won + 1 if paid and first else 0
            self._lost = 0 if paid else self._lost + 1


def choose(
    store: ObjectStore, bases: tuple[ObjectId, ...], top: Segment, family: Family, trial: Trial
) -> ObjectId | None:
    """Return the candidate that a chunk with this top segment resembles most, None if it is alone.

    Raises nothing: a candidate that is missing, damaged or of another word is passed over.
    """
    if not bases or not trial.asks():
        return None
    if trial.trusts():
        return bases[0]
    best, least = None, codec.GAIN
    for number, wanted in enumerate(dict.fromkeys(bases[:MAX_TRIED])):
        try:
            (near,) = load_top(store, wanted)
        except (IntegrityError, FormatError, NotFoundError):
            continue
        if near.itemsize != top.itemsize:
            continue
        share = codec.resemblance(top, near, family)
        if share < least:
            best, least = wanted, share
            if share < NEAR and number == 0:
                break
    trial.note(first=best == bases[0], paid=best is not None)
    return best


def usable(
    store: ObjectStore, wanted: ObjectId, word: int, limit: int
) -> tuple[ChunkEntry, Segments] | None:
    """Return a base and its segments: of the same word, and not at the end of a long chain."""
    try:
        _, entry = store.chunk_entry(wanted)
        while entry.depth >= limit and entry.base is not None:
            _, below = store.chunk_entry(entry.base)
            if below.depth >= entry.depth:
                return None
            entry = below
        if entry.word != word or entry.depth >= limit:
            return None
        return entry, load(store, entry.id)
    except (IntegrityError, FormatError, NotFoundError):
        return None

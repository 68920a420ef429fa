"""What versions hold, each object once: where its bytes went in the packs, and why.

Versions are visited from the oldest on, so that an object counts where it first appeared. Equal
trees are entered once, and no chunk is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar

from mvc.base.errors import FormatError, IntegrityError, LimitError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Tag
from mvc.objects.model import Blob, Checkpoint, Content, Layout, Tensor
from mvc.objects.model import Literal as LiteralBytes
from mvc.objects.tree import MAX_TENSOR_DEPTH, Entry, Tree
from mvc.repo.names import MAX_TREE_DEPTH
from mvc.store.accounting import ChunkUse, Ledger
from mvc.store.object_store import ObjectStore

Cause = Literal[
    "equal",
    "delta",
    "low_rank",
    "entropy",
    "noise",
    "literal",
    "inline",
    "metadata",
    "index",
    "other",
    "unreached",
]
CAUSES: tuple[Cause, ...] = Cause.__args__  # type: ignore[attr-defined]


class _Readable(Protocol):
    KIND: ClassVar[str]

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


Form = TypeVar("Form", bound=_Readable)


@dataclass(slots=True)
class Tally:
    """Tensors and chunks of one cause, the bytes they stand for, and those that they take."""

    tensors: int = 0
    chunks: int = 0
    raw_bytes: int = 0
    stored_bytes: int = 0


class Below(NamedTuple):
    """What an object holds with all below it, every place counted.

    `recovery` is the bytes of sections that restoring it reads.
    """

    raw: int = 0
    tensors: int = 0
    chunks: int = 0
    recovery: int = 0


class VersionUse(NamedTuple):
    """Bytes of a version's files, those that no earlier one had, and what these took in packs.

    `recovery` is the bytes of sections that restoring the version reads.
    """

    raw: int
    new: int
    stored: int
    recovery: int


def cause_of(use: ChunkUse) -> Cause:
    """Tell why a chunk of a tensor takes what it takes."""
    if use.factors is not None:
        return "low_rank"
    if use.base is not None:
        return "delta"
    return "entropy" if use.sections < use.raw else "noise"


class Holdings:
    """Visits versions and adds up what they hold."""

    def __init__(self, store: ObjectStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._below: dict[ObjectId, Below] = {}
        self._chunks: set[ObjectId] = set()
        # Chunks that a record needs and no version seen so far holds, with the version's number.
        self._needed: dict[ObjectId, int] = {}
        self._new = 0
        self._stored = 0
        self.reset()

    def reset(self) -> None:
        """Forget the sums but not what has been visited: only what is new counts from here on."""
        self.tallies: dict[Cause, Tally] = {cause: Tally() for cause in CAUSES}
        self.depths: dict[int, Tally] = {}
        self.versions: list[VersionUse] = []
        self.kept_bytes = 0
        self.away_bytes = 0
        self.worst_chunk = 0.0
        self._placed = Below()
        self._first = 0

    def visit(self, name: ObjectId, commit: Commit) -> None:
        """Add a version. Its parents come before it, or it counts what they hold as its own."""
        new, stored = self._new, self._stored
        self._charge(name, len(commit.encode()))
        below = self._tree(commit.tree, MAX_TREE_DEPTH, ("blob", "checkpoint"))
        self._placed = _sum(self._placed, below)
        self.versions.append(
            VersionUse(below.raw, self._new - new, self._stored - stored, below.recovery)
        )

    def visit_tag(self, name: ObjectId, tag: Tag) -> None:
        """Add an annotated tag."""
        self._charge(name, len(tag.encode()))

    def finish(self) -> None:
        """Add what no version holds but a record needs, and what equal content saved."""
        while self._needed:
            name, number = self._needed.popitem()
            if name in self._chunks:
                continue
            stored = self._stored
            self._record(name, cause_of(self._ledger.chunk(name)), 0, number)
            use = self.versions[number]
            self.versions[number] = use._replace(stored=use.stored + self._stored - stored)
        equal = self.tallies["equal"]
        first = [tally for cause, tally in self.tallies.items() if cause != "equal"]
        equal.raw_bytes = self._placed.raw - sum(tally.raw_bytes for tally in first)
        equal.chunks = self._placed.chunks - self._first
        equal.tensors = self._placed.tensors - sum(tally.tensors for tally in first)

    def unreached(self) -> Tally:
        """Return the chunks, and all bytes in packs, that no version visited so far needs."""
        ledger = self._ledger
        left = [use for name, use in ledger.chunks.items() if name not in self._chunks]
        left += ledger.copies
        held = sum(pack.sections + pack.blocks + pack.directory for pack in ledger.packs)
        return Tally(0, len(left), sum(use.raw for use in left), held - self._stored)

    def _tree(self, root: ObjectId, depth: int, leaves: tuple[str, ...]) -> Below:
        known = self._below.get(root)
        if known is not None:
            return known
        if depth <= 0:
            raise LimitError("a tree is nested too deeply")
        below = Below()
        for entry in self._read(root, Tree).entries:
            if entry.kind == "tree":
                part = self._tree(entry.id, depth - 1, leaves)
            elif entry.kind in leaves and self._store.left_out(entry.id):
                continue
            elif entry.kind in leaves:
                part = self._leaf(entry)
            else:
                raise IntegrityError(f"tree {root.hex()[:12]} cannot hold a {entry.kind}")
            below = _sum(below, part)
        self._below[root] = below
        return below

    def _leaf(self, entry: Entry) -> Below:
        known = self._below.get(entry.id)
        if known is not None:
            return known
        if entry.kind == "tensor":
            below = self._tensor(entry.id)
        elif entry.kind == "checkpoint":
            below = self._checkpoint(entry.id)
        else:
            below = self._content(self._read(entry.id, Blob).content, "literal")
        self._below[entry.id] = below
        return below

    def _checkpoint(self, name: ObjectId) -> Below:
        checkpoint = self._read(name, Checkpoint)
        below = self._below.get(checkpoint.layout)
        if below is None:
            below = Below()
            for extent in self._read(checkpoint.layout, Layout).extents:
                if isinstance(extent, LiteralBytes):
                    below = _sum(below, self._content(extent.content, "literal"))
            self._below[checkpoint.layout] = below
        tensors = self._tree(checkpoint.tensors, MAX_TENSOR_DEPTH, ("tensor",))
        return _sum(below, tensors)

    def _tensor(self, name: ObjectId) -> Below:
        content = self._read(name, Tensor).content
        before = {cause: tally.raw_bytes for cause, tally in self.tallies.items()}
        below = self._content(content, None)
        if not content.chunks:
            self.tallies["inline"].tensors += 1
        elif grown := [
            (tally.raw_bytes - before[cause], cause)
            for cause, tally in self.tallies.items()
            if tally.raw_bytes > before[cause]
        ]:
            self.tallies[max(grown)[1]].tensors += 1
        return below._replace(tensors=1)

    def _content(self, content: Content, cause: Cause | None) -> Below:
        """Add the chunks of a content; by default each for its own cause."""
        if not content.chunks:
            self._new += content.size
            self.tallies["inline"].raw_bytes += content.size
        recovery = 0
        for number, name in enumerate(content.chunks):
            cost = self._ledger.recovery(name)
            recovery += cost
            if name in self._chunks:
                continue
            self._first += 1
            size = content.chunk_bytes(number)
            self._new += size
            self.worst_chunk = max(self.worst_chunk, cost / size)
            found = cause or cause_of(self._ledger.chunk(name))
            self._record(name, found, size, len(self.versions))
        return Below(content.size, 0, len(content.chunks), recovery)

    def _record(self, name: ObjectId, cause: Cause, raw: int, number: int) -> None:
        """Add a record for the first time, and remember what it needs."""
        use = self._ledger.chunk(name)
        self._chunks.add(name)
        self._stored += use.here + use.entry
        self.tallies["metadata"].stored_bytes += use.entry
        for tally in (self.tallies[cause], self.depths.setdefault(use.depth, Tally())):
            tally.chunks += 1
            tally.raw_bytes += raw
            tally.stored_bytes += use.here
        self.kept_bytes += use.kept
        self.away_bytes += use.away
        if use.factors is not None and use.factors not in self._chunks:
            self._record(use.factors, "low_rank", 0, number)
        if use.base is not None and use.base not in self._chunks:
            self._needed.setdefault(use.base, number)

    def _read(self, wanted: ObjectId, form: type[Form]) -> Form:
        content = self._store.read(wanted, form.KIND)
        self._charge(wanted, len(content))
        try:
            return form.decode(content)
        except FormatError as error:
            raise IntegrityError(
                f"{form.KIND} {wanted.hex()[:12]} is malformed: {error.message}"
            ) from error

    def _charge(self, name: ObjectId, size: int) -> None:
        share = self._ledger.charge(name, size)
        self._stored += share
        self.tallies["metadata"].stored_bytes += share


def _sum(one: Below, two: Below) -> Below:
    return Below(
        one.raw + two.raw,
        one.tensors + two.tensors,
        one.chunks + two.chunks,
        one.recovery + two.recovery,
    )

"""What a difference turns out to be when it is looked at: a rename, a cast, rows that were added.

Plain data. Names and values come from files that were compared: untrusted text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CastKind = Literal["exact", "rounded", "truncated", "quantised", "dequantised", "changed"]
GrowthEnd = Literal["end", "start"]


@dataclass(frozen=True, slots=True)
class Renamed:
    """A tensor with equal words under another name."""

    name: str
    old_name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Move:
    """Tensors whose names changed in one place: `old` became `new`, both without their ends.

    `equal` of the `tensors` have the words they had.
    """

    old: str
    new: str
    tensors: int
    equal: int


@dataclass(frozen=True, slots=True)
class Cast:
    """What became of the values of a tensor that got another dtype.

    `exact`: every value is what it was; `rounded`: every word is the nearest one of the new type;
    `truncated`: lower bits were dropped; `quantised`: integers that stand for the old values by
    the tensors `scale` and `zero_point`, or by what the file says beside them; `dequantised`: the
    reverse; `changed`: none of these, and `differing` words are not the nearest ones.

    Errors are between the old and the new values, after `scale` and `zero_point`, over elements
    that are finite on both sides; None where there are no numbers.
    """

    kind: CastKind
    elements: int
    differing: int
    l2: float | None = None
    relative_l2: float | None = None
    cosine: float | None = None
    max_abs: float | None = None
    scale: str | None = None
    zero_point: str | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """A tensor that became longer (or, with `added` below zero, shorter) along one axis.

    The common part begins where both begin, or, if `end` is "start", ends where both end.
    `changed` of its `common` elements differ; None where words were not asked for.
    """

    axis: int
    added: int
    common: int
    changed: int | None = None
    end: GrowthEnd = "end"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of a configuration or of a file's header; None where a side does not have it.

    `path` is `a.b[2].c`; values are JSON, of at most MAX_VALUE characters.
    """

    path: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class TokenDiff:
    """How the vocabulary of a tokenizer differs; the samples are the first ones by number."""

    old_size: int
    new_size: int
    added: int
    removed: int
    renumbered: int
    merges_added: int = 0
    merges_removed: int = 0
    added_sample: tuple[str, ...] = ()
    removed_sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """A node of a network's graph: `scope` is empty at the top, else where its subgraph is."""

    op: str
    name: str
    scope: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperatorChange:
    """A node on both sides that differs: in its operator, its edges or its attributes.

    `rewired`: it takes something else, and not only under another name.
    """

    old: Operator
    new: Operator
    attributes: tuple[FieldChange, ...] = ()
    rewired: bool = False


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """How the graphs of two networks differ; `properties` are inputs, outputs, opsets and such.

    `renamed` counts nodes and edges that only have other names. `complete` is False where a graph
    is too large to be compared in full.
    """

    added: tuple[Operator, ...] = ()
    removed: tuple[Operator, ...] = ()
    changed: tuple[OperatorChange, ...] = ()
    properties: tuple[FieldChange, ...] = ()
    unchanged: int = 0
    renamed: int = 0
    complete: bool = True

    @property
    def differs(self) -> bool:
        """Tell whether anything but names differs."""
        return bool(self.added or self.removed or self.changed or self.properties)

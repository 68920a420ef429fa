"""Who takes part in the comparison of stores; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.storage_others import STORES


@dataclass(frozen=True, slots=True)
class Kind:
    """What sets a coding apart.

    Attributes:
        name: Its name in the tables.
        whole: It takes whole files and knows no tensors.
        bases: It can use the tensors of a relative, and keeps equal tensors once.
        bound: It counts what its code cannot go below, so its speed says nothing.
        slow: It takes minutes a family, and takes part in small histories only.
    """

    name: str
    whole: bool = False
    bases: bool = False
    bound: bool = False
    slow: bool = False


CODINGS = {
    kind.name: kind
    for kind in (
        Kind("tx", bases=True),
        Kind("fm-delta", bases=True, bound=True),
        Kind("int-delta", bases=True),
        Kind("zipnn"),
        Kind("zipnn-xor", bases=True),
        Kind("zstd-3", whole=True),
        Kind("zstd-19", whole=True, slow=True),
    )
}

OPTIONAL = ("xdelta3",)
"""Takes part only when it is named: an hour for all families."""

OURS = ("mvc", "mvc-fast", "mvc-repacked")
ALL = (*OURS, *CODINGS, *(name for name in STORES if name not in OURS))
DEFAULT = tuple(name for name in ALL if name not in OPTIONAL)

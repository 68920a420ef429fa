"""What mvc promises about storage, held against the results: every limit with its figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.contenders import OURS
from benchmarks.measure import table
from benchmarks.results import Result

FAMILIES = {
    "full-fp32": 0.458,
    "full-bf16": 0.139,
    "full-fp16": 0.214,
    "full-int8": 0.166,
    "sparse-rows-fp32": 0.282,
    "last-layer-fp32": 0.308,
    "lora-merged-fp32": 0.281,
    "reexport-fp16": 0.147,
    "independent-fp32": 0.84,
}
"""Stored over raw bytes of whole families, the first version included, at most."""

ADAMW = ("full-fp32", "full-bf16", "full-fp16")
LESS_THAN = {"tx": 0.28, "fm-delta": 0.18}
"""How much less each pair of AdamW snapshots takes than by these codings, at least."""

LESS_IN = {"fp32": 0.80, "bf16": 0.60, "fp16": 0.60}
MERGES = {f"lora-merged-{kind}-only": less for kind, less in LESS_IN.items()}
"""How much less a merged adapter takes than in any other contender, at least."""

ALONE = 1.01
"""What a model without a relative takes, over what ZipNN needs for it, at most."""

EQUAL = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """One limit: what it is about, where, and the figure against it.

    Attributes:
        about: What is compared.
        history: In which history.
        figure: What was measured.
        limit: What it may be at most, or at least when `least` is set.
        against: The contender it is compared with, if there is one.
        least: The limit is a lower one.
    """

    about: str
    history: str
    figure: float
    limit: float
    against: str = ""
    least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the figure is within the limit."""
        return self.figure >= self.limit if self.least else self.figure <= self.limit


def base_name(history: str) -> str:
    """Return the name of a history without the folder of families it is from."""
    return history.rpartition("/")[2]


class Against:
    """mvc and the others in one history."""

    def __init__(self, history: str, results: Sequence[Result]) -> None:
        self.history = history
        found = {r.contender: r for r in results if r.history == history and r.share is not None}
        self.mvc = found.get("mvc")
        self.peers = {name: result for name, result in found.items() if name not in OURS}

    def lines(self) -> Iterator[Line]:
        """Give all limits that this history has figures for."""
        if self.mvc is None:
            return
        yield from self._family()
        yield from self._smallest()
        yield from self._pairs()
        yield from self._alone()

    def _family(self) -> Iterator[Line]:
        limit = FAMILIES.get(base_name(self.history))
        share = self.mvc.share if self.mvc else None
        if limit is not None and share is not None:
            yield Line("whole family, stored / raw", self.history, share, limit)

    def _smallest(self) -> Iterator[Line]:
        if self.peers and self.mvc and not self.history.endswith("-alone"):
            name, least = _least(self.peers, lambda result: sum(result.stored))
            figure = sum(self.mvc.stored) / max(least, 1)
            yield Line("whole, over the smallest other", self.history, figure, EQUAL, name)

    def _pairs(self) -> Iterator[Line]:
        if self.mvc is None or not self.peers or len(self.mvc.raw) < 2:
            return
        versions = range(1, len(self.mvc.raw))
        over = [self._over(version) for version in versions]
        figure, peer = max(over, key=lambda found: found[0])
        yield Line("worst version, over the smallest other", self.history, figure, EQUAL, peer)
        name = base_name(self.history)
        if name in MERGES:
            about, least = "each merge, less than the smallest by", MERGES[name]
            yield Line(about, self.history, 1 - figure, least, peer, least=True)
        for peer, least in LESS_THAN.items() if name in ADAMW else ():
            if peer in self.peers:
                figure = 1 - max(self._over(version, peer)[0] for version in versions)
                yield Line(
                    "each AdamW pair, less by", self.history, figure, least, peer, least=True
                )

    def _over(self, version: int, peer: str = "") -> tuple[float, str]:
        peers = {peer: self.peers[peer]} if peer else self.peers
        name, least = _least(peers, lambda result: result.stored[version])
        stored = self.mvc.stored[version] if self.mvc else 0.0
        return stored / max(least, 1), name

    def _alone(self) -> Iterator[Line]:
        zipnn = self.peers.get("zipnn")
        if self.history.endswith("-alone") and zipnn and self.mvc:
            figure = sum(self.mvc.stored) / sum(zipnn.stored)
            yield Line("one model, over ZipNN", self.history, figure, ALONE, "zipnn")


def _least(peers: dict[str, Result], value: Callable[[Result], float]) -> tuple[str, float]:
    name = min(peers, key=lambda key: value(peers[key]))
    return name, value(peers[name])


def lines(results: Sequence[Result]) -> list[Line]:
    """Return every limit that the results have figures for."""
    histories = list(dict.fromkeys(result.history for result in results))
    return [line for history in histories for line in Against(history, results).lines()]


def limits(found: Sequence[Line]) -> str:
    """Format limits as a table; those that are missed are named in bold."""
    rows = [
        [
            f"{line.about} ({line.history})" if line.history else line.about,
            f"{line.figure:.4f}",
            f"{'at least' if line.least else 'at most'} {line.limit:g}",
            line.against,
            "kept" if line.kept else "**missed**",
        ]
        for line in found
    ]
    return table(["limit", "figure", "allowed", "against", ""], rows)

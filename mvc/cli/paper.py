"""What reports are written on: a terminal of some width, with or without colours and Unicode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mvc.base.escape import escaped


@dataclass(frozen=True, slots=True)
class Paper:
    """What the lines are written on: a style function, the columns, and the characters it has."""

    style: Callable[..., str]
    width: int
    unicode: bool

    @property
    def delta(self) -> str:
        """The heading of the norm of a change."""
        return "‖Δ‖" if self.unicode else "|d|"

    @property
    def arrow(self) -> str:
        """From old to new."""
        return "→" if self.unicode else "->"

    def labels(self, names: Sequence[str], limit: int, indent: int) -> list[str]:
        """Return names as labels of one width, harmless and at most `limit` characters long.

        Long names are cut in the middle, at a place that keeps different names different. Where
        there is none they stay whole, and what follows goes on a line of its own.
        """
        whole = [escaped(name) for name in names]
        gap = "…" if self.unicode else "..."
        room = limit - len(gap)
        shown = whole
        for head in sorted(range(room + 1), key=lambda place: abs(2 * place - room)):
            cut = [_cut(name, limit, head, gap) for name in whole]
            if len(set(cut)) == len(set(whole)):
                shown = cut
                break
        width = max((len(name) for name in shown if len(name) <= limit), default=0)
        below = "\n" + " " * (indent + width)
        return [f"{name:<{width}}" if len(name) <= width else name + below for name in shown]


def _cut(name: str, limit: int, head: int, gap: str) -> str:
    if len(name) <= limit:
        return name
    return name[:head] + gap + name[len(name) - (limit - len(gap) - head) :]

"""Lineage as a drawing for people, the oldest at the top; `tree_json` has it as programs do.

A line of descent goes straight down; what branches off hangs at its side. Commits in between are
counted, not drawn, and a merge stands where its first parent is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import counted, iso_time, short
from mvc.ops.lineage import Lineage, Node

FEW = 10
"""Ends of branches drawn at one commit; of more, some stand for all."""
NAMED = 3


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the lines are written on: a style function, the columns, and the characters it has."""

    style: Callable[..., str]
    width: int
    unicode: bool

    def drawn(self, prefix: str) -> str:
        """Return the lines at the left of an entry in characters that can be shown."""
        if self.unicode:
            return prefix
        return prefix.translate({ord("├"): "|", ord("└"): "`", ord("│"): "|", ord("─"): "-",
                                 ord("●"): "*", ord("…"): "..."})  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Turn:
    """An entry to draw: what is left of its mark, and of what belongs to it."""

    node: Node
    lead: str
    below: str


class _Family:
    """Who descends from whom by first parents."""

    def __init__(self, found: Lineage) -> None:
        self.nodes = {node.id: node for node in found.nodes}
        self.children: dict[ObjectId, list[Node]] = {}
        self.merged: dict[ObjectId, list[Node]] = {}
        self.weight = dict.fromkeys(self.nodes, 1)
        for node in found.nodes:
            for place, link in enumerate(node.parents):
                place_in = self.merged if place else self.children
                place_in.setdefault(link.parent, []).append(node)
            if node.parents:
                self.weight[node.parents[0].parent] += self.weight[node.id]
        self.main = self._main(found)

    def _main(self, found: Lineage) -> set[ObjectId]:
        """Return the line that leads to main, or else to the current branch."""
        tip = next((node for node in found.nodes if _has(node, "main")), None)
        tip = tip or next((node for node in found.nodes if _has(node, "HEAD")), None)
        line: set[ObjectId] = set()
        while tip is not None:
            line.add(tip.id)
            tip = self.nodes[tip.parents[0].parent] if tip.parents else None
        return line

    def following(self, node: Node) -> tuple[list[Node], Node | None]:
        """Return what hangs at the side of a commit, and what goes on straight below."""
        found = self.children.get(node.id, [])
        if not found:
            return [], None
        straight = max(
            found, key=lambda child: (child.id in self.main, self.weight[child.id], child.id)
        )
        if straight.id not in self.main and len(found) > 1 and self.weight[straight.id] == 1:
            # Only ends of branches: none of them is more than the others.
            return sorted(found, key=_order), None
        return sorted((child for child in found if child is not straight), key=_order), straight


def lines(found: Lineage, sheet: Sheet, *, everything: bool) -> Iterator[str]:
    """Yield the drawing, one root after another."""
    family = _Family(found)
    roots = [node for node in reversed(found.nodes) if not node.parents]
    for number, root in enumerate(roots):
        if number:
            yield ""
        yield from _drawn(root, family, sheet, everything=everything)


def _drawn(root: Node, family: _Family, sheet: Sheet, *, everything: bool) -> Iterator[str]:
    turns: list[_Turn | str] = [_Turn(root, "", "")]
    while turns:
        turn = turns.pop()
        if isinstance(turn, str):
            yield turn
            continue
        yield _entry(turn, family, sheet)
        sides, straight = family.following(turn.node)
        shown, hidden = sides, list[Node]()
        if not everything:
            shown, hidden = _some(sides, family)
        coming: list[_Turn | str] = []
        for place, child in enumerate(shown):
            last = straight is None and not hidden and place == len(shown) - 1
            lead, below = ("└─", "  ") if last else ("├─", "│ ")
            coming.append(_Turn(child, turn.below + lead, turn.below + below))
        if hidden:
            lead = "└─" if straight is None else "├─"
            coming.append(sheet.drawn(f"{turn.below}{lead}… ") + sheet.style(_more(hidden), "dim"))
        if straight is not None:
            coming.append(_Turn(straight, turn.below, turn.below))
        turns += reversed(coming)


def _some(sides: Sequence[Node], family: _Family) -> tuple[list[Node], list[Node]]:
    """Leave out ends of branches where there are many; lines that go on are always drawn."""
    ends = [node for node in sides if node.id not in family.children]
    if len(ends) <= FEW:
        return list(sides), []
    left_out = [node for node in ends if not _has(node, "HEAD")][FEW - 2 :]
    hidden = {node.id for node in left_out}
    return [node for node in sides if node.id not in hidden], left_out


def _more(hidden: Sequence[Node]) -> str:
    ahead = [node.parents[0].between + 1 for node in hidden]
    span = f"{min(ahead)} to {max(ahead)} commits" if min(ahead) != max(ahead) else (
        counted(ahead[0], "commit")
    )  # fmt: skip
    names = f"{_name(hidden[0])} to {_name(hidden[-1])}"
    return f"{len(hidden)} more, {names}, {span}; --all draws them"


def _entry(turn: _Turn, family: _Family, sheet: Sheet) -> str:
    node = turn.node
    lead = sheet.drawn(turn.lead + "●")
    name = _name(node)
    parts = [] if name == short(node.id) else [short(node.id)]
    parts.append(iso_time(node.commit.time)[:10])
    if node.parents:
        ahead = node.parents[0].between + 1
        parts += [f"+{ahead}"] * (ahead > 1)
    if len(node.parents) > 1:
        parts.append("merges " + _named([family.nodes[link.parent] for link in node.parents[1:]]))
    elif node.shallow:
        parts.append("older versions are not here")
    if into := family.merged.get(node.id):
        parts.append("merged into " + _named(into))
    message = escaped(node.commit.message.partition("\n")[0])
    text = "  ".join(parts)
    room = sheet.width - len(lead) - len(name) - len(text) - 5
    if len(message) > room:
        gap = "…" if sheet.unicode else "..."
        message = message[: room - len(gap)] + gap if room > 12 else ""
    shown = sheet.style(name, "cyan" if node.names else "yellow")
    return f"{lead} {shown}  {sheet.style(text, 'dim')}  {message}".rstrip()


def _named(nodes: Sequence[Node]) -> str:
    names = ", ".join(map(_name, nodes[:NAMED]))
    return names + (f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else "")


def _name(node: Node) -> str:
    return ", ".join(map(escaped, node.names)) or short(node.id)


def _has(node: Node, name: str) -> bool:
    return any(name in each.split(" -> ") for each in node.names)


def _order(node: Node) -> tuple[int, str]:
    return node.commit.time, _name(node)

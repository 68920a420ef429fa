"""The results of the comparison of stores as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.contenders import ALL, OURS
from benchmarks.histories import PUBLISHED
from benchmarks.measure import table
from benchmarks.results import Effort, Result
from benchmarks.storage_limits import limits, lines

SPEED = ("full-fp32", "full-bf16")
NO_PAIR = ("reexport-fp16", "silero-vad", "crepe-ckpt")
"""The second version there is the first again, or brings something new beside it."""

MISSING = "not installed"
UNKNOWN = "this mvc has no"
SMALLER = 0.9995
"""Below this ratio one figure is smaller than another; closer ones print the same."""

Value = Callable[[Result], float | None]


class Results:
    """Results by history, in the order in which they were first seen, and by contender."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.all = list(results)
        self.histories = list(dict.fromkeys(result.history for result in self.all))
        present = {result.contender for result in self.all}
        self.contenders = [name for name in ALL if name in present]
        self._known = {(result.history, result.contender): result for result in self.all}

    def only(self, histories: Iterable[str]) -> Results:
        """Return the results of some histories, with all contenders."""
        chosen = set(histories)
        kept = Results(result for result in self.all if result.history in chosen)
        kept.contenders = [name for name in self.contenders if name in kept.contenders]
        return kept

    def get(self, history: str, contender: str) -> Result | None:
        """Return what a contender did with a history, None if it was not asked to."""
        return self._known.get((history, contender))

    def sizes(self, history: str, value: Value) -> dict[str, float]:
        """Return the figures of one history by contender, of those that have one."""
        found = {name: self.get(history, name) for name in self.contenders}
        figures = {name: value(result) for name, result in found.items() if result}
        return {name: figure for name, figure in figures.items() if figure is not None}


LAST = "One model without a relative"

GROUPS: dict[str, Callable[[str], bool]] = {
    "Families": lambda name: "/" not in name and name not in PUBLISHED,
    "Families of a second build": lambda name: "/" in name,
    "Published relatives": lambda name: name in PUBLISHED,
    LAST: lambda name: name.endswith("-alone"),
}
"""Which histories make up a table."""


def wholes(results: Results) -> list[str]:
    """Stored over raw bytes of whole histories, group by group; the smallest is bold."""
    parts = []
    for title, belongs in GROUPS.items():
        chosen = results.only(
            name
            for name in results.histories
            if belongs(name) and (title == LAST) == name.endswith("-alone")
        )
        if chosen.histories:
            parts += [f"### {title}: stored / raw", _matrix(
                chosen, "stored / raw", lambda result: result.share, lambda text: f"{text:.3f}"
            )]  # fmt: skip
    return parts


def pairs(results: Results) -> str:
    """Raw over stored bytes of the second version of each; the largest is bold."""
    wanted = (name for name in results.histories if name.rpartition("/")[2] not in NO_PAIR)
    kept = results.only(wanted)
    kept.histories = [name for name in kept.histories if kept.sizes(name, _inverse)]
    return _matrix(kept, "raw / stored", _inverse, lambda figure: f"{1 / figure:.2f}")


def _inverse(result: Result) -> float | None:
    ratio = result.pair_ratio
    return None if ratio is None else 1 / ratio


def _matrix(results: Results, corner: str, value: Value, shown: Callable[[float], str]) -> str:
    rows = []
    for history in results.histories:
        figures = results.sizes(history, value)
        least = min(figures.values(), default=0.0)
        row = [history]
        for name in results.contenders:
            if name in figures:
                text = shown(figures[name])
                row.append(f"**{text}**" if figures[name] * SMALLER <= least else text)
            else:
                row.append(_absent(results.get(history, name)))
        rows.append([*row, winner(results, history, value)])
    return table([corner, *results.contenders, "smallest"], rows)


def _absent(result: Result | None) -> str:
    if result is None or not result.failure:
        return ""
    if result.failure.startswith(UNKNOWN):
        return "unknown"
    return MISSING if MISSING in result.failure else "fails"


def winner(results: Results, history: str, value: Value) -> str:
    """Name who needs the least for a history; in bold when it is not mvc."""
    figures = results.sizes(history, value)
    if not figures:
        return ""
    ours = [figure for name, figure in figures.items() if name in OURS]
    name = min(figures, key=lambda key: figures[key])
    if name in OURS or (ours and min(ours) * SMALLER <= figures[name]):
        return min((key for key in figures if key in OURS), key=lambda key: figures[key])
    return f"**{name}**"


def lost(results: Results) -> list[str]:
    """Say of each history in which mvc is not the smallest who is, and by how much."""
    lines = []
    for history in results.histories:
        figures = results.sizes(history, lambda result: result.share)
        if "mvc" not in figures:
            if (ours_failed := results.get(history, "mvc")) and ours_failed.failure:
                lines.append(f"- {history}: mvc fails")
            continue
        ours = figures["mvc"]
        better = {
            name: figure
            for name, figure in figures.items()
            if name not in OURS and figure < ours * SMALLER
        }
        if better:
            listed = sorted(better.items(), key=lambda item: item[1])
            names = ", ".join(f"{name} {figure:.3f}" for name, figure in listed)
            lines.append(f"- {history}: mvc {ours:.3f}; {names}")
    return lines


def speeds(results: Results, history: str) -> str:
    """Speed and memory of every contender on one history."""
    header = ["contender", "in", "in, a core", "out", "out, a core", "peak memory", "stored / raw"]
    rows = []
    for name in results.contenders:
        result = results.get(history, name)
        if result is None or result.share is None or result.encode is None:
            continue
        peak = f"{result.peak / 1e6:.0f} MB"
        row = [name, *_speed(result.encode), *_speed(result.decode), peak, f"{result.share:.3f}"]
        if result.finish:
            row[0] += f" (then {result.finish.wall:.1f} s)"
        rows.append(row)
    return table(header, rows)


def _speed(effort: Effort | None) -> list[str]:
    if effort is None:
        return ["", ""]
    return [f"{effort.speed:.0f} MB/s", f"{effort.core_speed:.0f} MB/s"]


def remarks(results: Results) -> list[str]:
    """Say why figures are missing and what must be known about others, each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results.all:
        for text in (result.failure, result.note):
            if text:
                reasons.setdefault((result.contender, text), []).append(result.history)
    lines = []
    for (contender, text), histories in reasons.items():
        few = len(histories) < len(results.histories)
        where = f" ({', '.join(histories)})" if few else ""
        lines.append(f"- {contender}{where}: {text}")
    for name in results.contenders:
        absent = [one for one in results.histories if results.get(one, name) is None]
        if absent:
            lines.append(
                f"- {name}: not run on {len(absent)} of {len(results.histories)} histories"
            )
    return lines


def measured(results: Results) -> str:
    """Say which release of each contender was measured, and when."""
    rows = []
    for name in results.contenders:
        found = [result for result in results.all if result.contender == name and result.made]
        for version in dict.fromkeys(result.version for result in found):
            made = sorted(result.made for result in found if result.version == version)
            rows.append([name, version, made[0], made[-1], str(len(made))])
    return table(["contender", "release", "first run", "last run", "histories"], rows)


def report(every: Sequence[Result]) -> str:
    """Return all tables."""
    results = Results(every)
    parts = wholes(results)
    if losses := lost(results):
        parts.append("mvc is not the smallest in:\n\n" + "\n".join(losses))
    elif "mvc" in results.contenders:
        parts.append("mvc is the smallest, or as small as the smallest, in every row.")
    parts += ["### The second version after the first: raw / stored", pairs(results)]
    for history in SPEED:
        if history in results.histories and any(
            result.encode for result in results.all if result.history == history
        ):
            parts += [f"### Speed and memory on {history}", speeds(results, history)]
    if found := lines(every):
        missed = [line for line in found if not line.kept]
        parts += [
            "### Limits",
            f"{len(found) - len(missed)} of {len(found)} are kept.",
            limits(found),
        ]
    parts += ["### Releases", measured(results)]
    if notes := remarks(results):
        parts += ["### Remarks", "\n".join(notes)]
    return "\n\n".join(parts)

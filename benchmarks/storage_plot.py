"""A bar chart of stored over raw bytes, written as SVG by hand."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.results import Result

PLOTTED = {
    "mvc": "#1b6ca8",
    "int-delta": "#7fb2d6",
    "fm-delta": "#d98c3f",
    "tx": "#e7b980",
    "zipnn": "#8a8a8a",
    "xet": "#b9b9b9",
    "restic": "#dadada",
}
LEFT_OUT = ("-alone", "-only")
"""Histories of a single version, or of a part of another one; nor is a second build drawn."""

LEFT, RIGHT, TOP = 150, 40, 62
PLOT_WIDTH = 560
BAR, GAP = 6, 11
WIDTH = LEFT + PLOT_WIDTH + RIGHT


def chart(results: Sequence[Result]) -> str:
    """Return the chart: one group of bars a history, one bar a contender of `PLOTTED`."""
    shares = {(result.history, result.contender): result.share for result in results}
    every = dict.fromkeys(result.history for result in results)
    histories = [name for name in every if "/" not in name and not name.endswith(LEFT_OUT)]
    present = {result.contender for result in results if result.share is not None}
    contenders = [name for name in PLOTTED if name in present]
    most = max([1.0, *(share for share in shares.values() if share is not None)])
    group = BAR * len(contenders) + GAP
    height = TOP + group * len(histories) + 24
    parts = [_legend(contenders), *_grid(height - 24, most)]
    for row, history in enumerate(histories):
        y = TOP + row * group
        middle = y + (group - GAP) / 2 + 4
        parts.append(
            f'<text x="{LEFT - 8}" y="{middle:g}" text-anchor="end">{escape(history)}</text>'
        )
        for index, name in enumerate(contenders):
            share = shares.get((history, name))
            if share is not None:
                parts.append(_bar(y + index * BAR, share, most, name))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11" fill="#222">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{LEFT}" y="18" font-size="13">Bytes stored for all versions, as a share of '
        f"the files' bytes (less is better)</text>\n{body}\n</svg>\n"
    )


def _bar(y: float, share: float, most: float, name: str) -> str:
    length = PLOT_WIDTH * share / most
    return (
        f'<rect x="{LEFT}" y="{y:g}" width="{length:.1f}" height="{BAR - 1}" '
        f'fill="{PLOTTED[name]}"><title>{escape(name)} {share:.3f}</title></rect>'
    )


def _legend(contenders: Sequence[str]) -> str:
    parts, x = [], LEFT
    for name in contenders:
        parts.append(f'<rect x="{x}" y="28" width="10" height="10" fill="{PLOTTED[name]}"/>')
        parts.append(f'<text x="{x + 14}" y="37">{escape(name)}</text>')
        x += 28 + 7 * len(name)
    return "\n".join(parts)


def _grid(bottom: float, most: float) -> list[str]:
    lines = []
    for tenth in range(0, int(most * 10) + 1, 2):
        x = LEFT + PLOT_WIDTH * tenth / 10 / most
        place = f'x="{x:.1f}" y="{TOP - 10}"'
        lines.append(f'<path d="M{x:.1f} {TOP - 6}V{bottom:g}" stroke="#e4e4e4"/>')
        lines.append(f'<text {place} text-anchor="middle" fill="#777">{tenth / 10:g}</text>')
    return lines

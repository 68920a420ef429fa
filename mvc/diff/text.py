"""Line differences of small text files: configuration, vocabularies, model cards."""

from __future__ import annotations

from difflib import SequenceMatcher

MAX_TEXT = 256 << 10
MAX_LINES = 5000
"""Lines that may differ on a side; finding matches among more takes quadratic time."""

CONTEXT = 3
NO_NEWLINE = "\n\\ No newline at end\n"


def as_text(data: bytes) -> str | None:
    """Return the text of UTF-8 bytes, None for anything else."""
    if len(data) > MAX_TEXT or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def unified(old: str, new: str) -> str | None:
    """Return the hunks of a unified diff without file headers, None if too much differs.

    Lines end with a newline only: other line separators are content.
    """
    before, after = _lines(old), _lines(new)
    shortest = min(len(before), len(after))
    head = _matching(before, after, shortest)
    tail = _matching(before[::-1], after[::-1], shortest - head)
    if max(len(before), len(after)) - head - tail > MAX_LINES:
        return None
    start, rest = max(0, head - CONTEXT), max(0, tail - CONTEXT)
    left, right = before[start : len(before) - rest], after[start : len(after) - rest]
    out: list[str] = []
    for group in SequenceMatcher(None, left, right).get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        ranges = (_range(start, first[1], last[2]), _range(start, first[3], last[4]))
        out.append(f"@@ -{ranges[0]} +{ranges[1]} @@\n")
        for tag, a, b, c, d in group:
            if tag == "equal":
                out.extend(" " + line for line in left[a:b])
            else:
                out.extend("-" + line for line in left[a:b])
                out.extend("+" + line for line in right[c:d])
    return "".join(line if line.endswith("\n") else line + NO_NEWLINE for line in out)


def _matching(one: list[str], two: list[str], limit: int) -> int:
    """Return how many of the first `limit` lines are equal."""
    return next((at for at in range(limit) if one[at] != two[at]), limit)


def _lines(text: str) -> list[str]:
    pieces = text.split("\n")
    lines = [piece + "\n" for piece in pieces[:-1]]
    return [*lines, pieces[-1]] if pieces[-1] else lines


def _range(offset: int, start: int, stop: int) -> str:
    length = stop - start
    begin = offset + start + 1 if length else offset + start
    return f"{begin}" if length == 1 else f"{begin},{length}"

"""The middle of many sides, element by element: median and trimmed mean (arXiv 1803.01498).

NaN counts as larger than everything, so that a few broken sides are outvoted; where what is left
has NaN, so has the result. All sides of a part are in memory at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvc.base.parallel import ordered_map
from mvc.merge.integers import trimmed
from mvc.merge.numbers import Floats, Words
from mvc.merge.work import BLOCK_WORDS, Part, Reading, Work, same_part

NAMES = frozenset(("median", "trimmed-mean"))
"""The strategies that hold all sides at a time."""


def median(work: Work) -> Part:
    """Return the median, of two middle ones their mean."""
    count = len(work.sides)
    return _ordered(work, (count - 1) // 2, count // 2 + 1)


def trimmed_mean(work: Work) -> Part:
    """Return the mean without the floor(trim * sides) lowest and as many highest."""
    out = trimmed(work)
    return _ordered(work, out, len(work.sides) - out)


def _ordered(work: Work, start: int, stop: int) -> Part:
    """Return the mean of the sides from `start` to `stop` in the order of each element."""
    step = max(64, 4 * BLOCK_WORDS // len(work.sides))

    def part(number: int) -> Words:
        if same_part(work.sides, number):
            return Reading(work.sides, number, work.numbers.word).words(0)
        sides = _read(work, number)

        def block(at: int) -> Words:
            with np.errstate(all="ignore"):
                return _middle(work, [words[at : at + step] for words in sides], start, stop)

        made = list(ordered_map(block, range(0, len(sides[0]), step)))
        return np.concatenate(made) if made else np.empty(0, work.numbers.word)

    return part


def _read(work: Work, number: int) -> list[Words]:
    """Return a part of all sides; those with one id share their memory."""
    names = [side.part_id(number) for side in work.sides]
    firsts = [
        place for place, name in enumerate(names) if name is None or names.index(name) == place
    ]
    loaded = ordered_map(lambda place: work.sides[place].load(number), firsts)
    words = {
        place: np.frombuffer(data, work.numbers.word)
        for place, data in zip(firsts, loaded, strict=True)
    }
    return [
        words[place] if place in words else words[names.index(name)]
        for place, name in enumerate(names)
    ]


def _middle(work: Work, rows: list[Words], start: int, stop: int) -> Words:
    columns = np.empty((len(rows[0]), len(rows)), np.float64)
    same: NDArray[np.bool_] = np.ones(len(rows[0]), np.bool_)
    for place, row in enumerate(rows):
        columns[:, place] = work.numbers.values(row)
        same &= row == rows[0]
    # Stable, so that -0.0 and 0.0 stay in the order of the sides.
    columns.sort(axis=1, kind="stable")
    sums: Floats = columns[:, start].copy()
    for place in range(start + 1, stop):
        sums += columns[:, place]
    return np.where(same, rows[0], work.numbers.rounded(sums / (stop - start)))

"""The two factors of slerp, with the same bits on every machine.

Sine and arc cosine of C libraries differ in their last bits; decimal arithmetic does not. It runs
once a tensor.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

NEARLY_STRAIGHT = 0.9995
"""Above this cosine, or below its negative, there is no angle worth following."""

_DIGITS = 40


def factors(cosine: float, t: float) -> tuple[float, float] | None:
    """Return sin((1-t)a)/sin(a) and sin(ta)/sin(a) of the angle a; None for the straight line."""
    if not math.isfinite(cosine) or abs(cosine) > NEARLY_STRAIGHT:
        return None
    with localcontext(Context(prec=_DIGITS)):
        share = Decimal(t)
        angle = _angle(Decimal(cosine))
        whole = _sine(angle)
        return float(_sine((1 - share) * angle) / whole), float(_sine(share * angle) / whole)


def _angle(cosine: Decimal) -> Decimal:
    """Return the arc cosine of a number between -1 and 1, twice the arc tangent of a half angle."""
    tangent = ((1 - cosine) / (1 + cosine)).sqrt()
    halvings = 0
    while tangent > Decimal("0.01"):
        tangent = tangent / (1 + (1 + tangent * tangent).sqrt())
        halvings += 1
    term = found = tangent
    for odd in range(3, 4 * _DIGITS, 2):
        term = -term * tangent * tangent
        found += term / odd
    return found * Decimal(2 << halvings)


def _sine(angle: Decimal) -> Decimal:
    term = found = angle
    for odd in range(3, 4 * _DIGITS, 2):
        term = -term * angle * angle / (odd * (odd - 1))
        found += term
    return found

"""Numbers as pages show them."""

from __future__ import annotations


def figure(value: float | None) -> str:
    """Return a number with three digits, a dash for none."""
    if value is None:
        return "–"  # noqa: RUF001 - the sign for nothing
    if value == 0:
        return "0"
    if 1e3 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}" if 1e-4 <= abs(value) < 1e3 else _power(value, 2)


def inexact(value: float | None) -> str:
    """Return a number with two digits, for places with little room."""
    if value is None:
        return "–"  # noqa: RUF001
    if value == 0:
        return "0"
    return f"{value:.2g}" if 1e-3 <= abs(value) < 100 else _power(value, 1)


def exact(value: float | None) -> str:
    """Return a number that reads back the same, empty for none."""
    return "" if value is None else repr(value)


def _power(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"

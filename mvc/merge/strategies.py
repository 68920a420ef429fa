"""The strategies of a merge, their parameters, and what each needs: a literal table.

A strategy makes one tensor of several that have one name, dtype and shape. docs/merge.md has the
formulas and the papers; `mvc.merge.tensors` applies them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from mvc.base.errors import UsageError

Value = float | int | str

RESCALES = ("density", "l1", "none")
MAX_SEED = 2**64 - 1
_FIELDS = {"lambda": "scale"}


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy with its parameters; those that it does not take keep their defaults.

    Attributes:
        name: A key of STRATEGIES.
        t: slerp: how far from the first side to the second, 0 to 1.
        scale: The factor of the summed change, called `lambda` outside.
        density: ties, dare: the share of a change's elements that is kept, above 0 up to 1.
        rescale: dare: what makes up for dropped elements: `density` divides by it (the paper),
            `l1` restores the sum of magnitudes (mergekit), `none` nothing.
        seed: dare: which elements are drawn.
        trim: trimmed-mean: the share of sides left out at each end, 0 up to below 0.5.
    """

    name: str
    t: float = 0.5
    scale: float = 1.0
    density: float = 1.0
    rescale: str = "density"
    seed: int = 0
    trim: float = 0.1

    @property
    def kind(self) -> Kind:
        """What is known of the strategy."""
        return STRATEGIES[self.name]

    def options(self) -> dict[str, Value]:
        """Return the parameters that the strategy takes, by their names outside."""
        return {name: getattr(self, _FIELDS.get(name, name)) for name in self.kind.options}

    def check(self, sides: int, *, base: bool) -> None:
        """Raise UsageError unless the strategy can merge so many sides, with or without a base."""
        kind = self.kind
        if sides < kind.least or (kind.most is not None and sides > kind.most):
            wanted = f"exactly {kind.least}" if kind.most == kind.least else f"{kind.least} or more"
            raise UsageError(
                f"strategy {self.name} merges {wanted} sides, not {sides}",
                hint="average, median and trimmed-mean take any number",
            )
        if kind.base and not base:
            raise UsageError(
                f"strategy {self.name} needs a common base, and there is none",
                hint="average and slerp need none",
            )


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a strategy.

    Attributes:
        summary: What it does, for help texts.
        options: The parameters it takes, with their defaults.
        base: It needs the common base.
        least, most: How many sides it takes.
        weighted: Weights of the sides count; elsewhere giving some is an error.
        computes: It makes new numbers. The others take one side's bits whatever the type.
    """

    summary: str
    options: Mapping[str, Value]
    base: bool = False
    least: int = 1
    most: int | None = None
    weighted: bool = False
    computes: bool = True


STRATEGIES: dict[str, Kind] = {
    "ours": Kind("the first side", {}, computes=False),
    "theirs": Kind("the second of two sides", {}, least=2, most=2, computes=False),
    "base": Kind("the common base, as if no side had changed it", {}, base=True, computes=False),
    "average": Kind("the weighted mean of all sides", {}, weighted=True),
    "slerp": Kind("from the first side to the second along the arc", {"t": 0.5}, least=2, most=2),
    "task-arithmetic": Kind(
        "the base plus lambda times the sum of all changes",
        {"lambda": 1.0},
        base=True,
        weighted=True,
    ),
    "ties": Kind(
        "the largest changes of each side, where most agree on the sign",
        {"density": 0.2, "lambda": 1.0},
        base=True,
        weighted=True,
    ),
    "dare": Kind(
        "the base plus changes of which a random share is dropped and the rest scaled up",
        {"density": 0.5, "lambda": 1.0, "rescale": "density", "seed": 0},
        base=True,
        weighted=True,
    ),
    "dare-ties": Kind(
        "as dare, then where most agree on the sign",
        {"density": 0.5, "lambda": 1.0, "rescale": "density", "seed": 0},
        base=True,
        weighted=True,
    ),
    "median": Kind("the median of all sides, element by element", {}),
    "trimmed-mean": Kind("the mean without the lowest and the highest sides", {"trim": 0.1}),
}

OPTIONS: dict[str, str] = {
    "t": "how far from the first side to the second, 0 to 1",
    "lambda": "the factor of the summed change",
    "density": "the share of each change that is kept, above 0 up to 1",
    "rescale": "what makes up for dropped elements: density, l1 or none",
    "seed": "which elements are dropped, a whole number from 0",
    "trim": "the share of sides left out at each end, from 0 up to below 0.5",
}
"""Every parameter of a strategy, for help texts."""


def strategy(name: str, options: Mapping[str, Value] | None = None) -> Strategy:
    """Return the strategy called `name` with parameters, as text or as numbers.

    Raises:
        UsageError: There is no such strategy, it has no such parameter, or a value is not one
            that the parameter takes.
    """
    kind = STRATEGIES.get(name)
    if kind is None:
        near = get_close_matches(name, STRATEGIES, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(STRATEGIES)}"
        raise UsageError(f"there is no merge strategy {name[:40]!r}", hint=hint)
    given = options or {}
    for option in given:
        if option not in kind.options:
            takes = ", ".join(kind.options) or "no parameters"
            raise UsageError(
                f"strategy {name} has no parameter {option[:40]!r}", hint=f"it takes {takes}"
            )
    values = {**kind.options, **{option: _value(option, given[option]) for option in given}}
    named = {_FIELDS.get(option, option): value for option, value in values.items()}
    return replace(Strategy(name), **named)  # type: ignore[arg-type]


def _value(option: str, given: Value) -> Value:
    if option == "rescale":
        if given in RESCALES:
            return given
        raise _refused(option, given)
    number = _seed(given) if option == "seed" else _number(given)
    if number is None or not _LIMITS[option](number):
        raise _refused(option, given)
    return number


def _seed(given: Value) -> int | None:
    if isinstance(given, str):
        return int(given) if given.isascii() and given.isdigit() and len(given) <= 20 else None
    return given if type(given) is int else None


def _number(given: Value) -> float | None:
    if isinstance(given, bool):
        return None
    try:
        number = float(given)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _refused(option: str, given: Value) -> UsageError:
    return UsageError(f"{option} cannot be {str(given)[:40]!r}", hint=f"it is {OPTIONS[option]}")


_LIMITS: dict[str, Callable[[float], bool]] = {
    "t": lambda value: 0 <= value <= 1,
    "lambda": lambda value: True,
    "density": lambda value: 0 < value <= 1,
    "seed": lambda value: 0 <= value <= MAX_SEED,
    "trim": lambda value: 0 <= value < 0.5,
}

"""What a contender of the comparison of stores did with a history, as it is written to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds by the clock and on processors, for an amount of bytes."""

    bytes: int
    wall: float
    cpu: float

    @property
    def speed(self) -> float:
        """Decimal megabytes a second by the clock."""
        return self.bytes / 1e6 / self.wall

    @property
    def core_speed(self) -> float:
        """Decimal megabytes a second of processor time."""
        return self.bytes / 1e6 / self.cpu


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender did with one history.

    Attributes:
        history: Its name.
        contender: Its name.
        raw: The bytes of each version.
        stored: The bytes that each version added to what is stored.
        encode: All versions in, None for a bound.
        decode: What came back and was compared, None where nothing was timed.
        peak: Resident bytes of the largest process.
        failure: Why there is no figure, or None.
        note: What a reader must know about the figure.
        finish: What was done once when all versions were in; its saving counts to the last.
        version: The release of the contender.
        digest: Of the history: all its files, their names and their order.
        made: When it was measured.
    """

    history: str
    contender: str
    raw: tuple[int, ...] = ()
    stored: tuple[float, ...] = ()
    encode: Effort | None = None
    decode: Effort | None = None
    peak: int = 0
    failure: str | None = None
    note: str | None = None
    finish: Effort | None = None
    version: str = ""
    digest: str = ""
    made: str = ""

    @property
    def timed(self) -> bool:
        """Whether it says how fast the contender is, or cannot."""
        return self.encode is not None or self.failure is not None

    @property
    def share(self) -> float | None:
        """Stored over raw bytes of all versions; None without a figure."""
        return None if self.failure or not self.raw else sum(self.stored) / sum(self.raw)

    @property
    def pair_ratio(self) -> float | None:
        """Raw over stored bytes of the second version; None where that is not known."""
        if self.failure or self.finish or len(self.raw) < 2:
            return None
        return self.raw[1] / max(self.stored[1], 1)


def dumped(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return results as plain values."""
    return [asdict(result) for result in results]


def loaded(values: Sequence[Mapping[str, Any]]) -> list[Result]:
    """Undo `dumped`, also after JSON."""
    return [_loaded(dict(value)) for value in values]


def _loaded(value: dict[str, Any]) -> Result:
    for name in ("encode", "decode", "finish"):
        value[name] = Effort(**value[name]) if value.get(name) else None
    for name in ("raw", "stored"):
        value[name] = tuple(value[name])
    return Result(**value)

"""What a token may use up: requests a minute, bytes a day, requests at once, room for parts.

Counters are in memory, those of bytes are kept as well: in steps, each written down before it is
used up, so that a server that was killed takes a token for having used a little more than it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock

from mvc.base.errors import MvcError
from mvc.sync.quota_file import QuotaFile
from mvc.sync.server_config import Limits, Space
from mvc.sync.tokens import Token

MINUTE = 60.0
DAY = 86400.0
STEPS, LEAST_STEP = 64, 1 << 20
"""In how many steps a day's bytes are written down, and how large each is at least."""


class ExhaustedError(Exception):
    """Something is used up: a code of the protocol, a sentence, and seconds until it is not."""

    def __init__(self, code: str, message: str, after: float) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.after = max(1, round(after))


@dataclass(slots=True)
class _Use:
    """Of one token: requests it may still make, and bytes it moved since `day` began.

    `noted` of these are written down.
    """

    left: float
    at: float
    day: float
    bytes: int = 0
    noted: int = 0


class Quotas:
    """The use of all tokens. Safe from several threads.

    `clock` tells seconds, and `wall` those of the day, for what is written to `kept`.
    """

    def __init__(
        self,
        limits: Limits,
        space: Space,
        clock: Callable[[], float],
        measure: Callable[[], int] = lambda: 0,
        kept: QuotaFile | None = None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._limits = limits
        self._space = space
        self._clock = clock
        self._measure = measure
        self._kept = kept
        self._wall = wall or clock
        self._before = kept.load() if kept else {}
        self._guard = Lock()
        self._uses: dict[str, _Use] = {}
        self._running: Counter[str] = Counter()
        self._arriving = 0
        self._lying = 0
        self._measured: float | None = None

    @property
    def running(self) -> int:
        """How many requests are being answered."""
        return self._running.total()

    @property
    def arriving(self) -> int:
        """How many bytes of parts are announced and not there yet."""
        return self._arriving

    def request(self, token: Token) -> None:
        """Count a request, or raise ExhaustedError."""
        with self._guard:
            use, now = self._use(token), self._clock()
            if (rate := token.requests_per_minute) is not None:
                use.left = min(rate, use.left + (now - use.at) * rate / MINUTE)
                use.at = now
                if use.left < 1:
                    wait = (1 - use.left) * MINUTE / rate
                    raise ExhaustedError("quota", f"this token has {rate} requests a minute", wait)
                use.left -= 1
            if (most := token.bytes_per_day) is not None and use.bytes >= most:
                raise ExhaustedError(
                    "quota", f"this token has {most} bytes a day", use.day + DAY - self._wall()
                )

    def moved(self, token: Token, count: int) -> None:
        """Count bytes that a request brought or its reply took."""
        if token.bytes_per_day is not None:
            with self._guard:
                use = self._use(token)
                use.bytes += count
                if self._kept is not None and use.bytes > use.noted:
                    use.noted = use.bytes + max(token.bytes_per_day // STEPS, LEAST_STEP)
                    self._save(lambda one: one.noted)

    def enter(self, token: Token) -> None:
        """Take a place among the requests that are answered, or raise ExhaustedError."""
        with self._guard:
            mine = self._running[token.id]
            if self.running >= self._limits.requests or mine >= self._limits.requests_per_token:
                raise ExhaustedError("busy", "too many requests at once", 1)
            self._running[token.id] += 1

    def leave(self, token: Token) -> None:
        """Give the place back."""
        with self._guard:
            self._running[token.id] -= 1
            if not self._running[token.id]:
                del self._running[token.id]

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Have room for a part in quarantine, or raise ExhaustedError."""
        stale = self._measured is None or self._clock() - self._measured > MINUTE
        measured = self._measure() if stale else None
        with self._guard:
            if measured is not None:
                self._lying, self._measured = measured, self._clock()
            if self._lying + self._arriving + size > self._space.quarantine_bytes:
                self._measured = None
                raise ExhaustedError("busy", "too many parts wait for their updates", MINUTE)
            self._arriving += size
        try:
            yield
        finally:
            with self._guard:
                self._arriving -= size
                self._lying += size

    def close(self) -> None:
        """Write down what was used, to the byte."""
        with self._guard:
            if self._kept is not None and self._uses:
                self._save(lambda one: one.bytes)

    def _use(self, token: Token) -> _Use:
        now, today = self._clock(), self._wall()
        use = self._uses.get(token.id)
        if use is None:
            day, spent = self._before.pop(token.id, (today, 0))
            use = _Use(token.requests_per_minute or 0, now, day, spent, spent)
            self._uses[token.id] = use
        # A day that has yet to begin is one by a clock that was wrong.
        if not 0 <= today - use.day < DAY:
            use.day, use.bytes, use.noted = today, 0, 0
        return use

    def _save(self, count: Callable[[_Use], int]) -> None:
        """Write down all days that are not over."""
        today = self._wall()
        spent = self._before | {
            token: (use.day, count(use)) for token, use in self._uses.items() if use.bytes
        }
        # Where that fails, pushes will tell of the disk; reads need not fail for it.
        with suppress(MvcError):
            assert self._kept is not None  # noqa: S101
            self._kept.save({token: one for token, one in spent.items() if today - one[0] < DAY})

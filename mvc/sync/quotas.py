"""What a token may use up: requests a minute, bytes a day, requests at once, room for parts.

Counters are in memory: a server that starts again begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from mvc.sync.server_config import Limits, Space
from mvc.sync.tokens import Token

MINUTE = 60.0
DAY = 86400.0


class ExhaustedError(Exception):
    """Something is used up: a code of the protocol, a sentence, and seconds until it is not."""

    def __init__(self, code: str, message: str, after: float) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.after = max(1, round(after))


@dataclass(slots=True)
class _Use:
    """Of one token: requests it may still make, and bytes it moved since `day` began."""

    left: float
    at: float
    day: float
    bytes: int = 0


class Quotas:
    """The use of all tokens. Safe from several threads; `clock` tells seconds."""

    def __init__(
        self,
        limits: Limits,
        space: Space,
        clock: Callable[[], float],
        measure: Callable[[], int] = lambda: 0,
    ) -> None:
        self._limits = limits
        self._space = space
        self._clock = clock
        self._measure = measure
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
                    "quota", f"this token has {most} bytes a day", use.day + DAY - now
                )

    def moved(self, token: Token, count: int) -> None:
        """Count bytes that a request brought or its reply took."""
        if token.bytes_per_day is not None:
            with self._guard:
                self._use(token).bytes += count

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

    def _use(self, token: Token) -> _Use:
        now = self._clock()
        use = self._uses.get(token.id)
        if use is None:
            use = self._uses[token.id] = _Use(token.requests_per_minute or 0, now, now)
        if now - use.day >= DAY:
            use.day, use.bytes = now, 0
        return use

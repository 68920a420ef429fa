"""What an HTTP server counts, as Prometheus reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from threading import Lock

BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of requests, bytes and refusals, and how long requests took."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._taken: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def answered(
        self, verb: str, status: int, code: str | None, seconds: float, came: int, went: int
    ) -> None:
        """Count a request. `verb` must be one of a few words, never what a client made up."""
        with self._guard:
            self._requests[verb, status] += 1
            if code is not None:
                self._refusals[code] += 1
            self._bytes["in"] += came
            self._bytes["out"] += went
            taken = self._taken.setdefault(verb, [0] * (len(BUCKETS) + 1))
            taken[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[verb] = self._seconds.get(verb, 0.0) + seconds

    def text(self, gauges: dict[str, int]) -> str:
        """Return everything in the exposition format, with what is so just now."""
        with self._guard:
            lines = [
                *_head("mvc_requests_total", "counter", "Requests by verb and HTTP status."),
                *(
                    f'mvc_requests_total{{verb="{verb}",status="{status}"}} {count}'
                    for (verb, status), count in sorted(self._requests.items())
                ),
                *_head("mvc_refusals_total", "counter", "Refusals by code of the protocol."),
                *(
                    f'mvc_refusals_total{{code="{code}"}} {count}'
                    for code, count in sorted(self._refusals.items())
                ),
                *_head("mvc_bytes_total", "counter", "Bytes of bodies by direction."),
                *(
                    f'mvc_bytes_total{{direction="{way}"}} {self._bytes[way]}'
                    for way in ("in", "out")
                ),
                *_head("mvc_request_seconds", "histogram", "How long requests took."),
                *(line for verb in sorted(self._taken) for line in self._histogram(verb)),
            ]
        for name, value in gauges.items():
            lines += [*_head(f"mvc_{name}", "gauge", name.replace("_", " ")), f"mvc_{name} {value}"]
        return "\n".join(lines) + "\n"

    def _histogram(self, verb: str) -> list[str]:
        taken, total, lines = self._taken[verb], 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), taken, strict=True):
            total += count
            lines.append(f'mvc_request_seconds_bucket{{verb="{verb}",le="{bound}"}} {total}')
        lines.append(f'mvc_request_seconds_sum{{verb="{verb}"}} {self._seconds[verb]:.6f}')
        lines.append(f'mvc_request_seconds_count{{verb="{verb}"}} {total}')
        return lines


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]

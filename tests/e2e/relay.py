"""A bad connection: passes bytes on to a port of this machine, counts them, and fails on time.

The ways to fail: `close` (both sides are told), `reset` (both are told rudely), `stall` (nothing
passes any more, nobody is told), `swallow` (the server is told; what the client still sends gets
lost), `deaf` (the client is told, the server is not).
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["close", "reset", "stall", "swallow", "deaf"]
WAYS: tuple[Way, ...] = ("close", "reset", "stall", "swallow", "deaf")
PIECE = 1 << 14
BUFFER = 1 << 16
TICK_MS = 50
_RUDE = struct.pack("ii", 1, 0)


@dataclass
class Relay:
    """Passes connections on to `target`, and lets one fail whenever `every` bytes have passed.

    It fails at most `times` times (None: for ever). Where `lose` is set, it is asked before an
    answer passes; the connection fails there, once, if it says so.
    """

    target: int
    every: int | None = None
    way: Way = "close"
    times: int | None = None
    lose: Callable[[], bool] | None = None
    up: int = 0
    down: int = 0
    failures: int = 0
    connections: int = 0
    port: int = 0
    _passed: int = 0
    _over: bool = False
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Take connections from now on."""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        self._run(self._accept)

    def stop(self) -> None:
        """End all connections, those that nobody was told of, too."""
        self._over = True
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def passing(self, up: bool, size: int) -> int:
        """Count what is about to pass and return how much of it may; less means failure."""
        if not up and self.lose is not None and self.lose():
            self.lose = None
            self.failures += 1
            return 0
        with self._guard:
            every = self.every if self.times is None or self.failures < self.times else None
            allowed = size if every is None else min(size, every - self._passed)
            self._passed += allowed
            if every is not None and self._passed >= every:
                self._passed = 0
                self.failures += 1
                allowed = min(allowed, size - 1)
            if up:
                self.up += allowed
            else:
                self.down += allowed
        return allowed

    @property
    def over(self) -> bool:
        """Tell whether all connections are to end."""
        return self._over

    def _run(self, action: Callable[[], None]) -> None:
        thread = threading.Thread(target=action, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._socket.settimeout(TICK_MS / 1000)
        while not self._over:
            try:
                near, _ = self._socket.accept()
            except TimeoutError:
                continue
            self.connections += 1
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self._run(_Connection(self, near, far).run)


class _Connection:
    """One connection, which a thread of its own looks after."""

    def __init__(self, relay: Relay, near: socket.socket, far: socket.socket) -> None:
        self._relay = relay
        self._near = near
        self._far = far
        self._waiting = {near: b"", far: b""}
        self._sources = {near, far}
        self._failed = False
        for one in (near, far):
            one.setblocking(False)
            # What lies in here has not passed, and is not counted.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)

    def run(self) -> None:
        """Pass bytes on until both sides have ended, or it is time to fail."""
        try:
            while (self._sources or any(self._waiting.values())) and not self._relay.over:
                self._step()
                if self._failed and not any(self._waiting.values()):
                    self._fail(self._relay.way)
                    return
        except OSError:
            pass
        finally:
            self._near.close()
            self._far.close()

    def _step(self) -> None:
        """Wait a moment for something to move, and move it."""
        watched = select.poll()
        for one in (self._near, self._far):
            reads = one in self._sources and not self._waiting[self._other(one)]
            wanted = select.POLLIN * (reads and not self._failed)
            wanted |= select.POLLOUT * bool(self._waiting[one])
            if wanted:
                watched.register(one, wanted)
        ready = dict(watched.poll(TICK_MS))
        for one in (self._near, self._far):
            happened = ready.get(one.fileno(), 0)
            if happened & ~select.POLLIN and self._waiting[one]:
                self._waiting[one] = self._waiting[one][one.send(self._waiting[one]) :]
            if happened & ~select.POLLOUT and one in self._sources and not self._failed:
                self._take(one)

    def _take(self, source: socket.socket) -> None:
        data = source.recv(PIECE)
        target = self._other(source)
        if not data:
            self._sources.discard(source)
            target.shutdown(socket.SHUT_WR)
            return
        allowed = self._relay.passing(source is self._near, len(data))
        self._failed = self._failed or allowed < len(data)
        self._waiting[target] = data[:allowed]

    def _other(self, one: socket.socket) -> socket.socket:
        return self._far if one is self._near else self._near

    def _fail(self, way: Way) -> None:
        if way == "reset":
            for one in (self._near, self._far):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RUDE)
        if way == "swallow":
            self._far.close()
        if way == "deaf":
            self._near.close()
        if way in ("stall", "swallow", "deaf"):
            while not self._relay.over and not (way == "swallow" and self._lost()):
                threading.Event().wait(TICK_MS / 1000)

    def _lost(self) -> bool:
        """Read what gets lost; True where the client has had enough."""
        try:
            while self._near.recv(PIECE):
                pass
        except BlockingIOError:
            return False
        return True


@contextmanager
def relay(
    target: int,
    every: int | None = None,
    way: Way = "close",
    times: int | None = None,
    lose: Callable[[], bool] | None = None,
) -> Iterator[Relay]:
    """Run a relay while inside."""
    found = Relay(target, every, way, times, lose)
    found.start()
    try:
        yield found
    finally:
        found.stop()

"""A process that is talked to over its standard streams, and what it says on the third of them."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Sequence

from mvc.sync.link import FutileError
from mvc.sync.pipes import Pipes

MAX_LINE = 1000
MAX_LINES = 200
PARTING_SECONDS = 5.0
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


class Child(Pipes):
    """A running program; `told` hears each line that it prints on standard error."""

    def __init__(self, command: Sequence[str], idle: float, told: Callable[[str], None]) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                list(command),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise FutileError(
                f"cannot run {command[0]}: {reason}",
                hint="`mvc config --global core.ssh_command` is the program that reaches hosts",
            ) from error
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        into, out, said = (stream.fileno() for stream in streams if stream is not None)
        self.lines: list[str] = []
        self.answered = False
        self._told = told
        self._said = said
        self._half = b""
        os.set_blocking(said, False)
        super().__init__(out, into, idle)

    def end(self) -> int:
        """Wait for the program, whose output has ended, and return its exit status."""
        until = time.monotonic() + PARTING_SECONDS
        self._hear_out(until)
        return self.kill(max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """Tell the program that nothing follows, hear it out, and wait until it is gone."""
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
        until = time.monotonic() + PARTING_SECONDS
        self._hear_out(until)
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.terminate()
        self.kill(PARTING_SECONDS)

    def _hear_out(self, until: float) -> None:
        """Hear what it says while it runs, and what is left when it does not."""
        while self._said >= 0 and self._process.poll() is None and time.monotonic() < until:
            watched = select.poll()
            watched.register(self._said, select.POLLIN)
            if watched.poll(50):
                self._hear()
        while self._hear():
            pass

    def kill(self, patience: float = 0.0) -> int:
        """Make sure that the program is gone, and return its exit status."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return status

    def _watch(self, watched: select.poll) -> int | None:
        if self._said < 0:
            return None
        watched.register(self._said, select.POLLIN)
        return self._said

    def _hear(self) -> bool:
        """Tell the lines that were printed; False where no more are there, or none will come."""
        try:
            found = os.read(self._said, 1 << 16) if self._said >= 0 else b""
        except OSError:
            return False
        if not found:
            self._said = -1
        *whole, self._half = (self._half + found).split(b"\n")
        if self._half and (not found or len(self._half) > MAX_LINE):
            whole.append(self._half)
            self._half = b""
        for line in whole:
            self._line(readable(line))
        return bool(found)

    def _line(self, text: str) -> None:
        if text and len(self.lines) < MAX_LINES:
            self.lines.append(text)
            self._told(text)


def readable(line: bytes) -> str:
    """Return a line of another program without what a terminal would obey."""
    text = _SEQUENCE.sub("", line[:MAX_LINE].decode("utf-8", "replace")).expandtabs(4)
    return "".join(char for char in text if char.isprintable()).strip()

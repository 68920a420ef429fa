"""Long output through the user's pager."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress


def page(lines: Iterable[str], command: str) -> None:
    """Pass lines to a pager; print them where it cannot be started."""
    words = shlex.split(command)
    if not words or words == ["cat"]:
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    environment = {"LESS": "FRX", **os.environ}
    try:
        with subprocess.Popen(  # noqa: S603 - the user's own choice of program
            words, stdin=subprocess.PIPE, env=environment, text=True, errors="backslashreplace"
        ) as process:
            _feed(process, lines)
    except (FileNotFoundError, PermissionError):
        sys.stdout.writelines(f"{line}\n" for line in lines)


def _feed(process: subprocess.Popen[str], lines: Iterable[str]) -> None:
    stream = process.stdin
    if stream is None:
        return
    try:
        # A pager that the reader left has seen enough.
        with suppress(BrokenPipeError):
            for line in lines:
                stream.write(f"{line}\n")
    finally:
        with suppress(BrokenPipeError):
            stream.close()
        while True:
            try:
                process.wait()
                break
            except KeyboardInterrupt:
                # Ctrl-C belongs to the pager while it has the terminal.
                continue

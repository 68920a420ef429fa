"""The user's own command, run in a folder: it ends when we do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mvc.base.errors import NotAllowedError, NotFoundError, StorageError

PARTING_SECONDS = 5.0
ERRORS = 2
"""The descriptor of standard error."""


def run(words: Sequence[str], folder: Path, variables: Mapping[str, str]) -> int:
    """Run a program in `folder` and return its exit code, below zero for a signal.

    It gets nothing to read, and what it prints goes to standard error. It is in a process group of
    its own, so that all it started ends with it when we are interrupted.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - what the user typed, as words
            list(words),
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=_errors(),
            stderr=_errors(),
            process_group=0,
        )
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no program {words[0]!r}", hint="give its whole path"
        ) from None
    except PermissionError:
        raise NotAllowedError(
            f"{words[0]!r} may not be run", hint="`chmod +x` it, or put its interpreter before it"
        ) from None
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot run {words[0]!r}: {error}") from error
    try:
        return process.wait()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and do not ask again."""
    for number, seconds in ((signal.SIGTERM, PARTING_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(seconds)
            # Whatever it started itself may need longer than it did.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            return


def _errors() -> int:
    try:
        return sys.stderr.fileno()
    except (OSError, ValueError):
        return ERRORS

"""One run of the command line: from arguments to an exit code, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from mvc.base.errors import MvcError
from mvc.base.escape import escaped
from mvc.cli.group import mvc

PROGRAM = "mvc"
USAGE = 2
INTERNAL = 128
HUNG_UP = 129
INTERRUPTED = 130
BROKEN_PIPE = 141
# A thread of ours keeps each processor busy; those of a BLAS would only wait for each other.
_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_Handler = Callable[[int, FrameType | None], Any] | int | None


class _Hangup(KeyboardInterrupt):
    """The terminal is gone."""


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code. Errors are told on stderr."""
    _prepare()
    as_json = "--json" in arguments
    before = _catch_signals()
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough of it, as in `mvc log | head`.
        _silence(sys.stdout)
        return BROKEN_PIPE
    except (KeyboardInterrupt, click.Abort) as error:
        _tell("interrupted", "interrupted; no file is left half written", None, as_json=as_json)
        return HUNG_UP if isinstance(error, _Hangup) else INTERRUPTED
    except click.ClickException as error:
        message, hint = _usage(error)
        _tell("usage", message, hint, as_json=as_json)
        return USAGE
    except MvcError as error:
        _trace(arguments)
        _tell(error.code, error.message, error.hint, as_json=as_json)
        return error.exit_code
    except UnicodeEncodeError as error:
        if _is_text(arguments):
            return _internal(error, arguments, as_json=as_json)
        _tell("usage", "an argument is not valid UTF-8", None, as_json=as_json)
        return USAGE
    except OSError as error:
        if error.filename is not None or not error.strerror:
            return _internal(error, arguments, as_json=as_json)
        # Errors of files are MvcError long before; streams that are written to have no name.
        _trace(arguments)
        _silence(sys.stdout)
        _tell("storage", f"cannot write the output: {error.strerror}", None, as_json=as_json)
        return INTERNAL
    except Exception as error:  # noqa: BLE001 - the last line of defence of a program
        return _internal(error, arguments, as_json=as_json)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def _invoke(arguments: list[str]) -> int:
    if "_MVC_COMPLETE" in os.environ:
        mvc.main(arguments, PROGRAM, standalone_mode=True)
    try:
        with mvc.make_context(PROGRAM, list(arguments)) as ctx:
            mvc.invoke(ctx)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _prepare() -> None:
    for name in _BLAS:
        os.environ.setdefault(name, "1")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _catch_signals() -> dict[signal.Signals, _Handler]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does; return what they did before.

    What is ignored, as under nohup, stays ignored.
    """
    before: dict[signal.Signals, _Handler] = {}
    for number, handler in ((signal.SIGTERM, _terminated), (signal.SIGHUP, _hung_up)):
        # None: a handler that was not made by Python and could not be put back.
        if signal.getsignal(number) in (signal.SIG_IGN, None):
            continue
        try:
            before[number] = signal.signal(number, handler)
        except ValueError:
            # Not the main thread: whoever runs us there deals with signals.
            break
    return before


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _hung_up(number: int, frame: FrameType | None) -> None:
    raise _Hangup


def _internal(error: Exception, arguments: list[str], *, as_json: bool) -> int:
    _trace(arguments)
    message = f"internal error: {type(error).__name__}: {error}"
    hint = "run it again with `mvc --debug ...` and report what it prints"
    _tell("internal", message, hint, as_json=as_json)
    return INTERNAL


def _is_text(arguments: list[str]) -> bool:
    return not any("\udc80" <= char <= "\udcff" for text in arguments for char in text)


def _usage(error: click.ClickException) -> tuple[str, str]:
    text = error.format_message().strip().rstrip(".")
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else PROGRAM
    if ctx and isinstance(error, click.exceptions.NoArgsIsHelpError):
        text = f"{path} needs one of {', '.join(ctx.command.list_commands(ctx))}"
    return text[:1].lower() + text[1:], f"`{path} --help` shows how it is used"


def _tell(code: str, message: str, hint: str | None, *, as_json: bool) -> None:
    if as_json:
        import json

        body = {"error": {"code": code, "message": message, "hint": hint}}
        text = json.dumps(body) + "\n"
    else:
        text = f"error: {escaped(message)}\n" + (f"hint: {escaped(hint)}\n" if hint else "")
    try:
        sys.stdout.flush()
    except OSError:
        _silence(sys.stdout)
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def _trace(arguments: list[str]) -> None:
    if "--debug" in arguments:
        import traceback

        traceback.print_exc()


def _silence(stream: object) -> None:
    """Send what is still buffered nowhere, so that the interpreter's exit does not complain."""
    fileno = getattr(stream, "fileno", None)
    if fileno is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fileno())
        os.close(nowhere)

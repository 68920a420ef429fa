"""The option --precision, and what is said of files that were written with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mvc.base.dtypes import REDUCED_BITS, check_precision
from mvc.base.escape import escaped
from mvc.base.wording import counted
from mvc.cli.session import Session

Function = TypeVar("Function", bound=Callable[..., Any])
_SHOWN = 3


def precision_option(function: Function) -> Function:
    """Add --precision."""
    return click.option(
        "--precision",
        metavar=str(REDUCED_BITS),
        type=int,
        callback=_checked,
        help=f"Only the top {REDUCED_BITS} bits of float32 and float64 words, the others zero.",
    )(function)


def _checked(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    """Refuse an impossible precision before anything is looked for."""
    check_precision(value)
    return value


def note_reduced(session: Session, paths: Sequence[str], *, here: bool = True) -> None:
    """Say which files have not the bytes that were committed; `here` for the working copy."""
    if not paths:
        return
    some = ", ".join(escaped(path) for path in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    whose = "its SHA-256 is" if len(paths) == 1 else "their SHA-256s are"
    session.note(
        f"{counted(len(paths), 'file')} at precision {REDUCED_BITS}: {some}{more}; "
        f"every word is verified, but {whose} not the committed one"
    )
    if here:
        them = "it" if len(paths) == 1 else "them"
        session.note(f"no commit takes {them} up; `mvc restore FILE` brings all bits back")

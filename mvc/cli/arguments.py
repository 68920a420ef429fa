"""Arguments that several commands share, and how their text is read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from mvc.base.errors import FormatError, MvcError, NotFoundError, UsageError
from mvc.base.escape import escaped
from mvc.cli.session import Session
from mvc.objects.history import Metric, Scalar
from mvc.repo.config import parse_value

Function = TypeVar("Function", bound=Callable[..., Any])
PATHS = "mvc.paths"
_LIKE_AN_ID = re.compile(r"[0-9a-f]{8,}", re.ASCII)
_METRIC = re.compile(r"([^@\[\]=]+)(?:@([^\[\]=]+))?(?:\[([^\[\]=]+)\])?=(.+)", re.S)


def json_option(function: Function) -> Function:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON (see docs/json.md).")(
        function
    )


def examples(*lines: str, exit_status: str = "") -> str:
    """Return the end of a command's help."""
    text = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
    return f"{text}\n\n\b\nExit status: {exit_status}" if exit_status else text


class WithPaths(click.Command):
    """A command that takes paths after `--`, which click would not tell from other arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take away `--` and what follows."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[PATHS] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


def paths_after_dashes(ctx: click.Context) -> tuple[str, ...] | None:
    """Return the arguments after `--`, None if there was none."""
    found: tuple[str, ...] | None = ctx.meta.get(PATHS)
    return found


@contextmanager
def files_meant(
    session: Session, verb: str, words: tuple[str, ...], *, instead: str | None = None
) -> Iterator[None]:
    """Where no revision has a name but a file does, say how to write that file.

    By default after `--`; `instead` is a whole command with {here} or {top}, the file as seen from
    the current or the top folder.
    """
    try:
        yield
    except (NotFoundError, UsageError) as error:
        files = [word for word in words if word and os.path.lexists(session.path(word))]
        found = [word for word in files if not _is_revision(session, word)]
        if not found or found[0] in ("HEAD", "@") or session.repo.worktree is None:
            raise
        others = [word for word in words if word not in found]
        after = " ".join(["mvc", verb, *others, "--", *found])
        write = _filled(session, instead, found[0]) if instead else after
        kind = "folder" if session.path(found[0]).is_dir() else "file"
        raise NotFoundError(
            f"no revision is called {found[0]!r}", hint=f"{found[0]} is a {kind}; write: {write}"
        ) from error


def _filled(session: Session, template: str, path: str) -> str:
    try:
        return template.format(here=path, top=session.inside(path))
    except MvcError:
        return template.format(here=path, top="FILE")


def _is_revision(session: Session, word: str) -> bool:
    from mvc.repo.revisions import resolve

    try:
        resolve(session.repo, word)
    except MvcError:
        return False
    return True


@contextmanager
def as_usage() -> Iterator[None]:
    """Treat text that cannot be stored as what it is here: a mistake of whoever wrote it."""
    try:
        yield
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from error


def note_ambiguous(session: Session, name: str, *, tag: bool = False) -> None:
    """Say so if a new branch or tag has a name that could mean something else, too."""
    from mvc.repo.refs import BRANCHES, TAGS

    shown = escaped(name)
    if session.repo.refs.get((BRANCHES if tag else TAGS) + name) is not None:
        kinds = "a branch and a tag are both" if not tag else "a tag and a branch are both"
        session.note(f"note: {kinds} called {shown}; as a revision {shown} means the branch")
    if _LIKE_AN_ID.fullmatch(name):
        what = "tag" if tag else "branch"
        session.note(f"note: {shown} looks like an id; as a revision it means the {what}")


def parse_metric(text: str) -> Metric:
    """Return the metric of `name[@dataset][[split]]=value`."""
    match = _METRIC.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        name, dataset, split, value = match.groups()
        measured = float(value)
        if measured - measured != 0:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{text[:80]!r} is not a metric", hint="write --metric accuracy@imagenet[val]=0.91"
        ) from None
    with as_usage():
        return Metric(name.strip(), measured, (dataset or "").strip(), (split or "").strip())


def parse_metrics(texts: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return metrics in order, each name, data set and split at most once."""
    found: dict[tuple[str, str, str], Metric] = {}
    for item in map(parse_metric, texts):
        key = (item.name, item.dataset, item.split)
        if key in found:
            raise _twice("metric", item.key)
        found[key] = item
    return tuple(found[key] for key in sorted(found))


def parse_params(texts: tuple[str, ...]) -> dict[str, Scalar]:
    """Return `key=value` pairs with values as int, float, bool or text."""
    return {key: parse_value(value) for key, value in _pairs("param", texts).items()}


def parse_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Return `key=value` pairs with values as text."""
    return _pairs("label", texts)


def _pairs(what: str, texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in map(_pair, texts):
        if key in found:
            raise _twice(what, key)
        found[key] = value
    return found


def _twice(what: str, key: str) -> UsageError:
    return UsageError(f"{what} {key[:80]!r} is given twice", hint="give it once")


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"{text[:80]!r} is not KEY=VALUE")
    return key.strip(), value

"""Arguments that several commands share, and how their text is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mvc.base.errors import UsageError
from mvc.objects.history import Metric, Scalar
from mvc.repo.config import parse_value

Function = TypeVar("Function", bound=Callable[..., Any])
PATHS = "mvc.paths"
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
    return Metric(name.strip(), measured, (dataset or "").strip(), (split or "").strip())


def parse_metrics(texts: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return metrics in order; of two with the same name, data set and split the last counts."""
    found = {(item.name, item.dataset, item.split): item for item in map(parse_metric, texts)}
    return tuple(found[key] for key in sorted(found))


def parse_params(texts: tuple[str, ...]) -> dict[str, Scalar]:
    """Return `key=value` pairs with values as int, float, bool or text."""
    return {key: parse_value(value) for key, value in map(_pair, texts)}


def parse_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Return `key=value` pairs with values as text."""
    return dict(map(_pair, texts))


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"{text[:80]!r} is not KEY=VALUE")
    return key.strip(), value

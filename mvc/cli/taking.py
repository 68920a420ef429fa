"""`--continue` with `--take SIDE [FILE[:TENSOR_GLOB]]...`, which merge and picks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mvc.base.errors import UsageError
from mvc.cli.session import Session

if TYPE_CHECKING:
    from mvc.ops.merge_result import MergeResult
    from mvc.repo.merging import Take

TAKES = "mvc.takes"
Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS = ("t", "lambda", "density", "rescale", "seed", "trim")


class WithTakes(click.Command):
    """A command whose `--take SIDE` owns the patterns that follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take away `--take` with its side and patterns."""
        rest: list[str] = []
        takes: list[list[str]] = []
        within = False
        pending = list(args)
        while pending:
            word = pending.pop(0)
            if word == "--take" or word.startswith("--take="):
                side = word.partition("=")[2] or (pending.pop(0) if pending else "")
                if not side or side.startswith("-"):
                    raise click.BadOptionUsage("take", "--take needs a side, such as ours", ctx)
                takes.append([side])
                within = True
            elif within and not word.startswith("-"):
                takes[-1].append(word)
            else:
                within = False
                rest.append(word)
        ctx.meta[TAKES] = takes
        return super().parse_args(ctx, rest)


def strategy_options(function: Function) -> Function:
    """Add the parameters of strategies."""
    texts = {
        "t": "slerp: how far from ours to theirs, 0 to 1.",
        "lambda": "task-arithmetic, ties, dare: the factor of the change.",
        "density": "ties, dare: the share of each change that is kept.",
        "rescale": "dare: density, l1 or none.",
        "seed": "dare: which elements are dropped.",
        "trim": "trimmed-mean: the share of versions left out at each end.",
    }
    for name in reversed(OPTIONS):
        option = click.option(f"--{name}", f"option_{name}", metavar="X", help=texts[name])
        function = option(function)
    return function


def given_options(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of strategies that were given, by name."""
    found = {name: params.get(f"option_{name}") for name in OPTIONS}
    return {name: value for name, value in found.items() if value is not None}


def takes_of(ctx: click.Context, session: Session, options: dict[str, Any]) -> tuple[Take, ...]:
    """Return what was said that conflicts become. Raises UsageError."""
    from mvc.merge.strategies import STRATEGIES, strategy
    from mvc.repo.merging import Named, Take

    found = []
    used: set[str] = set()
    for name, *patterns in ctx.meta.get(TAKES, []):
        kind = STRATEGIES.get(name)
        mine = {key: value for key, value in options.items() if kind and key in kind.options}
        used |= mine.keys()
        strategy(name, mine)
        found.append(Take(Named(name, mine), tuple(map(session.inside, patterns))))
    if lost := options.keys() - used:
        raise UsageError(
            f"nothing takes --{sorted(lost)[0]} here", hint="it is a parameter of a strategy"
        )
    return tuple(found)


def finish(
    ctx: click.Context,
    session: Session,
    done: tuple[MergeResult, ...],
    *,
    as_json: bool,
    many: bool,
) -> None:
    """Print results, and end with 1 where decisions are needed."""
    if as_json:
        from mvc.cli.merge_json import shape

        session.json([shape(item) for item in done] if many else shape(done[-1]))
    else:
        from mvc.cli.render_merge import told

        for item in done:
            told(session, item)
    if any(item.status == "conflicts" for item in done):
        ctx.exit(1)

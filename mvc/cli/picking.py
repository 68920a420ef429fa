"""What `cherry-pick` and `revert` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mvc.base.errors import UsageError
from mvc.cli.session import Session
from mvc.cli.taking import finish, takes_of

if TYPE_CHECKING:
    from mvc.ops.merge_result import MergeResult

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--scale", type=float, default=1.0, metavar="X", help="The factor of the change."),
    click.option(
        "-m", "--mainline", "parent", type=int, metavar="N", help="Of a merge: which parent."
    ),
    click.option("--message", multiple=True, metavar="TEXT", help="The message of the commit."),
    click.option("--no-commit", is_flag=True, help="Stop before the commit."),
    click.option("-S/ ", "--sign/--no-sign", default=None, help="Sign the commit, or not."),
    click.option("-n", "--dry-run", is_flag=True, help="Tell what would happen; change nothing."),
    click.option("--continue", "go_on", is_flag=True, help="End what stopped, then the rest."),
    click.option(
        "--take",
        metavar="SIDE [FILE[:GLOB]]...",
        help="With --continue: what conflicts become, ours, theirs, base or a strategy.",
    ),
    click.option("--abort", is_flag=True, help="Go back to how it was before."),
)


def pick_options(function: Function) -> Function:
    """Add the options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def run(
    ctx: click.Context,
    session: Session,
    verb: str,
    versions: tuple[str, ...],
    given: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Pick, go on or go back."""
    from mvc.ops import resume
    from mvc.ops.picking import PickRequest, pick

    message = "\n\n".join(given["message"])
    takes = takes_of(ctx, session, {})
    if given["go_on"] or given["abort"]:
        if versions or (given["go_on"] and given["abort"]):
            raise UsageError(
                "--continue and --abort take no versions, and exclude each other",
                hint=f"`mvc {verb} --continue`, or `mvc {verb} --abort`",
            )
        done: tuple[MergeResult, ...]
        if given["abort"]:
            done = (resume.abort(session.repo, verb, session.progress),)
        else:
            request = resume.ResumeRequest(takes, message, given["sign"])
            done = resume.resume(session.repo, verb, request, session.progress)
    else:
        if takes:
            raise UsageError("--take goes with --continue", hint=f"`mvc {verb} REV` comes first")
        wanted = PickRequest(
            versions,
            given["scale"],
            given["parent"],
            message,
            commit=not given["no_commit"],
            sign=given["sign"],
            dry_run=given["dry_run"],
        )
        done = pick(session.repo, verb, wanted, session.progress)
    finish(ctx, session, done, as_json=as_json, many=True)

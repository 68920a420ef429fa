"""`mvc merge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import branches, revisions
from mvc.cli.session import Session, pass_session
from mvc.cli.taking import (
    WithTakes,
    finish,
    given_options,
    strategy_options,
    takes_of,
)

if TYPE_CHECKING:
    from mvc.ops.merge import MergeRequest


@click.command(
    "merge",
    cls=WithTakes,
    epilog=examples(
        "mvc merge car-17",
        "mvc merge --strategy average --weight-by samples 'devices/*'",
        "mvc merge --strategy ties --density 0.2 experiment",
        "mvc merge --into main --strategy average 'devices/*'   (in a bare repository)",
        "mvc merge --continue --take theirs model.safetensors:head.* --take average",
        exit_status="1 when there are conflicts, 4 when the branch was moved meanwhile.",
    ),
)
@click.option(
    "-s",
    "--strategy",
    metavar="NAME",
    help="What to do where sides disagree: ours, theirs, average, slerp, task-arithmetic, ties, "
    "dare, dare-ties, median, trimmed-mean. Without it, that is a conflict.",
)
@strategy_options
@click.option("--weights", metavar="X,X...", help="A weight for each version.")
@click.option("--weight-by", metavar="NAME", help="The metric or param that is the weight.")
@click.option(
    "--rules",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Strategies by file and tensor.",
)
@click.option(
    "--literals",
    type=click.Choice(["ours", "theirs"]),
    help="Whose bytes beside the tensors, where both changed them.",
)
@click.option("--include-head", is_flag=True, help="Let the branch itself count, too.")
@click.option(
    "--into", metavar="BRANCH", shell_complete=branches, help="Merge into it, writing no file."
)
@click.option("--ff/--no-ff", "fast", default=None, help="Move forward where that is enough.")
@click.option("--ff-only", is_flag=True, help="Do nothing but move forward.")
@click.option("--allow-unrelated", is_flag=True, help="Also without a common version.")
@click.option("--allow-unrelated-histories", "unrelated", is_flag=True, hidden=True)
@click.option("--no-commit", is_flag=True, help="Stop before the commit.")
@click.option("-m", "--message", multiple=True, metavar="TEXT", help="The message of the commit.")
@click.option("-S/ ", "--sign/--no-sign", default=None, help="Sign the commit, or not.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would happen; change nothing.")
@click.option("--continue", "go_on", is_flag=True, help="End a merge that stopped.")
@click.option(
    "--take",
    metavar="SIDE [FILE[:GLOB]]...",
    help="With --continue: what conflicts become, ours, theirs, base or a strategy.",
)
@click.option("--abort", is_flag=True, help="Go back to how it was before the merge.")
@json_option
@click.argument("versions", metavar="[REV]...", nargs=-1, shell_complete=revisions)
@pass_session
@click.pass_context
def command(
    ctx: click.Context,
    session: Session,
    /,
    versions: tuple[str, ...],
    go_on: bool,
    abort: bool,
    as_json: bool,
    message: tuple[str, ...],
    **given: Any,
) -> None:
    """Merge versions: by file, by tensor, or as an average of a fleet.

    They go into the current branch. REV is a version, or a pattern of branches such as
    'devices/*'. What one side changed is taken from it, file by file and tensor by tensor. With
    a strategy and several versions, these are combined, each with its weight; the branch itself
    does not count then unless --include-head is given.
    """
    text = "\n\n".join(message)
    options = given_options(given)
    if go_on or abort:
        if versions or (go_on and abort):
            raise UsageError(
                "--continue and --abort take no versions, and exclude each other",
                hint="`mvc merge --continue`, or `mvc merge --abort`",
            )
        done = _resumed(ctx, session, text, options, abort=abort, sign=given["sign"])
        finish(ctx, session, done, as_json=as_json, many=False)
        return
    if takes_of(ctx, session, {}):
        raise UsageError("--take goes with --continue", hint="--strategy NAME is for all conflicts")
    from mvc.ops.merge import merge

    done = (
        merge(session.repo, _request(session, versions, text, options, given), session.progress),
    )
    finish(ctx, session, done, as_json=as_json, many=False)


def _resumed(
    ctx: click.Context,
    session: Session,
    message: str,
    options: dict[str, Any],
    *,
    abort: bool,
    sign: bool | None,
) -> Any:
    from mvc.ops import resume

    if abort:
        return (resume.abort(session.repo, "merge", session.progress),)
    request = resume.ResumeRequest(takes_of(ctx, session, options), message, sign)
    return resume.resume(session.repo, "merge", request, session.progress)


def _request(
    session: Session,
    versions: tuple[str, ...],
    message: str,
    options: dict[str, Any],
    given: dict[str, Any],
) -> MergeRequest:
    from mvc.ops.merge import MergeRequest
    from mvc.ops.merge_rules import read_rules

    if given["ff_only"] and given["fast"] is False:
        raise UsageError("--ff-only and --no-ff contradict each other", hint="give one")
    rules = read_rules(session.path(given["rules"])) if given["rules"] else ""
    return MergeRequest(
        versions,
        given["strategy"],
        options,
        _weights(given["weights"]),
        given["weight_by"],
        rules,
        given["literals"],
        given["include_head"],
        given["into"],
        "only" if given["ff_only"] else "never" if given["fast"] is False else "auto",
        unrelated=given["allow_unrelated"] or given["unrelated"],
        commit=not given["no_commit"],
        message=message,
        sign=given["sign"],
        dry_run=given["dry_run"],
    )


def _weights(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text[:80]!r} are no weights", hint="for example 0.7,0.3") from None

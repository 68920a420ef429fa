"""`mvc commit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import counted, short, size
from mvc.cli.arguments import (
    as_usage,
    examples,
    json_option,
    parse_labels,
    parse_metrics,
    parse_params,
)
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.commit import CommitRequest, CommitResult


@click.command(
    "commit",
    epilog=examples(
        "mvc commit -m 'Adapt to car 17' --metric accuracy@imagenet[val]=0.91",
        "mvc commit -m Base --param lr=2e-5 --param optimizer=adamw --label stage=base",
        exit_status="1 when there is nothing to commit.",
    ),
)
@click.option("-m", "--message", multiple=True, metavar="TEXT", help="What changed, and why.")
@click.option("-a", "--all", "everything", is_flag=True, help="As without it: all tracked files.")
@click.option("--metric", multiple=True, metavar="NAME[@DATASET][[SPLIT]]=NUMBER")
@click.option("--param", multiple=True, metavar="KEY=VALUE", help="true, 3, 2e-5 or text.")
@click.option("--label", multiple=True, metavar="KEY=TEXT")
@click.option("--author", metavar="'NAME <MAIL>'", help="Instead of the configured one.")
@click.option(
    "--base",
    metavar="REV",
    shell_complete=revisions,
    help="A version, other than HEAD, that this one resembles; see commit.base.",
)
@click.option(
    "--codec",
    type=click.Choice(["default", "fast"]),
    help="fast takes a third of the time and more bytes; see core.codec.",
)
@click.option(
    "-S/ ", "--sign/--no-sign", default=None, help="Sign it, or not; see commit.sign and `mvc key`."
)
@click.option("--allow-empty", is_flag=True, help="Also when no file changed.")
@json_option
@pass_session
def command(
    session: Session,
    message: tuple[str, ...],
    everything: bool,
    metric: tuple[str, ...],
    param: tuple[str, ...],
    label: tuple[str, ...],
    author: str | None,
    base: str | None,
    codec: str | None,
    sign: bool | None,
    allow_empty: bool,
    as_json: bool,
) -> None:
    """Record the tracked files as a new version.

    Several -m are paragraphs. Metrics, params and labels may be given many times.
    """
    if not "".join(message).strip():
        raise UsageError("a commit needs a message", hint="mvc commit -m 'what changed'")
    if author is not None and not author.strip():
        raise UsageError("an author has a name", hint="mvc commit --author 'Name <mail>'")
    from mvc.ops.commit import CommitRequest, commit

    request = CommitRequest(
        "\n\n".join(message),
        parse_params(param),
        parse_metrics(metric),
        parse_labels(label),
        allow_empty=allow_empty,
        base=base,
        codec=codec,
        sign=sign,
    )
    session.author = author
    _check(session, request)
    done = commit(session.repo, request, session.progress)
    for warning in done.warnings:
        session.note(f"note: {escaped(warning)}")
    if session.author_is_guessed:
        who = escaped(session.repo.author())
        session.note(f"note: committed as {who}; `mvc config --global user.name NAME` sets it")
    if as_json:
        session.json(_shape(done))
        return
    where = escaped(done.branch) if done.branch else "detached HEAD"
    root = " (first commit)" if done.root else ""
    subject = escaped(done.message.partition("\n")[0])
    session.say(f"[{where} {session.style(short(done.id), 'yellow')}]{root} {subject}")
    if done.files:
        sizes = f"{size(done.raw_bytes)} took {size(done.stored_bytes)} in the store"
        session.say(f" {counted(done.files, 'file')} changed, {sizes}")


def _check(session: Session, request: CommitRequest) -> None:
    """Raise UsageError for what no commit can hold, before anything is stored."""
    from mvc.objects.history import Commit

    with as_usage():
        Commit(
            ObjectId(bytes(32)),
            (),
            session.repo.author(),
            0,
            request.message,
            request.params,
            request.metrics,
            request.labels,
        )


def _shape(done: CommitResult) -> dict[str, object]:
    return {
        "id": done.id.hex(),
        "branch": done.branch,
        "files": done.files,
        "raw_bytes": done.raw_bytes,
        "stored_bytes": done.stored_bytes,
        "warnings": list(done.warnings),
    }

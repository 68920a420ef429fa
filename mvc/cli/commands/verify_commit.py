"""`mvc verify-commit`."""

from __future__ import annotations

import click

from mvc.base.wording import short
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.render_signature import EXIT_CODES, sentence, shape
from mvc.cli.session import Session, pass_session


@click.command(
    "verify-commit",
    epilog=examples(
        "mvc verify-commit",
        "mvc verify-commit v1.0",
        exit_status="1 unsigned, 5 by a key that is unknown, revoked or expired, 6 does not fit.",
    ),
)
@json_option
@click.argument("revision", metavar="[REV]", default="HEAD", shell_complete=revisions)
@click.pass_context
@pass_session
def command(session: Session, ctx: click.Context, revision: str, as_json: bool) -> None:
    """Tell whose signature a version has, and whether it counts.

    The name is that of the list of trusted keys (`mvc key list`), never one that the version
    gives itself. Its parents are not looked at.
    """
    from mvc.ops.verify_commit import verify_commit

    done = verify_commit(session.repo, revision)
    if as_json:
        session.json({"commit": done.commit.hex(), **shape(done.verdict)})
    else:
        session.write(f"{short(done.commit)}: {sentence(done.verdict)}")
    if done.expired_since:
        session.note("note: the key has expired since the time that the version claims")
    ctx.exit(EXIT_CODES[done.verdict.status])

"""`mvc pull`."""

from __future__ import annotations

import click

from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import remotes as offered
from mvc.cli.precision import note_reduced
from mvc.cli.session import Session, pass_session


@click.command(
    "pull",
    epilog=examples(
        "mvc pull",
        "mvc pull origin main",
        exit_status="1 when both sides have versions of their own, or changes would be lost.",
    ),
)
@click.option("-p", "--prune", is_flag=True, help="Forget branches that are gone there.")
@json_option
@click.argument("remote", required=False, shell_complete=offered)
@click.argument("branch", required=False)
@pass_session
def command(
    session: Session, remote: str | None, branch: str | None, prune: bool, as_json: bool
) -> None:
    """Fetch, and take the current branch along.

    The branch moves forward to what it follows, or to BRANCH of REMOTE, and its files with it.
    Where it has versions of its own that are not there, it stays.
    """
    from mvc.cli.remoting import access, fetched_rows, fetched_shape, refused_here, traffic
    from mvc.ops.fetch import FetchRequest
    from mvc.ops.pull import pull

    request = FetchRequest(remote, prune=prune)
    done = pull(session.repo, request, branch, access(session), session.progress)
    if as_json:
        session.json(
            {
                "branch": done.branch,
                "upstream": done.upstream,
                "old": done.old.hex() if done.old else None,
                "commit": done.commit.hex(),
                "status": done.status,
                "written": done.written,
                "reduced": list(done.reduced),
                "fetched": fetched_shape(done.fetched),
            }
        )
    else:
        for line in fetched_rows(session, done.fetched):
            session.say(line)
        if done.fetched.sent.parts:
            session.note(f"received {traffic(done.fetched.sent)}")
        session.say(
            _told(done.status, done.branch, done.upstream, short(done.commit), done.written)
        )
    note_reduced(session, done.reduced)
    refused_here([done.fetched])


def _told(status: str, branch: str, upstream: str, commit: str, written: int) -> str:
    name, there = escaped(branch), escaped(upstream)
    if status == "same":
        return f"{name} is up to date with {there}"
    if status == "ahead":
        return f"{name} has all of {there}, and more"
    return f"{name} is at {commit}, as {there} is; {counted(written, 'file')} written"

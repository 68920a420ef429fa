"""`mvc push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import remotes as offered
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.push import PushResult


class _Push(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let --force-with-lease stand without a value, which click gives only to the last."""
        end = args.index("--") if "--" in args else len(args)
        bare = [word for word in args[:end] if word == "--force-with-lease"]
        ctx.meta["mvc.leased"] = bool(bare)
        kept = [word for word in args[:end] if word != "--force-with-lease"]
        return super().parse_args(ctx, kept + args[end:])


@click.command(
    "push",
    cls=_Push,
    epilog=examples(
        "mvc push",
        "mvc push -u origin car-17",
        "mvc push origin HEAD:release v1.0",
        "mvc push --force-with-lease",
        "mvc push origin :old-branch",
        exit_status="4 when a ref moved there, 5 when it is not granted, 7 network.",
    ),
)
@click.option("-u", "--set-upstream", is_flag=True, help="Let branches follow what they become.")
@click.option("--all", "--branches", "branches", is_flag=True, help="All branches.")
@click.option("--tags", is_flag=True, help="All tags, too.")
@click.option("-d", "--delete", is_flag=True, help="Delete the branches named, there.")
@click.option("-f", "--force", is_flag=True, help="Also where versions there would be left.")
@click.option(
    "--force-with-lease",
    "leases",
    metavar="[=REF[:ID]]",
    multiple=True,
    help="As --force, but only from where it was seen last, or from ID.",
)
@click.option("--atomic", is_flag=True, help="All refs move, or none.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be done.")
@json_option
@click.argument("remote", required=False, shell_complete=offered)
@click.argument("specs", metavar="[BRANCH | TAG | SRC:DST | :DST]...", nargs=-1)
@click.pass_context
@pass_session
def command(
    session: Session,
    ctx: click.Context,
    remote: str | None,
    specs: tuple[str, ...],
    set_upstream: bool,
    branches: bool,
    tags: bool,
    delete: bool,
    force: bool,
    leases: tuple[str, ...],
    atomic: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send branches and tags to a remote.

    By default the current branch, to what it follows or to `origin`. Only what is missing there is
    sent, and a push that was cut off goes on where it was. A branch moves forward; where it cannot,
    `mvc pull` first.
    """
    from mvc.cli.remoting import access
    from mvc.ops.push import PushRequest, push

    leased: bool = ctx.meta["mvc.leased"]
    if delete and (branches or tags or not specs):
        raise UsageError("which branch is to be deleted there?", hint="mvc push -d REMOTE NAME")
    request = PushRequest(
        remote=remote,
        specs=specs,
        branches=branches,
        tags=tags,
        delete=delete,
        force=force,
        leased=leased,
        leases=leases,
        atomic=atomic,
        dry_run=dry_run,
        set_upstream=set_upstream,
    )
    done = push(session.repo, request, access(session), session.progress)
    _tell(session, done, as_json=as_json)
    problem = done.problem()
    if problem is not None:
        raise problem


def _tell(session: Session, done: PushResult, *, as_json: bool) -> None:
    from mvc.base.wording import counted
    from mvc.base.wording import size as sized
    from mvc.cli.remoting import moved, row, traffic
    from mvc.cli.shapes import hexed
    from mvc.repo.refs import short

    if as_json:
        session.json(
            {
                "remote": done.remote or None,
                "url": done.url,
                "dry_run": done.dry_run,
                "refs": [
                    {
                        "ref": item.move.ref,
                        "source": item.move.source if item.move.new else None,
                        "old": hexed(item.old),
                        "new": hexed(item.move.new),
                        "status": item.status,
                        "code": item.code,
                        "message": item.message or None,
                    }
                    for item in done.rows
                ],
                "objects": done.objects,
                "planned_bytes": done.planned,
                "follows": [{"branch": name, "upstream": there} for name, there in done.follows],
                **moved(done.sent),
            }
        )
        return
    for item in done.rows:
        goal, source = short(item.move.ref), item.move.source
        names = goal if goal == source or item.move.new is None else f"{source} -> {goal}"
        why = item.message or ("forced" if item.status == "forced" else "")
        session.say(row(session, item.status, item.old, item.move.new, names, why))
    for name, there in done.follows:
        session.say(f"branch {escaped(name)} follows {escaped(there)}")
    if done.dry_run:
        what = f"{counted(done.objects, 'object')} ({sized(done.planned)})"
        session.note(f"dry run: {what} would be sent")
    elif done.sent.parts:
        session.note(f"sent {traffic(done.sent)}")

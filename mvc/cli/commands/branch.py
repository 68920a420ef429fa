"""`mvc branch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import short
from mvc.cli.arguments import examples, json_option, note_ambiguous
from mvc.cli.complete import branches as offered
from mvc.cli.render_tracking import bracketed, followed
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.branch import Branch


@click.command(
    "branch",
    epilog=examples(
        "mvc branch -v",
        "mvc branch car-17 v1.0",
        "mvc branch -m car-17 cars/17",
        "mvc branch -u origin/main",
        exit_status="1 when -d would lose commits or the name is taken.",
    ),
)
@click.option("-a", "--all", "everything", is_flag=True, help="List those of remotes, too.")
@click.option("-r", "--remotes", "elsewhere", is_flag=True, help="List those of remotes.")
@click.option(
    "-v", "--verbose", is_flag=True, help="With the last commit of each, and what it follows."
)
@click.option("-u", "--set-upstream-to", "follow", metavar="UPSTREAM", help="Follow origin/main.")
@click.option("--unset-upstream", "unfollow", is_flag=True, help="Follow nothing any more.")
@click.option("-d", "--delete", is_flag=True, help="Delete branches that HEAD contains.")
@click.option("-D", "force_delete", is_flag=True, help="Delete branches, whatever they hold.")
@click.option("-m", "--move", is_flag=True, help="Rename: [OLD] NEW.")
@json_option
@click.argument("names", metavar="[NAME [START]]", nargs=-1, shell_complete=offered)
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    everything: bool,
    elsewhere: bool,
    verbose: bool,
    follow: str | None,
    unfollow: bool,
    delete: bool,
    force_delete: bool,
    move: bool,
    as_json: bool,
) -> None:
    """List, create, rename or delete branches.

    Without NAME, lists them. A new branch begins at START, by default HEAD; `mvc switch -c`
    makes one and goes to it. What was fetched last tells how a branch stands to what it follows.
    """
    if delete or force_delete:
        _delete(session, names, force=force_delete)
    elif move:
        _rename(session, names)
    elif follow is not None or unfollow:
        _follow(session, names, None if unfollow else follow)
    elif names:
        _create(session, names)
    else:
        from mvc.ops.branch import branches, remote_branches

        found = () if elsewhere else branches(session.repo, upstreams=verbose or as_json)
        if everything or elsewhere:
            found += remote_branches(session.repo)
        _list(session, found, verbose=verbose, as_json=as_json)


def _list(session: Session, found: tuple[Branch, ...], *, verbose: bool, as_json: bool) -> None:
    if as_json:
        session.json(
            [
                {
                    "name": item.name,
                    "commit": item.commit.hex(),
                    "current": item.current,
                    "subject": item.subject,
                    "upstream": followed(item.upstream),
                }
                for item in found
            ]
        )
        return
    head = session.repo.refs.head()
    if head.branch is None and head.commit is not None:
        session.write(f"* (HEAD is detached at {short(head.commit)})")
    width = max((len(escaped(item.name)) for item in found), default=0)
    for item in found:
        name = escaped(item.name)
        about = f" {bracketed(item.upstream)}" if item.upstream else ""
        tail = f" {short(item.commit)}{about} {escaped(item.subject)}" if verbose else ""
        shown = session.style(name, "green") if item.current else name
        gap = " " * (width - len(name)) if verbose else ""
        session.write(f"{'*' if item.current else ' '} {shown}{gap}{tail}")


def _follow(session: Session, names: tuple[str, ...], upstream: str | None) -> None:
    from mvc.ops.branch import follow

    if len(names) > 1:
        raise UsageError("one branch follows, by default the current one")
    found = follow(session.repo, names[0] if names else None, upstream)
    name = escaped(names[0]) if names else escaped(session.repo.refs.head().branch or "")
    session.say(f"branch {name} follows {escaped(found.name) if found else 'nothing any more'}")


def _create(session: Session, names: tuple[str, ...]) -> None:
    from mvc.ops.branch import create

    if len(names) > 2:
        raise UsageError("branch takes a name and where it starts, no more")
    commit = create(session.repo, *names)
    note_ambiguous(session, names[0])
    session.say(f"branch {escaped(names[0])} at {short(commit)}")


def _delete(session: Session, names: tuple[str, ...], *, force: bool) -> None:
    from mvc.ops.branch import delete

    if not names:
        raise UsageError("which branch is to be deleted?", hint="mvc branch -d NAME")
    for name in names:
        commit = delete(session.repo, name, force=force)
        session.say(f"deleted branch {escaped(name)} (was {short(commit)})")


def _rename(session: Session, names: tuple[str, ...]) -> None:
    from mvc.ops.branch import rename

    if len(names) not in (1, 2):
        raise UsageError("a branch is renamed with -m [OLD] NEW")
    old = rename(session.repo, names[0] if len(names) == 2 else None, names[-1])
    note_ambiguous(session, names[-1])
    session.say(f"branch {escaped(old)} is now {escaped(names[-1])}")

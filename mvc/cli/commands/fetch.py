"""`mvc fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import counted
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import remotes as offered
from mvc.cli.precision import precision_option
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.complete import Completed
    from mvc.ops.fetch import FetchResult
    from mvc.ops.widen import Widened


@click.command(
    "fetch",
    epilog=examples(
        "mvc fetch",
        "mvc fetch --prune origin",
        "mvc fetch origin main devices/cam-07/main",
        "mvc fetch --full",
        "mvc fetch --path 'adapters/**/*.json'",
        exit_status="1 when a ref could not be moved here, 7 when the network failed.",
    ),
)
@click.option("-p", "--prune", is_flag=True, help="Forget branches that are gone there.")
@click.option("--all", "everywhere", is_flag=True, help="From all remotes.")
@click.option("--no-tags", is_flag=True, help="Branches only.")
@click.option("-f", "--force", is_flag=True, help="Move tags that are at another version here.")
@precision_option
@click.option("--full", is_flag=True, help="Also the lower bits and files that stayed there.")
@click.option(
    "--depth", metavar="N", type=click.IntRange(1), help="At least N versions of each branch."
)
@click.option("--unshallow", is_flag=True, help="All versions that are not here yet.")
@click.option(
    "--path",
    "paths",
    metavar="GLOB",
    multiple=True,
    help="Also these files or folders, which were left out.",
)
@json_option
@click.argument("remote", required=False, shell_complete=offered)
@click.argument("branches", metavar="[BRANCH]...", nargs=-1)
@pass_session
def command(
    session: Session,
    remote: str | None,
    branches: tuple[str, ...],
    prune: bool,
    everywhere: bool,
    no_tags: bool,
    force: bool,
    precision: int | None,
    full: bool,
    depth: int | None,
    unshallow: bool,
    paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Bring the versions of a remote.

    Its branch X is `origin/X` here; branches here stay where they are (`mvc pull` takes the
    current one along). Tags come along, too. A fetch that was cut off goes on where it was.

    With --precision 16, or after a clone with it, the lower bits of floats stay there. --full
    brings them, and those of what is fetched later. Where older versions were left out, --depth
    and --unshallow bring more of them. After a clone with --path, files of other paths stay there;
    --path brings more of them, of all versions that are here, and --full brings all.
    """
    from mvc.cli.remoting import access, fetched_rows, fetched_shape, refused_here, traffic
    from mvc.ops.fetch import FetchRequest, fetch
    from mvc.repo.remotes import remotes

    if everywhere and remote is not None:
        raise UsageError("--all means every remote", hint="name one, or give --all")
    if unshallow and depth is not None:
        raise UsageError("--unshallow means every version", hint="leave out --depth")
    depth = 0 if unshallow else depth
    names = [item.name for item in remotes(session.repo)] if everywhere else [remote]
    results = []
    for name in names:
        request = FetchRequest(
            name, branches, prune, not no_tags, force, precision, full, depth, paths
        )
        found = fetch(session.repo, request, access(session), session.progress)
        results.append(found)
        if as_json:
            continue
        for line in fetched_rows(session, found):
            session.say(line)
        if found.sent.parts:
            session.note(f"{escaped(found.remote)}: received {traffic(found.sent)}")
        elif not (found.refs or found.widened):
            session.note(f"{escaped(found.remote)}: nothing new")
        if found.widened is not None:
            _widened(session, found.widened)
        elif paths:
            session.note("nothing was left out of this copy: all files are here")
        if found.completed is not None and _is_news(found):
            _completed(session, found.completed)
    if as_json:
        shapes = [fetched_shape(found) for found in results]
        session.json(shapes if everywhere else shapes[0])
    refused_here(results)


def _is_news(found: FetchResult) -> bool:
    """Tell whether lower bits were left out, so that a word about them is due."""
    done = found.completed
    return found.widened is None or (done is not None and bool(done.chunks or done.left))


def _widened(session: Session, done: Widened) -> None:
    """Say what files are here now."""
    from mvc.cli.remoting import traffic

    came = f": received {traffic(done.sent)}" if done.sent.parts else ""
    what = ", ".join(map(escaped, done.paths)) if done.paths else "all files"
    written = f", {counted(done.written, 'file')} written" if done.written else ""
    session.say(f"{what} of all versions are here{written}{came}")


def _completed(session: Session, done: Completed) -> None:
    """Say what came of lower bits."""
    from mvc.cli.remoting import traffic

    came = f": received {traffic(done.sent)}" if done.sent.parts else ""
    if not done.left:
        session.say(f"lower bits of all versions are here{came}")
        return
    session.say(f"lower bits of {counted(done.chunks, 'chunk')} came{came}")
    session.note(
        f"those of {counted(done.left, 'pack')} are left: no version there has all of them"
    )

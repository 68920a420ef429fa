"""`mvc clone`."""

from __future__ import annotations

from pathlib import Path

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.cli.arguments import examples, json_option
from mvc.cli.precision import note_reduced, precision_option
from mvc.cli.session import Session, pass_session


@click.command(
    "clone",
    epilog=examples(
        "mvc clone ssh://models.example.org/srv/fleet",
        "mvc clone --branch v1.0 https://models.example.org/fleet model",
        "mvc clone --bare ../fleet.mvc backup.mvc",
        "mvc clone --precision 16 https://models.example.org/fleet",
        "mvc clone --path model.safetensors --path 'tokenizer*' ../fleet.mvc",
        exit_status="1 when the folder is not empty, 7 when the network failed.",
    ),
)
@click.option("--bare", is_flag=True, help="No working copy; branches keep their names.")
@click.option("-b", "--branch", metavar="NAME", help="The branch or tag to begin at.")
@precision_option
@click.option(
    "--depth", metavar="N", type=click.IntRange(1), help="The latest N versions of each branch."
)
@click.option(
    "--path",
    "paths",
    metavar="GLOB",
    multiple=True,
    help="These files or folders alone, of each version.",
)
@json_option
@click.argument("url")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@pass_session
def command(
    session: Session,
    url: str,
    folder: Path | None,
    bare: bool,
    branch: str | None,
    precision: int | None,
    depth: int | None,
    paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Copy a repository into a new folder.

    All versions come, and the files of one are written. The folder appears when all is there; a
    clone that was cut off goes on where it was when it is run again. With --precision 16 the lower
    bits of floats stay there, as do those of later fetches: what needs them asks for them then,
    and `mvc fetch --full` brings them all. With --depth N history ends at the Nth version of each
    branch and tag, until `mvc fetch --unshallow`. With --path of each version some files alone
    come, named from its top: `*` stands for any characters, `**` for any folders. `mvc fetch
    --path` brings more of them.
    """
    from mvc.cli.remoting import access, moved, traffic
    from mvc.ops.clone import CloneRequest, clone

    target = session.path(folder or _folder(url))
    request = CloneRequest(url, target, bare, branch, precision, depth, paths)
    done = clone(request, session.environment(), access(session), session.progress)
    if as_json:
        session.json(
            {
                "folder": str(done.folder),
                "bare": done.bare,
                "url": done.fetched.url,
                "branch": done.branch,
                "commit": done.commit.hex() if done.commit else None,
                "written": done.written,
                "reduced": list(done.reduced),
                "refs": len(done.fetched.listed),
                **moved(done.fetched.sent),
            }
        )
        return
    where = escaped(str(folder or target.name))
    if not done.fetched.listed:
        session.say(f"cloned an empty repository into {where}")
        return
    at = f" at {short(done.commit)}" if done.commit else ""
    name = "a detached HEAD" if done.branch is None else f"branch {escaped(done.branch)}"
    files = "" if done.bare else f", {counted(done.written, 'file')} written"
    session.say(f"cloned into {where}: {name}{at}{files}")
    if done.fetched.sent.parts:
        session.note(f"received {traffic(done.fetched.sent)}")
    note_reduced(session, done.reduced)


def _folder(url: str) -> Path:
    """Return the folder that a clone goes to where none is named: the last part of the address."""
    last = url.rstrip("/").replace(":", "/").rpartition("/")[2]
    name = last.removesuffix(".mvc")
    if name in ("", ".", ".."):
        raise UsageError("which folder is the copy to go to?", hint="mvc clone URL DIR")
    return Path(name)

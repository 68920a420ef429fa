"""`mvc sign`."""

from __future__ import annotations

from pathlib import Path

import click

from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command(
    "sign",
    epilog=examples(
        "mvc sign v1.0 --bundle model.sig",
        "mvc sign v1.0:text --bundle text.sig --key release",
    ),
)
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write, a new one.",
)
@click.option("--key", metavar="NAME", help="A p256 key of your own; by default sign.key.")
@json_option
@click.argument("revision", metavar="REV", shell_complete=revisions)
@pass_session
def command(session: Session, revision: str, bundle: Path, key: str | None, as_json: bool) -> None:
    """Sign the files of a version for programs that know no mvc.

    Writes an OpenSSF Model Signing bundle: SHA-256s of all files, each rebuilt and hashed first.
    `model_signing verify key` accepts it for what `mvc export REV` writes.
    """
    from mvc.ops.sign import sign

    target = session.path(bundle)
    done = sign(session.repo, revision, target, key=key, progress=session.progress)
    if as_json:
        session.json(
            {
                "commit": done.commit.hex(),
                "files": done.files,
                "left_out": list(done.left_out),
                "key": done.key,
            }
        )
        return
    what = f"{counted(done.files, 'file')} of {short(done.commit)}"
    session.say(f"{what} signed with {done.key} in {escaped(str(bundle))}")
    for path in done.left_out:
        session.note(f"note: {escaped(path)} is not covered: verifiers ignore files of git")

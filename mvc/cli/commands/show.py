"""`mvc show`."""

from __future__ import annotations

import click

from mvc.cli.arguments import examples, files_meant, json_option
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command(
    "show",
    epilog=examples(
        "mvc show", "mvc show main:text/encoder.safetensors", "mvc show HEAD~1: --json"
    ),
)
@json_option
@click.argument(
    "what", metavar="[REV | REV:FILE | REV:DIR]", default="HEAD", shell_complete=revisions
)
@pass_session
def command(session: Session, what: str, as_json: bool) -> None:
    """Show a version, a model file or a directory.

    A version (by default HEAD) with its metrics, params, labels and the files it changed. A
    model file with its format and its tensors. `REV:` is the top folder of a version.
    """
    from mvc.ops.show import show

    with files_meant(session, "show", (what,), instead="mvc show HEAD:{top}"):
        found = show(session.repo, what)
    if as_json:
        from mvc.cli.shapes import shown

        session.json(shown(found))
        return
    from mvc.cli.render_show import lines

    session.page(lines(session, found))

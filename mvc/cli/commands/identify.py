"""`mvc identify`."""

from __future__ import annotations

import click

from mvc.base.errors import NegativeAnswer
from mvc.base.escape import escaped
from mvc.base.wording import local_time, short
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command(
    "identify",
    epilog=examples(
        "mvc identify ../downloads/model.safetensors",
        exit_status="1 when no version holds the file.",
    ),
)
@json_option
@click.argument("file", type=click.Path())
@pass_session
def command(session: Session, file: str, as_json: bool) -> None:
    """Find the versions that hold exactly this file.

    Looks by SHA-256 in every version that a branch, a tag or a reflog leads to, whatever the
    file was called there.
    """
    from mvc.ops.identify import identify
    from mvc.ops.log import decorations

    repo = session.repo
    found = identify(repo, session.path(file))
    if not found.matches:
        raise NegativeAnswer(
            f"no version holds {file} (sha256 {found.sha256.hex()})",
            hint="`mvc add` and `mvc commit` would make one",
        )
    names = decorations(repo)
    if as_json:
        from mvc.cli.shapes import version

        matches = [
            {**version(match.version, names.get(match.version.id, ())), "paths": list(match.paths)}
            for match in found.matches
        ]
        sha256 = found.sha256.hex()
        session.json({"size": found.size, "sha256": sha256, "matches": matches})
        return
    for match in found.matches:
        commit = match.version.commit
        where = ", ".join(map(escaped, names.get(match.version.id, ())))
        words = [session.style(short(match.version.id), "yellow"), local_time(commit.time)]
        words += [f"({where})"] if where else []
        words.append(escaped(commit.message.partition("\n")[0]))
        session.write(" ".join(words))
        for path in match.paths:
            session.write(f"    {escaped(path)}")

"""`mvc tag`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import iso_time, short
from mvc.cli.arguments import as_usage, examples, json_option, note_ambiguous
from mvc.cli.complete import tags as offered
from mvc.cli.session import Session, pass_session


@click.command(
    "tag",
    epilog=examples("mvc tag v1.0", "mvc tag v1.0 HEAD~2 -m 'First release'", "mvc tag -d v1.0"),
)
@click.option("-a", "--annotate", is_flag=True, help="The tag must have a TEXT.")
@click.option("-m", "--message", multiple=True, metavar="TEXT", help="Annotate the tag.")
@click.option("-d", "--delete", is_flag=True, help="Delete tags.")
@click.option("-v", "--verbose", is_flag=True, help="With commits and annotations.")
@json_option
@click.argument("names", metavar="[NAME [REV]]", nargs=-1, shell_complete=offered)
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    annotate: bool,
    message: tuple[str, ...],
    delete: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """List, create or delete tags.

    Without NAME, lists them. A tag names REV, by default HEAD.
    """
    if delete:
        _delete(session, names)
    elif names:
        if (annotate or message) and not "".join(message).strip():
            raise UsageError("an annotated tag needs a text", hint="mvc tag NAME -m TEXT")
        _create(session, names, "\n\n".join(message) if message else None)
    elif message or annotate:
        raise UsageError("an annotated tag needs a name", hint="mvc tag NAME -m TEXT")
    else:
        _list(session, verbose=verbose, as_json=as_json)


def _list(session: Session, *, verbose: bool, as_json: bool) -> None:
    from mvc.ops.tag import tags

    found = tags(session.repo)
    if as_json:
        session.json(
            [
                {
                    "name": item.name,
                    "commit": item.commit.hex(),
                    "message": item.annotation.message if item.annotation else None,
                    "author": item.annotation.author if item.annotation else None,
                    "time": iso_time(item.annotation.time) if item.annotation else None,
                }
                for item in found
            ]
        )
        return
    for item in found:
        words = [escaped(item.name)]
        if verbose:
            words.append(short(item.commit))
            if item.annotation:
                words.append(escaped(item.annotation.message.partition("\n")[0]))
        session.write(" ".join(words))


def _create(session: Session, names: tuple[str, ...], message: str | None) -> None:
    from mvc.ops.tag import create

    if len(names) > 2:
        raise UsageError("tag takes a name and a revision, no more")
    if message is not None:
        from mvc.objects.history import Tag

        with as_usage():
            Tag(ObjectId(bytes(32)), names[0], session.repo.author(), 0, message)
    commit = create(session.repo, *names, message=message)
    note_ambiguous(session, names[0], tag=True)
    session.say(f"tag {escaped(names[0])} at {short(commit)}")


def _delete(session: Session, names: tuple[str, ...]) -> None:
    from mvc.ops.tag import delete

    if not names:
        raise UsageError("which tag is to be deleted?", hint="mvc tag -d NAME")
    for name in names:
        target = delete(session.repo, name)
        session.say(f"deleted tag {escaped(name)} (was {short(target)})")

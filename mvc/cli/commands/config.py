"""`mvc config`."""

from __future__ import annotations

import click

from mvc.base.errors import NotFoundError, UsageError
from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import settings as offered
from mvc.cli.session import Session, pass_session, user_config
from mvc.ops.config import Origin, Settings, doubt, of_repository, of_user, read, write
from mvc.repo.config import Setting, Value, parse_value


@click.command(
    "config",
    epilog=examples(
        "mvc config --global user.name 'Ada Fleet'",
        "mvc config user.email",
        "mvc config --list --show-origin",
        exit_status="1 when a setting to be read or removed is not set.",
    ),
)
@click.option(
    "--global", "everywhere", is_flag=True, help="The user's settings, not this repository's."
)
@click.option("--unset", is_flag=True, help="Remove a setting.")
@click.option("-l", "--list", "listing", is_flag=True, help="List all settings.")
@click.option("--show-origin", is_flag=True, help="Say which file a setting comes from.")
@json_option
@click.argument("words", metavar="[KEY [VALUE]]", nargs=-1, shell_complete=offered)
@pass_session
def command(
    session: Session,
    words: tuple[str, ...],
    everywhere: bool,
    unset: bool,
    listing: bool,
    show_origin: bool,
    as_json: bool,
) -> None:
    """Read and write settings.

    KEY prints a setting, KEY VALUE writes it; `get KEY`, `set KEY VALUE` and `unset KEY` do the
    same. The repository's settings win over the user's.
    """
    verbs = {("get", 2), ("set", 3), ("unset", 2), ("list", 1)}
    if words and (words[0], len(words)) in verbs:
        unset = unset or words[0] == "unset"
        words = words[1:]
    settings = _settings(session)
    origin: Origin = "user" if everywhere else "repository"
    if listing or not words:
        found = [item for item in settings.config.all() if not everywhere or item.origin == "user"]
        _print(session, found, show_origin=show_origin, as_json=as_json)
    elif len(words) == 1 and not unset:
        setting = read(settings, words[0])
        if as_json or show_origin:
            _print(session, [setting], show_origin=show_origin, as_json=as_json)
        else:
            session.write(_shown(setting.value))
    elif len(words) == (1 if unset else 2):
        write(settings, words[0], None if unset else parse_value(words[1]), origin)
        if not unset and (meant := doubt(words[0])):
            session.note(f"note: mvc does not know {escaped(words[0])}; did you mean {meant}?")
    else:
        raise UsageError("config takes KEY to read and KEY VALUE to write")


def _settings(session: Session) -> Settings:
    try:
        return of_repository(session.repo)
    except NotFoundError:
        return of_user(session.directory, user_config())


def _print(session: Session, found: list[Setting], *, show_origin: bool, as_json: bool) -> None:
    if as_json:
        session.json(
            [{"key": item.key, "value": item.value, "origin": item.origin} for item in found]
        )
        return
    for item in found:
        origin = f"{item.origin}\t" if show_origin else ""
        session.write(f"{origin}{escaped(item.key)}={_shown(item.value)}")


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else escaped(str(value))

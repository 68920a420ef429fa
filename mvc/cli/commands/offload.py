"""`mvc offload`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mvc.base.errors import NegativeAnswer, UsageError
from mvc.base.escape import escaped
from mvc.base.wording import counted
from mvc.base.wording import size as sized
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.offload import OffloadResult, Place

_SHOWN = 5


@click.command(
    "offload",
    epilog=examples(
        "mvc offload --to ../archive",
        "mvc offload --to ../archive --dry-run",
        "mvc offload --to origin",
        "mvc offload",
        "mvc offload --restore",
        exit_status="1 when nothing can be removed, 7 when the network failed.",
    ),
)
@click.option("--to", "target", metavar="DIR|REMOTE|URL", help="Who is to hold them.")
@click.option("--restore", "back", is_flag=True, help="Bring everything back.")
@click.option("-n", "--dry-run", is_flag=True, help="Compare and say what would be removed.")
@json_option
@pass_session
def command(session: Session, target: str | None, back: bool, dry_run: bool, as_json: bool) -> None:
    """Keep the lower bits of weights in another repository.

    Removes the tails of packs, which hold the lower 16 bits of float32 words, if another
    repository holds the same: every word is read from there and compared with its id first. What
    is needed of them later is read from there. Without options, tells where lower bits are.
    """
    from mvc.cli.remoting import access
    from mvc.ops.offload import bring_back, offload, place, places

    if (target is not None or dry_run) and back:
        raise UsageError("--restore brings everything back", hint="give it alone")
    if back:
        done = bring_back(session.repo, access(session), session.progress)
        if as_json:
            session.json(asdict(done))
        else:
            what = f"{counted(len(done.packs), 'pack')} ({sized(done.bytes)})"
            session.say(f"lower bits of {what} are here again")
    elif target is not None:
        moved = offload(
            session.repo,
            place(session.repo, target, session.directory),
            access(session),
            dry_run=dry_run,
            progress=session.progress,
        )
        _moved(session, moved, as_json=as_json)
    elif dry_run:
        raise UsageError("--dry-run needs --to", hint="mvc offload --to DIR --dry-run")
    else:
        _places(session, places(session.repo), as_json=as_json)


def _moved(session: Session, done: OffloadResult, *, as_json: bool) -> None:
    if as_json:
        session.json(asdict(done))
    else:
        verb = "would be" if done.dry_run else "are"
        what = f"lower bits of {counted(len(done.packs), 'pack')} {verb} in {done.source} alone"
        if done.packs:
            session.say(f"{escaped(what)}: {sized(done.freed)} {'to be ' * done.dry_run}freed")
        elif not done.kept:
            session.say("there are no lower bits to offload")
        for kept in done.kept[:_SHOWN]:
            session.note(f"pack {kept.pack[:10]} stays whole: {escaped(kept.why)}")
        if len(done.kept) > _SHOWN:
            session.note(f"and {counted(len(done.kept) - _SHOWN, 'more pack')}")
    if done.kept and not done.packs:
        raise NegativeAnswer(
            "nothing can be offloaded there",
            hint="it must have the versions first: on a branch or tag of its own",
        )


def _places(session: Session, found: tuple[Place, ...], *, as_json: bool) -> None:
    if as_json:
        session.json({"places": [asdict(place) for place in found]})
        return
    for place in found:
        state = "" if place.problem is None else f" ({place.problem})"
        what = f"lower bits of {counted(place.packs, 'pack')} are in {place.source}{state}"
        session.write(escaped(what))
    if not found:
        session.say("everything is here; `mvc offload --to DIR` removes lower bits that DIR holds")

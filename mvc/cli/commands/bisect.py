"""`mvc bisect`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import short
from mvc.cli.arguments import WithPaths, examples, json_option, paths_after_dashes
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.bisect import Step
    from mvc.repo.bisecting import Verdict

SHELL = "/bin/sh"
VARIABLE = "MVC_BISECT_REV"


@click.group(
    "bisect",
    epilog=examples(
        "mvc bisect run --good v1.0 python /srv/eval.py --least 0.9",
        "mvc bisect run --good v1.0 --bad main --shell 'evaluate . | grep -q pass'",
        "mvc bisect start HEAD v1.0",
        "mvc bisect good",
        "mvc bisect reset",
        exit_status="1 if the answer is one of several, or none.",
    ),
)
def command() -> None:
    """Find the first bad version.

    `run` lets a command decide, in a folder of its own. `start`, `good`, `bad` and `skip` let you
    decide: the working copy goes from one version to the next.
    """


@command.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--good", multiple=True, metavar="REV", help="A good version; may be repeated.")
@click.option("--bad", metavar="REV", help="A bad one; HEAD by default.")
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="PATH[:TENSOR_GLOB]",
    help="Only versions that changed this; may be repeated.",
)
@click.option("--shell", "text", metavar="TEXT", help="Let a shell run TEXT, instead of CMD.")
@click.option(
    "--keep", metavar="DIR", type=click.Path(path_type=Path), help="Test in DIR, and leave it."
)
@json_option
@click.argument("words", nargs=-1, metavar="CMD [ARG]...", type=click.UNPROCESSED)
@click.pass_context
@pass_session
def run(
    session: Session,
    ctx: click.Context,
    good: tuple[str, ...],
    bad: str | None,
    paths: tuple[str, ...],
    text: str | None,
    keep: Path | None,
    as_json: bool,
    words: tuple[str, ...],
) -> None:
    """Run CMD on versions until the first bad one is known.

    CMD runs in a new folder with the files of a version, whose id is in MVC_BISECT_REV; the working
    copy stays as it is. Exit code 0 means good, 125 cannot be tested, 1 to 124 bad; others end the
    search. What CMD prints goes to stderr. After an interruption the same command goes on.
    """
    from mvc.cli.render_bisect import Remarks
    from mvc.cli.running import run as run_here
    from mvc.ops.bisect_run import BisectRequest, bisect_run

    if bool(words) == (text is not None):
        raise UsageError("run needs a command", hint="mvc bisect run --good REV CMD [ARG]...")
    command_words = (SHELL, "-c", text) if text is not None else _program(session, words)
    request = BisectRequest(
        command_words,
        good,
        bad,
        tuple(session.inside(path) for path in paths),
        session.path(keep) if keep else None,
    )
    tested = 0

    def judge(item: bytes, folder: Path) -> int:
        nonlocal tested
        if not tested:
            _warn(session, words, folder)
        tested += 1
        return run_here(command_words, folder, {VARIABLE: item.hex()})

    try:
        found = bisect_run(session.repo, request, judge, Remarks(session), session.progress)
    except KeyboardInterrupt:
        session.note("stopped; the same command goes on, `mvc bisect reset` gives up")
        raise
    if as_json:
        from mvc.cli.render_bisect import as_json as shape

        session.json(shape(found.step))
    else:
        _answer(session, found.step)
    if keep is not None:
        session.note(f"note: the files are in {escaped(str(keep))}")
    if found.step.state != "found":
        ctx.exit(1)


@command.command("start", cls=WithPaths)
@click.option("--no-checkout", is_flag=True, help="Leave the working copy alone.")
@json_option
@click.argument("revs", nargs=-1, metavar="[BAD [GOOD]...] [-- PATH...]", shell_complete=revisions)
@click.pass_context
@pass_session
def start(
    session: Session, ctx: click.Context, revs: tuple[str, ...], no_checkout: bool, as_json: bool
) -> None:
    """Begin a search by hand.

    As soon as a bad and a good version are known, the working copy goes to the version to test:
    say what it is with `mvc bisect good`, `bad` or `skip`.
    """
    from mvc.ops.bisect import start as begin

    paths = tuple(session.inside(path) for path in paths_after_dashes(ctx) or ())
    step = begin(
        session.repo,
        revs[0] if revs else None,
        revs[1:],
        paths,
        checkout=not no_checkout,
        progress=session.progress,
    )
    _report(session, ctx, step, as_json=as_json)


def _marking(verdict: Verdict, text: str, metavar: str) -> click.Command:
    @click.command(verdict, help=text)
    @json_option
    @click.argument("revs", nargs=-1, metavar=metavar, shell_complete=revisions)
    @click.pass_context
    @pass_session
    def marking(session: Session, ctx: click.Context, revs: tuple[str, ...], as_json: bool) -> None:
        from mvc.ops.bisect import mark

        _report(session, ctx, mark(session.repo, verdict, revs, session.progress), as_json=as_json)

    return marking


command.add_command(
    _marking("good", "Say that the version tested, or each REV, is good.", "[REV]...")
)
command.add_command(_marking("bad", "Say that the version tested, or REV, is bad.", "[REV]"))
command.add_command(
    _marking(
        "skip", "Say that the version tested, or each REV, cannot be tested.", "[REV | A..B]..."
    )
)


@command.command("next")
@json_option
@click.pass_context
@pass_session
def following(session: Session, ctx: click.Context, as_json: bool) -> None:
    """Go to the version to test, again if that failed."""
    from mvc.ops.bisect import proceed

    _report(session, ctx, proceed(session.repo, session.progress), as_json=as_json)


@command.command("log")
@json_option
@pass_session
def log(session: Session, as_json: bool) -> None:
    """Show what was said of which version."""
    from mvc.cli.render_bisect import known_json, log_lines
    from mvc.ops.bisect import current

    known = current(session.repo)
    if as_json:
        session.json(known_json(known))
        return
    session.page(log_lines(session, known))


@command.command("reset")
@click.argument("rev", required=False, shell_complete=revisions)
@pass_session
def reset(session: Session, rev: str | None) -> None:
    """End the search, and go back to where it began, or to REV."""
    from mvc.ops.bisect import reset as end

    where = end(session.repo, rev, session.progress)
    session.say(f"The search is over; back at {escaped(where)}" if where else "The search is over")


def _program(session: Session, words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words with the program's path as seen from here, not from where it will run."""
    first = words[0]
    if "/" in first and session.path(first).is_file():
        return (str(session.path(first)), *words[1:])
    return words


def _warn(session: Session, words: tuple[str, ...], folder: Path) -> None:
    for word in words[1:]:
        here = not word.startswith(("/", "-")) and session.path(word).is_file()
        if here and not (folder / word).exists():
            session.note(
                f"note: {escaped(word)} is here, but not in this version, in whose folder the"
                f" command runs; {shlex.quote(str(session.path(word)))} would be found"
            )


def _report(session: Session, ctx: click.Context, step: Step, *, as_json: bool) -> None:
    from mvc.cli.render_bisect import as_json as shape
    from mvc.cli.render_bisect import progress_line

    if as_json:
        session.json(shape(step))
    elif step.state == "testing":
        session.say(progress_line(step))
        if not step.known.checkout and step.version is not None:
            name = short(step.version.id)
            session.note(f"hint: `mvc export {name} DIR` writes its files")
    elif step.state == "waiting":
        missing = [name for name in ("good", "bad") if not getattr(step.known, name)]
        session.say(
            f"Waiting for a {' and a '.join(missing)} version: `mvc bisect {missing[0]} REV`"
        )
    else:
        _answer(session, step)
        session.note("hint: `mvc bisect reset` ends the search")
    if step.state in ("several", "none"):
        ctx.exit(1)


def _answer(session: Session, step: Step) -> None:
    from mvc.cli.render_bisect import answer, hint

    for line in answer(session, step):
        session.write(line)
    if text := hint(step):
        session.note(text)

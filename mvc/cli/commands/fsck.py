"""`mvc fsck`."""

from __future__ import annotations

from dataclasses import asdict

import click

from mvc.base.errors import IntegrityError
from mvc.base.escape import escaped
from mvc.base.wording import counted
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command(
    "fsck",
    epilog=examples("mvc fsck", "mvc fsck --quick", exit_status="6 when anything is damaged."),
)
@click.option("--quick", is_flag=True, help="Not the content of tensors, only what leads there.")
@json_option
@pass_session
def command(session: Session, quick: bool, as_json: bool) -> None:
    """Verify everything that is stored.

    Reads every object and compares it with its id, walks every version, and names the versions
    that a damage affects.
    """
    from mvc.ops.fsck import fsck

    report = fsck(session.repo, quick=quick, progress=session.progress)
    if as_json:
        session.json({**asdict(report), "ok": report.ok})
    else:
        for problem in report.problems:
            session.write(f"{escaped(problem.object)}: {escaped(problem.what)}")
            for affected in problem.affects:
                session.write(f"    affects {escaped(affected)}")
        for place in report.offloaded:
            state = "checked there" if place.problem is None else f"not checked: {place.problem}"
            what = f"lower bits of {counted(place.packs, 'pack')} in {place.source}"
            session.note(escaped(f"{what}: {state}"))
        if report.ok:
            what = f"{counted(report.objects, 'object')} in {counted(report.packs, 'pack')}"
            session.write(f"{what}: no damage found")
    if not report.ok:
        found = counted(len(report.problems), "problem")
        raise IntegrityError(
            f"{found} found", hint="versions that are not named above are whole; copy them first"
        )

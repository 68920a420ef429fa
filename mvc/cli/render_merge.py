"""What merge, cherry-pick and revert did, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.cli.session import Session
from mvc.ops.merge_result import Dispute, MergedFile, MergeResult

SHOWN = 30
"""Files and conflicts that are listed; --json has all."""

_WHYS = {
    "changed": "changed on several sides",
    "deleted": "deleted on one side, changed on another",
    "reshaped": "of another dtype or shape on another side",
    "structure": "tensors were added, removed or reshaped differently",
    "literals": "the bytes beside the tensors were changed differently",
    "packed": "changed on several sides, and its dtype has no numbers to compute with",
}


def told(session: Session, done: MergeResult) -> None:
    """Tell what became of a merge, or of one commit picked."""
    for remark in done.remarks:
        session.note(f"note: {escaped(remark)}")
    for line in _headline(session, done):
        session.say(line)
    if done.status in ("same", "forward", "aborted"):
        return
    news = [item for item in done.files if item.result != "ours" or item.conflicts]
    for line in _limited([_file(session, item) for item in news], "file"):
        session.say(line)
    for line in _limited([_dispute(session, item) for item in done.conflicts], "conflict"):
        session.write(session.style(line, "red"))
    for item in done.files:
        for remark in item.remarks:
            where = escaped(session.from_here(item.path))
            session.note(f"note: {where}: {escaped(remark)}")
    if done.status == "conflicts" and not done.dry_run:
        _advise(session, done)
    elif done.status == "stopped" and not done.dry_run:
        session.note(f"`mvc {done.verb} --continue` makes the commit, --abort goes back")


def _headline(session: Session, done: MergeResult) -> Iterator[str]:
    branch = escaped(done.branch or "HEAD")
    at = session.style(short(done.commit), "yellow")
    names = _names(done)
    would = "would be" if done.dry_run else "is"
    if done.status == "same":
        yield f"{branch} has all of that already" if done.verb == "merge" else "nothing changes"
    elif done.status == "forward":
        files = "" if done.dry_run else f"; {counted(done.written, 'file')} written"
        yield f"{branch} {would} at {at}, as {names} is{files}"
    elif done.status == "aborted":
        yield f"{branch} is as it was, at {session.style(short(done.commit), 'yellow')}"
    elif done.dry_run:
        count = f": {counted(len(done.conflicts), 'conflict')}" if done.conflicts else ""
        yield f"{done.verb} would change {counted(_touched(done), 'file')}{count}"
    elif done.status == "conflicts":
        yield f"{counted(len(done.conflicts), 'conflict')}; what is not in conflict is merged"
    elif done.status == "stopped":
        yield f"{done.verb} stopped before the commit, as asked"
    else:
        subject = escaped(done.message.partition("\n")[0])
        yield f"[{branch} {at}] {subject}"


def _touched(done: MergeResult) -> int:
    """Count the files that are not simply as they were here."""
    return sum(item.result != "ours" or bool(item.conflicts) for item in done.files)


def _names(done: MergeResult) -> str:
    return ", ".join(escaped(item.name) for item in done.parents[:3])


def _file(session: Session, item: MergedFile) -> str:
    if item.result == "merged" or (item.conflicts and item.taken):
        parts = [f"{count} by {name}" for name, count in item.computed.items()]
        parts += [f"{count} from {escaped(name)}" for name, count in item.taken.items()]
        what = "tensors: " + ", ".join(parts) if parts else "tensors"
    elif item.result == "deleted":
        what = "deleted"
    elif item.result == "conflict":
        what = "in conflict, left as it is"
    else:
        what = f"from {escaped(item.result)}"
    return f"  {escaped(session.from_here(item.path))}  {what}"


def _dispute(session: Session, item: Dispute) -> str:
    where = escaped(session.from_here(item.path))
    if item.tensor is not None:
        where += f": {escaped(item.tensor)}"
    sides = ", ".join(f"{escaped(side.name)} {_relative(side.relative)}" for side in item.sides)
    return f"conflict: {where}: {_WHYS.get(item.why, item.why)}" + (f" ({sides})" if sides else "")


def _relative(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _limited(lines: Sequence[str], noun: str) -> list[str]:
    if len(lines) <= SHOWN:
        return list(lines)
    return [*lines[:SHOWN], f"  and {counted(len(lines) - SHOWN, noun)} more; --json lists them"]


def _advise(session: Session, done: MergeResult) -> None:
    verb = done.verb
    tensors = next((item for item in done.conflicts if item.tensor is not None), None)
    spec = session.from_here((tensors or done.conflicts[0]).path)
    if tensors is not None:
        spec += f":{tensors.tensor}"
    sides = "ours|theirs|average" if tensors is not None else "ours|theirs"
    session.note("the files have what merged; conflicts are as they were here. Decide them:")
    session.note(f"  mvc {verb} --continue --take {sides} '{escaped(spec)}'")
    session.note("or edit the files, then")
    session.note(f"  mvc {verb} --continue")
    session.note(f"`mvc {verb} --abort` brings everything back as it was")

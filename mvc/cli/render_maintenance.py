"""What repack and gc did: before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mvc.base.wording import counted, size

if TYPE_CHECKING:
    from mvc.cli.session import Session
    from mvc.ops.gc import GcResult
    from mvc.ops.repack import RepackResult, Summary

_NEXT = "the packs they may need stay: run this again when no command is writing"


def repacked(session: Session, done: RepackResult, *, as_json: bool) -> None:
    """Tell how a store is packed now, or would be."""
    if as_json:
        session.json(
            {
                "dry_run": done.dry_run,
                "budget": done.budget,
                "planned": done.planned,
                "coded": done.coded,
                "postponed": done.postponed,
                "before": _summary(done.before),
                "after": _summary(done.after),
            }
        )
        return
    before, after = done.before, done.after
    rows = [
        ("size", size(before.bytes), size(after.bytes)),
        ("packs", str(before.packs), str(after.packs)),
        ("deepest", str(max(before.depth, default=0)), str(max(after.depth, default=0))),
        ("worst recovery", f"{before.recovery:.2f}x", f"{after.recovery:.2f}x"),
    ]
    for depth in sorted({*before.depth, *after.depth}):
        counts = [str(side.depth.get(depth, 0)) for side in (before, after)]
        rows.append((f"chunks at depth {depth}", counts[0], counts[1]))
    _table(session, rows, expected=done.dry_run)
    chunks = f"{counted(done.coded, 'chunk')} of {done.planned}"
    if not done.planned:
        session.note("everything is as an earlier repack left it")
    elif done.dry_run:
        session.note(f"{chunks} would be coded anew; `mvc repack` does it")
    else:
        session.note(f"{chunks} coded anew")
    if done.coded:
        session.note(trade(done))
    if done.postponed:
        session.note(f"{counted(done.postponed, 'old pack')} left: {_NEXT}")


def trade(done: RepackResult) -> str:
    """Return in words what became of bytes and of recovery, and which is the price of the other."""
    before, after = done.before, done.after
    recovery = f"worst recovery {before.recovery:.2f}x -> {after.recovery:.2f}x"
    if before.recovery > done.budget >= after.recovery or after.recovery > before.recovery:
        recovery += f", within the budget of {done.budget:g}x"
    change = after.bytes / before.bytes - 1 if before.bytes else 0.0
    if change > 0:
        return f"{recovery}, for {change:.1%} more bytes"
    return f"{-change:.1%} fewer bytes; {recovery}"


def collected(session: Session, done: GcResult, *, as_json: bool) -> None:
    """Tell what garbage is gone, or would be."""
    if as_json:
        session.json(
            {
                "dry_run": done.dry_run,
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "packs_before": done.packs_before,
                "packs_after": done.packs_after,
                "dropped": done.dropped,
                "waiting": done.waiting,
                "needed": done.needed,
                "orphans": done.orphans,
                "postponed": done.postponed,
            }
        )
        return
    rows = [
        ("size", size(done.bytes_before), size(done.bytes_after)),
        ("packs", str(done.packs_before), str(done.packs_after)),
    ]
    _table(session, rows, expected=done.dry_run)
    gone = "would go" if done.dry_run else "dropped"
    session.note(f"{counted(done.dropped, 'object')} {gone} that nothing reaches")
    if done.orphans:
        session.note(f"{counted(done.orphans, 'file')} {gone} that a dead command left")
    if done.waiting:
        what = "is" if done.waiting == 1 else "are"
        session.note(
            f"{counted(done.waiting, 'object')} {what} kept for the time of grace;"
            " `mvc gc --prune now` waits for nothing"
        )
    if done.needed:
        session.note(
            f"{counted(done.needed, 'object')} stay as bases of others; `mvc repack` frees those"
        )
    if done.postponed:
        session.note(f"{counted(done.postponed, 'old pack')} left: {_NEXT}")


def _summary(side: Summary) -> Mapping[str, object]:
    return {
        "bytes": side.bytes,
        "packs": side.packs,
        "depth": {str(depth): count for depth, count in side.depth.items()},
        "recovery": round(side.recovery, 4),
    }


def _table(session: Session, rows: Sequence[tuple[str, str, str]], *, expected: bool) -> None:
    head = ("", "now", "expected") if expected else ("", "before", "after")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    for row in (head, *rows):
        name, before, after = row
        line = f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}"
        session.write(session.style(line, "dim") if row is head else line)

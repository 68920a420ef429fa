"""Where HEAD went and which files were written, in words."""

from __future__ import annotations

from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.cli.precision import note_reduced
from mvc.cli.session import Session
from mvc.ops.checkout import SwitchResult
from mvc.ops.restore import RestoreResult


def switched(session: Session, done: SwitchResult, *, as_json: bool) -> None:
    """Tell where HEAD is now."""
    if as_json:
        commit = done.commit.hex() if done.commit else None
        left = done.left.hex() if done.left else None
        session.json(
            {
                "branch": done.branch,
                "commit": commit,
                "written": done.written,
                "left": left,
                "reduced": list(done.reduced),
                "follows": done.follows,
            }
        )
        return
    files = f", {counted(done.written, 'file')} written" if done.written else ""
    at = session.style(short(done.commit), "yellow")
    if done.branch is None:
        session.say(f"HEAD is detached at {at}{files}")
        session.note("`mvc switch -c NAME` makes a branch here for new commits")
    elif done.commit is None:
        session.say(f"on branch {escaped(done.branch)}, which has no commits yet")
    else:
        session.say(f"on branch {escaped(done.branch)} at {at}{files}")
    if done.follows is not None:
        session.note(f"it is new, and follows {escaped(done.follows)}")
    note_reduced(session, done.reduced)
    if done.left is not None:
        what = counted(done.left_count, "commit")
        verb, it = ("is", "it") if done.left_count == 1 else ("are", "them")
        session.note(
            f"note: {what} {verb} on no branch: `mvc switch -c NAME {short(done.left)}` keeps {it}"
        )


def restored(session: Session, done: RestoreResult, *, as_json: bool) -> None:
    """Tell which files were brought back."""
    if as_json:
        session.json({"restored": list(done.restored), "reduced": list(done.reduced)})
        return
    for path in done.restored:
        session.say(f"restored {escaped(path)}")
    note_reduced(session, done.reduced)
    if not done.restored:
        session.say("the files are as they should be already")

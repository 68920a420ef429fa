"""A merge that stopped, as `status` tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mvc.base.escape import escaped
from mvc.base.wording import counted

if TYPE_CHECKING:
    from mvc.cli.session import Session
    from mvc.ops.status import UnderWay

SHOWN = 10


def under_way_lines(session: Session, found: UnderWay) -> Iterator[str]:
    """Yield what is under way, and what is left to decide."""
    verb = found.verb
    what = ", ".join(map(escaped, found.names[:3])) + (" and more" if found.names[3:] else "")
    rest = f", then {counted(found.todo, 'commit')} more" if found.todo else ""
    yield f"\nA {verb} of {what} is under way{rest}"
    edited = set(found.edited)
    left = [item for item in found.conflicts if item[0] not in edited]
    if not found.written:
        yield "  It was cut off while files were written"
    for path, tensor in left[:SHOWN]:
        where = escaped(session.from_here(path))
        yield f"    conflict:  {where}" + (f": {escaped(tensor)}" if tensor is not None else "")
    if len(left) > SHOWN:
        yield f"    and {counted(len(left) - SHOWN, 'conflict')} more"
    for path in found.edited:
        yield f"    edited:    {escaped(session.from_here(path))}"
    sides = "ours|theirs|average" if any(tensor for _, tensor in left) else "ours|theirs"
    take = f" --take {sides}" if left else ""
    yield f"  (`mvc {verb} --continue{take}` ends it, `mvc {verb} --abort` goes back)"


def under_way_shape(found: UnderWay | None) -> dict[str, Any] | None:
    """Return what `status --json` tells."""
    if found is None:
        return None
    return {
        "verb": found.verb,
        "names": list(found.names),
        "conflicts": [{"path": path, "tensor": tensor} for path, tensor in found.conflicts],
        "edited": list(found.edited),
        "written": found.written,
        "todo": found.todo,
    }

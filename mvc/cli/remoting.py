"""What commands that talk to remotes share: how they are reached, and how refs are told of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mvc.base.errors import NegativeAnswer
from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import counted, short
from mvc.base.wording import size as sized
from mvc.cli.session import Session
from mvc.cli.shapes import hexed
from mvc.repo.refs import short as called

if TYPE_CHECKING:
    from mvc.ops.complete import Completed
    from mvc.ops.fetch import FetchResult
    from mvc.ops.links import Access
    from mvc.ops.widen import Widened
    from mvc.sync.transfer import Sums

_SIGNS = {"new": "*", "forward": " ", "forced": "+", "deleted": "-", "refused": "!", "same": "="}
_COLOURS = {"refused": "red", "new": "green", "forced": "yellow", "deleted": "yellow"}


def access(session: Session) -> Access:
    """Return what the environment says about reaching remotes."""
    from mvc.ops.links import Access

    proxies = {
        scheme: value
        for scheme in ("http", "https", "no")
        for name in (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
        if (value := os.environ.get(name))
    }
    return Access(
        token=os.environ.get("MVC_TOKEN") or None,
        ssh=os.environ.get("MVC_SSH") or None,
        here=session.directory,
        told=lambda text: session.note(escaped(text)),
        proxies=proxies,
    )


def row(
    session: Session,
    status: str,
    old: ObjectId | None,
    new: ObjectId | None,
    names: str,
    why: str = "",
) -> str:
    """Return a line of the table of refs that moved."""
    if status in ("refused", "same", "deleted"):
        what = {"refused": "refused", "same": "up to date", "deleted": "deleted"}[status]
    elif old is None:
        what = f"new, {short(new)}"
    else:
        what = f"{short(old)}{'...' if status == 'forced' else '..'}{short(new)}"
    tail = f" ({escaped(why)})" if why else ""
    text = f"{_SIGNS[status]} {what:<23} {escaped(names)}{tail}"
    return session.style(text, _COLOURS[status]) if status in _COLOURS else text


def fetched_rows(session: Session, found: FetchResult) -> list[str]:
    """Return the table of what a fetch changed."""
    return [
        row(
            session,
            item.status,
            item.old,
            item.new,
            f"{called(item.ref)} -> {called(item.local)}"
            if item.ref != item.local
            else called(item.ref),
            item.message or ("forced" if item.status == "forced" else ""),
        )
        for item in found.refs
    ]


def fetched_shape(found: FetchResult) -> dict[str, Any]:
    """Return what `fetch --json` prints."""
    return {
        "remote": found.remote,
        "url": found.url,
        "refs": [
            {
                "ref": item.ref,
                "local": item.local,
                "old": hexed(item.old),
                "new": hexed(item.new),
                "status": item.status,
                "message": item.message or None,
            }
            for item in found.refs
        ],
        **moved(found.sent),
        **completed(found.completed),
        **widened(found.widened),
    }


def completed(done: Completed | None) -> dict[str, Any]:
    """Return what `fetch --full` brought of lower bits, as JSON has it."""
    if done is None:
        return {}
    return {"completed": {"chunks": done.chunks, "left": done.left, **moved(done.sent)}}


def widened(done: Widened | None) -> dict[str, Any]:
    """Return what files came that had been left out, as JSON has it."""
    if done is None:
        return {}
    return {"widened": {"paths": list(done.paths), "written": done.written, **moved(done.sent)}}


def moved(sums: Sums) -> dict[str, int]:
    """Return what went over the link, as JSON has it."""
    return {"parts": sums.parts, "bytes": sums.bytes}


def traffic(sums: Sums) -> str:
    """Return what went over the link, in words."""
    return f"{sized(sums.bytes)} in {counted(sums.parts, 'part')}"


def refused_here(results: list[FetchResult]) -> None:
    """Raise NegativeAnswer where a ref could not be moved here."""
    refused = [item for found in results for item in found.refs if item.status == "refused"]
    if refused:
        tags = all(item.ref.startswith("refs/tags/") for item in refused)
        way = "`mvc fetch --force` moves tags" if tags else "`mvc fetch --prune` may help"
        raise NegativeAnswer(f"{counted(len(refused), 'ref')} did not move here", hint=way)

"""How a branch stands to what it follows, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mvc.base.escape import escaped
from mvc.base.wording import counted

if TYPE_CHECKING:
    from mvc.repo.tracking import Tracking


def standing(found: Tracking) -> str:
    """Return a sentence for `status`."""
    name = escaped(found.upstream.name)
    if found.commit is None:
        return f"Follows {name}, where nothing was seen yet; `mvc push` sends this branch"
    ahead, behind = counted(found.ahead, "commit"), counted(found.behind, "commit")
    if found.ahead and found.behind:
        return f"Diverged from {name}: {ahead} here, {behind} there"
    if found.ahead:
        return f"Ahead of {name} by {ahead}; `mvc push` sends them"
    if found.behind:
        return f"Behind {name} by {behind}; `mvc pull` brings them"
    return f"Up to date with {name}"


def bracketed(found: Tracking) -> str:
    """Return a few words for `branch -v`."""
    name = escaped(found.upstream.name)
    if found.commit is None:
        return f"[{name}: nothing there]"
    parts = [
        f"{word} {count}"
        for word, count in (("ahead", found.ahead), ("behind", found.behind))
        if count
    ]
    return f"[{name}{': ' if parts else ''}{', '.join(parts)}]"


def followed(found: Tracking | None) -> dict[str, Any] | None:
    """Return what `status --json` and `branch --json` tell."""
    if found is None:
        return None
    return {
        "name": found.upstream.name,
        "remote": found.upstream.remote,
        "ref": found.upstream.ref,
        "commit": found.commit.hex() if found.commit else None,
        "ahead": found.ahead,
        "behind": found.behind,
    }

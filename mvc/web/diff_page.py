"""`mvc diff --html`: a comparison as one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mvc.base.wording import percent
from mvc.objects.history import Commit
from mvc.ops.diff import DiffResult
from mvc.web import diff_view
from mvc.web.page import render

LISTS = ("added", "removed", "renamed", "reshaped", "recast", "changed")
MOST_TEXT = 1 << 16


def diff_page(
    result: DiffResult,
    document: Mapping[str, Any],
    commits: tuple[Commit | None, Commit | None] = (None, None),
) -> str:
    """Return the page of a comparison.

    `document` is its JSON (docs/diff.md), which the page carries for programs, shortened where the
    page is. `commits` are both sides, None for one that is no commit.
    """
    sections = diff_view.sections(result)
    most = diff_view.largest(result)
    total, changed = diff_view.elements(result)
    return render(
        "diff.html",
        shortened(document),
        title=_title(result),
        sides=(
            diff_view.side(result.old, commits[0]),
            diff_view.side(result.new, commits[1]),
        ),
        headline=diff_view.headline(result),
        largest=most,
        elements=total,
        changed_share=percent(changed, total) if total else "",
        l2=result.l2,
        facts=diff_view.facts(*commits),
        sections=sections,
        files_hidden=len(result.files) - len(sections),
    )


def _title(result: DiffResult) -> str:
    return f"{result.old.name} → {result.new.name}"


def shortened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON with at most as many files and tensors as the page may show.

    Where something is left out, `omitted` beside the list says how many; of changed tensors those
    stay that changed most.
    """
    files = document["files"]
    models = sum(file["tensors"] is not None for file in files[: diff_view.MOST_FILES])
    room = max(diff_view.LEAST_ROWS, diff_view.MOST_ROWS // max(1, models))
    kept = [_shortened_file(file, room) for file in files[: diff_view.MOST_FILES]]
    omitted = len(files) - len(kept)
    return {**document, "files": kept, **({"omitted": omitted} if omitted else {})}


def _shortened_file(file: Mapping[str, Any], room: int) -> dict[str, Any]:
    tensors, text = file["tensors"], file["text"]
    if text is not None and len(text) > MOST_TEXT:
        file = {**file, "text": text[:MOST_TEXT], "omitted": {"text": len(text) - MOST_TEXT}}
    if tensors is None:
        return dict(file)
    found: dict[str, Any] = {**tensors}
    omitted = {}
    for name in LISTS:
        items = tensors.get(name, [])
        if len(items) > room:
            omitted[name] = len(items) - room
            places = sorted(range(len(items)), key=lambda at: -_relative(items[at]))[:room]
            found[name] = [items[at] for at in sorted(places)]
    return {**file, "tensors": {**found, **({"omitted": omitted} if omitted else {})}}


def _relative(item: Mapping[str, Any]) -> float:
    return item.get("relative_l2") or 0.0

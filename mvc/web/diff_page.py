"""`mvc diff --html`: a comparison as one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mvc.base.wording import percent
from mvc.objects.history import Commit
from mvc.ops.diff import DiffResult
from mvc.web import commit_view, diff_view
from mvc.web.page import render

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
            commit_view.side(result.old, commits[0]),
            commit_view.side(result.new, commits[1]),
        ),
        headline=diff_view.headline(result),
        largest=most,
        elements=total,
        changed_share=percent(changed, total) if total else "",
        l2=result.l2,
        facts=commit_view.facts(*commits),
        sections=sections,
        files_hidden=len(result.files) - len(sections),
    )


def _title(result: DiffResult) -> str:
    return f"{result.old.name} → {result.new.name}"


def shortened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON with at most as many files and tensors as the page may show.

    Where a list was cut, `omitted` beside it says by how many items; of tensors and layers those
    stay that changed most. Long texts are cut as well.
    """
    files = document["files"]
    models = sum(file["tensors"] is not None for file in files[: diff_view.MOST_FILES])
    room = max(diff_view.LEAST_ROWS, diff_view.MOST_ROWS // max(1, models))
    kept = [_cut(file, room) for file in files[: diff_view.MOST_FILES]]
    omitted = len(files) - len(kept)
    return {**document, "files": kept, **({"omitted": {"files": omitted}} if omitted else {})}


def _cut(item: Any, room: int) -> Any:
    """Return a value of the JSON whose lists and texts are no longer than there is room for."""
    if isinstance(item, Mapping):
        omitted = {
            key: excess
            for key, value in item.items()
            if (excess := _length(value) - _most(value, room)) > 0
        }
        found = {key: _cut(value, room) for key, value in item.items()}
        return {**found, "omitted": omitted} if omitted else found
    if isinstance(item, str):
        return item[:MOST_TEXT]
    if not _countable(item):
        return item
    if len(item) > room:
        places = sorted(range(len(item)), key=lambda at: -_relative(item[at]))[:room]
        item = [item[at] for at in sorted(places)]
    return [_cut(each, room) for each in item]


def _countable(value: Any) -> bool:
    """Tell whether a value is a list of things; numbers, as in a shape or a histogram, are not."""
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping | str)


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) or _countable(value) else 0


def _most(value: Any, room: int) -> int:
    return MOST_TEXT if isinstance(value, str) else room


def _relative(item: Any) -> float:
    found = item.get("relative_l2") if isinstance(item, Mapping) else None
    return found or 0.0

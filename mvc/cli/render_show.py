"""What `show` and `ls-tree` found, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import counted, local_time, percent, short, size
from mvc.cli.render_log import Lines, indented
from mvc.cli.session import Session
from mvc.objects.history import Commit
from mvc.ops.log import decorations
from mvc.ops.ls_tree import Row
from mvc.ops.show import FileChange, Shown, ShownBlob, ShownCheckpoint, ShownCommit
from mvc.repo.history import Version

_STYLES = {"added": "green", "modified": "yellow", "deleted": "red"}


def lines(session: Session, item: Shown) -> Iterator[str]:
    """Yield the lines of anything that can be shown."""
    if isinstance(item, ShownCommit):
        yield from _commit(session, item)
    elif isinstance(item, ShownCheckpoint):
        yield from _checkpoint(session, item)
    elif isinstance(item, ShownBlob):
        yield from _facts(item.path, "plain bytes", item.size, item.sha256)
    else:
        yield from rows(item.rows)


def rows(entries: Iterable[Row]) -> Iterator[str]:
    """Yield a line for each file or folder of a version."""
    for entry in entries:
        slash = "/" if entry.kind == "tree" else ""
        path = escaped(entry.path) + slash
        yield f"{entry.kind:<10} {entry.id.hex()[:12]} {size(entry.size):>9}  {path}"


def table(header: tuple[str, ...], body: Sequence[tuple[str, ...]], right: set[int]) -> list[str]:
    """Return aligned columns; those in `right` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in (header, *body)
    ]


def _commit(session: Session, item: ShownCommit) -> Iterator[str]:
    if item.tag is not None:
        yield session.style(f"tag {escaped(item.tag.name)}", "yellow")
        yield f"Author:  {escaped(item.tag.author)}"
        yield f"Date:    {local_time(item.tag.time)}"
        yield from ("", *indented(item.tag.message), "")
    names = decorations(session.repo)
    yield from Lines(session, names).of(Version(item.id, item.commit))
    yield ""
    yield from _parents(session, item.commit, names)
    for change in item.changes:
        yield session.style(f"  {change.status + ':':<10}", _STYLES[change.status]) + _sizes(change)
    if not item.changes:
        yield "  no file changed"


def _parents(
    session: Session, commit: Commit, names: dict[ObjectId, tuple[str, ...]]
) -> Iterator[str]:
    """Yield the versions that a merge combined, each with its weight."""
    weights = merge_weights(commit)
    if not weights:
        return
    width = max(6, *map(len, weights))
    yield f"  {'weight':>{width}}  version"
    for parent, weight in zip(commit.parents, weights, strict=True):
        known = ", ".join(map(escaped, names.get(parent, ())))
        told = f" ({known})" if known else ""
        at = session.style(short(parent), "yellow")
        yield f"  {escaped(weight):>{width}}  {at}{told}"
    yield ""


def merge_weights(commit: Commit) -> list[str]:
    """Return the weights that a commit says its parents were merged with, one each, or none."""
    pieces: list[str] = []
    while isinstance(
        piece := commit.params.get("merge.weights" + (f".{len(pieces) + 1}" if pieces else "")), str
    ):
        pieces.append(piece)
    found = "".join(pieces).split(",")
    return found if pieces and len(found) == len(commit.parents) else []


def _sizes(change: FileChange) -> str:
    sizes = [size(count) for count in (change.old_size, change.size) if count is not None]
    shown = sizes[0] if len(set(sizes)) == 1 else " -> ".join(sizes)
    return f"{escaped(change.path)} ({shown})"


def _facts(path: str, form: str, count: int, sha256: bytes) -> list[str]:
    return [
        f"File:    {escaped(path)}",
        f"Format:  {escaped(form)}",
        f"Size:    {count} bytes ({size(count)})",
        f"SHA-256: {sha256.hex()}",
    ]


def _checkpoint(session: Session, item: ShownCheckpoint) -> Iterator[str]:
    yield from _facts(item.path, item.format, item.size, item.sha256)
    if item.tensors:
        yield (
            f"Tensors: {len(item.tensors)}, {item.tensor_bytes} bytes "
            f"({percent(item.tensor_bytes, item.size)} of the file); "
            f"{item.literal_bytes} bytes beside them"
        )
    else:
        yield "Tensors: none"
    for note in item.notes:
        yield f"Note:    {escaped(note)}"
    if item.tensors:
        yield ""
        yield from _tensors(session, item)
    if item.views:
        yield f"\n{counted(len(item.views), 'further name')} for elements of these:"
    for view in item.views:
        yield f"  {escaped(view.name)} {_shape(view.shape)} in {escaped(view.source)}"


def _tensors(session: Session, item: ShownCheckpoint) -> Iterator[str]:
    body = [
        (escaped(row.name), escaped(row.dtype), _shape(row.shape), size(row.bytes))
        for row in item.tensors
    ]
    head, *rest = table(("name", "dtype", "shape", "size"), body, {3})
    yield session.style(head, "bold")
    yield from rest


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"

"""What a repository takes, as people read it; `stats_json` has it as programs do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvc.base.escape import escaped
from mvc.base.wording import counted, percent, short, size
from mvc.cli.render_maintenance import trade
from mvc.cli.render_show import table
from mvc.ops.stats import Stats
from mvc.ops.tensor_stats import TensorStats, TensorUse
from mvc.repo.holdings import Cause

if TYPE_CHECKING:
    from mvc.ops.repack import RepackResult

BAR = 20
LEAST_BAR = 4
LEAST_SUBJECT = 8
NAMES: dict[Cause, str] = {
    "equal": "equal",
    "delta": "delta",
    "low_rank": "low rank",
    "entropy": "entropy",
    "noise": "noise",
    "literal": "literal",
    "inline": "inline",
    "metadata": "metadata",
    "index": "index",
    "other": "other files",
    "unreached": "unreached",
}
COLOURS: dict[Cause, str] = {
    "delta": "green",
    "low_rank": "cyan",
    "entropy": "blue",
    "noise": "yellow",
    "unreached": "red",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What the lines are written on: a style function, the columns, and the characters it has."""

    style: Callable[..., str]
    width: int
    unicode: bool

    def bar(self, part: int, whole: int, length: int = BAR) -> str:
        """Return a bar for a share, to an eighth of a character; something is never nothing."""
        if not part or not whole:
            return ""
        if not self.unicode:
            return "#" * max(1, round(length * part / whole))
        full, rest = divmod(max(1, round(8 * length * part / whole)), 8)
        return "█" * full + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]

    def cut(self, text: str, limit: int) -> str:
        """Return `text`, harmless, in at most `limit` columns."""
        text = escaped(text)
        if len(text) <= limit:
            return text
        return text[: limit - 1] + "…" if self.unicode else text[: limit - 3] + "..."


def lines(
    found: Stats, ground: Ground, limit: int | None, estimate: RepackResult | None = None
) -> Iterator[str]:
    """Yield the sums, the causes, the chains of deltas, and the newest `limit` versions."""
    yield from _summary(found, ground)
    yield ""
    yield from _causes(found, ground)
    yield ""
    yield from _chains(found, ground)
    if estimate is not None:
        yield _repack(estimate)
    if found.versions[:limit]:
        yield ""
        yield from _versions(found, ground, limit)


def tensor_lines(found: TensorStats, ground: Ground) -> Iterator[str]:
    """Yield the tensors of a version, file by file."""
    raw, stored = found.raw_bytes, found.stored_bytes
    count = counted(len(found.tensors), "tensor")
    yield ground.style(
        f"{short(found.commit)}: {count}, {size(raw)}, for which it stores {size(stored)} "
        f"({percent(stored, raw)})",
        "bold",
    )
    files: dict[str, list[TensorUse]] = {}
    for item in found.tensors:
        files.setdefault(item.place.path, []).append(item)
    for path, items in files.items():
        yield ""
        yield ground.style(escaped(path), "bold")
        yield from _tensors(items, ground)


def _summary(found: Stats, ground: Ground) -> Iterator[str]:
    versions, raw, stored = len(found.versions), found.raw_bytes, found.stored_bytes
    share = f" ({percent(stored, raw)})" if raw else ""
    what = f"{counted(versions, 'version')}, {size(raw)} of files stored in {size(stored)}{share}"
    yield ground.style(what, "bold")
    if found.whole:
        packs = f"{size(found.pack_bytes)} in {counted(found.packs, 'pack')}"
        objects = counted(sum(found.objects.values()), "object")
        yield (
            f"{packs} with {objects}, {size(found.index_bytes)} index, "
            f"{size(found.other_bytes)} other files"
        )


def _causes(found: Stats, ground: Ground) -> Iterator[str]:
    rows = [
        (cause, tally)
        for cause, tally in found.by_cause.items()
        if tally.raw_bytes or tally.stored_bytes or tally.tensors
    ]
    body = [
        (
            NAMES[cause],
            str(tally.tensors or ""),
            str(tally.chunks or ""),
            size(tally.raw_bytes) if tally.raw_bytes else "",
            size(tally.stored_bytes) if tally.stored_bytes else "",
            _of_raw(cause, tally.raw_bytes, tally.stored_bytes),
        )
        for cause, tally in rows
    ]
    head = ("cause", "tensors", "chunks", "size", "stored", "of size")
    title, *texts = table(head, body, set(range(1, 6)))
    yield ground.style(title, "dim")
    length = max(LEAST_BAR, min(BAR, ground.width - len(title) - 9))
    for text, (cause, tally) in zip(texts, rows, strict=True):
        bar = ground.bar(tally.stored_bytes, found.stored_bytes, length)
        if not bar:
            yield text
            continue
        share = percent(tally.stored_bytes, found.stored_bytes)
        styled = ground.style(bar, COLOURS.get(cause, "dim"))
        yield f"{text.ljust(len(title))}  {styled}{' ' * (length - len(bar))} {share:>6}"
    if found.kept_bytes:
        yield f"{size(found.kept_bytes)} of this is kept as it is: low bits of weights are noise"
    if found.offloaded_bytes:
        yield f"{size(found.offloaded_bytes)} more are kept elsewhere"


def _of_raw(cause: Cause, raw: int, stored: int) -> str:
    return percent(stored, raw) if raw and cause not in ("inline", "unreached") else ""


def _chains(found: Stats, ground: Ground) -> Iterator[str]:
    head = "deltas in a row "
    depths = [f" {depth}: {size(tally.stored_bytes)}" for depth, tally in found.depths.items()]
    line = head
    for text in depths or [" none"]:
        if len(line) + len(text) > ground.width and line.strip():
            yield line.rstrip()
            line = " " * len(head)
        line += text + " "
    yield line.rstrip()
    worst = found.worst_version
    if worst is not None:
        share = worst.recovery_bytes / worst.raw_bytes
        name = ground.style(short(worst.version.id), "yellow")
        yield (
            f"restoring a version reads at most {share:.2f} of its size "
            f"({name}: {size(worst.recovery_bytes)})"
        )


def _repack(estimate: RepackResult) -> str:
    if estimate.advised:
        return f"`mvc repack` would give: {trade(estimate)}"
    recovery = f"worst recovery {estimate.before.recovery:.2f}x"
    return f"a repack would save nothing to speak of; {recovery}, budget {estimate.budget:g}x"


def _versions(found: Stats, ground: Ground, limit: int | None) -> Iterator[str]:
    shown = found.versions[:limit]
    most = max(item.stored_bytes for item in shown)
    body = [
        (
            short(item.version.id),
            size(item.raw_bytes),
            size(item.new_bytes),
            size(item.stored_bytes),
            percent(item.stored_bytes, item.raw_bytes) if item.raw_bytes else "",
        )
        for item in shown
    ]
    head = ("version", "size", "new", "stored", "of size")
    title, *texts = table(head, body, set(range(1, 5)))
    room = max(LEAST_SUBJECT, ground.width - len(title) - BAR // 2 - 4)
    yield ground.style(title, "dim")
    for text, item in zip(texts, shown, strict=True):
        name, rest = text[: len(short(item.version.id))], text[len(short(item.version.id)) :]
        bar = ground.bar(item.stored_bytes, most, BAR // 2)
        gap = " " * (len(title) - len(text) + 2)
        subject = ground.cut(item.version.commit.message.partition("\n")[0], room)
        styled = ground.style(bar, "blue") + " " * (BAR // 2 - len(bar))
        yield f"{ground.style(name, 'yellow')}{rest}{gap}{styled}  {subject}".rstrip()
    if len(shown) < len(found.versions):
        left = counted(len(found.versions) - len(shown), "older version")
        yield ground.style(f"{left} not shown; `mvc stats --commits` lists all", "dim")


def _tensors(items: Sequence[TensorUse], ground: Ground) -> Iterator[str]:
    shown = [item for item in items if item.cause != "equal"]
    body = [
        (
            escaped(item.dtype),
            size(item.raw_bytes),
            size(item.stored_bytes),
            percent(item.stored_bytes, item.raw_bytes) if item.raw_bytes else "",
            NAMES[item.cause],
            str(item.depth),
            _base(item),
        )
        for item in shown
    ]
    if body:
        head = ("dtype", "size", "stored", "of size", "cause", "depth", "base")
        title, *texts = table(head, body, {1, 2, 3, 5})
        width = max(map(len, (title, *texts)))
        most = max(item.stored_bytes for item in shown)
        bars = [ground.bar(item.stored_bytes, most, BAR // 2) for item in shown]
        room = width + BAR // 2 + 4 + max(len(item.place.name) for item in shown)
        length = BAR // 2 + 2 if room <= ground.width else 0
        yield ground.style(f"{title.ljust(width + 2 + length)}tensor", "dim")
        for text, bar, item in zip(texts, bars, shown, strict=True):
            coloured = ground.style(bar, COLOURS.get(item.cause, "dim"))
            drawn = coloured + " " * (length - len(bar)) if length else ""
            yield f"{text.ljust(width + 2)}{drawn}{escaped(item.place.name)}"
    if equal := [item for item in items if item.cause == "equal"]:
        count = counted(len(equal), "tensor")
        yield f"{count} of {size(sum(item.raw_bytes for item in equal))}: equal to what is there"


def _base(item: TensorUse) -> str:
    if item.base is None:
        return ""
    if item.base_place is None:
        return short(item.base)
    if item.base_place.name != item.place.name:
        return escaped(item.base_place.name)
    return "parent" if item.base_place.path == item.place.path else escaped(item.base_place.path)

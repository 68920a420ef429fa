"""Who changed what last, as people read it; `blame_json` has it as programs do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mvc.base.escape import escaped
from mvc.base.wording import counted, percent, short
from mvc.ops.blame import BlamedFile, BlameResult, Origin

WHO = 20
"""Characters of a name, at most."""
_MAIL = re.compile(r"\s*<[^>]*>\s*\Z")
Style = Callable[..., str]


@dataclass(frozen=True, slots=True)
class _Line:
    origin: Origin
    change: str
    relative: str
    label: str


def lines(found: BlameResult, style: Style, *, layers: bool = False) -> Iterator[str]:
    """Yield a line a tensor, or a layer: version, who, when, change, relative change, name."""
    blocks = [(file, list(_of(file, layers=layers))) for file in found.files]
    every = [line for _, block in blocks for line in block]
    heads = ("version", "who", "date", "change", "relative")
    rows = [_cells(line) for line in every]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    yield style(_row(heads, widths) + ("layer" if layers else "tensor"), "dim")
    shown = iter(rows)
    for file, block in blocks:
        if len(blocks) > 1:
            yield style(escaped(file.path), "bold")
        for line in block:
            first, rest = _row(next(shown), widths).split(" ", 1)
            yield style(first, "yellow") + " " + rest + line.label
    if any(line.origin.at_or_before for line in every):
        yield style("^ at this version or before it: older ones were not fetched", "dim")


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (f"{cell:<{width}}" for cell, width in zip(cells[:3], widths[:3], strict=True))
    right = (f"{cell:>{width}}" for cell, width in zip(cells[3:], widths[3:], strict=True))
    return "  ".join([*left, *right, ""])


def _cells(line: _Line) -> tuple[str, ...]:
    origin = line.origin
    name = short(origin.version.id) + ("^" if origin.at_or_before else "")
    day = time.strftime(
        "%Y-%m-%d %H:%M:%S", time.localtime(origin.version.commit.time // 1_000_000)
    )
    return name, who(origin), day, line.change, line.relative


def who(origin: Origin) -> str:
    """Return the device that made a change, or its author without an address."""
    text = origin.device or _MAIL.sub("", origin.version.commit.author)
    text = escaped(text or origin.version.commit.author)
    return text if len(text) <= WHO else text[: WHO - 3] + "..."


def _of(file: BlamedFile, *, layers: bool) -> Iterator[_Line]:
    if file.tensors is None:
        if file.whole is not None:
            yield _Line(file.whole, file.whole.made or "-", "-", "(the whole file)")
        return
    if layers:
        yield from _layers(file)
        return
    for item in file.tensors:
        label = escaped(item.name)
        if item.view_of is not None:
            label += f" = {escaped(item.view_of)}"
        yield _Line(
            item.origin,
            _change([item.origin]),
            _relative([item.origin]),
            label + _was(item.origin, file.path, item.name),
        )


def _was(origin: Origin, path: str, name: str) -> str:
    """Return what the tensor was called then, where that is not what it is called now."""
    places = []
    if origin.path != path:
        places.append(escaped(origin.path))
    if origin.name != name:
        places.append(escaped(origin.name))
    return f"  (was {':'.join(places)})" if places else ""


def _layers(file: BlamedFile) -> Iterator[_Line]:
    """Yield a line a layer: what the version that touched it last did to it."""
    from mvc.diff.layers import layer_of

    held: dict[str, list[Origin]] = {}
    for item in file.tensors or ():
        held.setdefault(layer_of(item.name), []).append(item.origin)
    for layer, origins in held.items():
        newest = max(origins, key=lambda origin: (origin.version.commit.time, origin.version.id))
        mine = [origin for origin in origins if origin.version.id == newest.version.id]
        label = escaped(layer) + f"  ({counted(len(origins), 'tensor')}"
        if len(mine) < len(origins):
            label += f", {len(mine)} by this version"
        yield _Line(newest, _change(mine), _relative(mine), label + ")")


def _change(origins: Sequence[Origin]) -> str:
    measured = [origin.weights for origin in origins if origin.weights]
    if not measured:
        return "/".join(dict.fromkeys(origin.made or "-" for origin in origins))
    elements = sum(weights.elements for weights in measured)
    return percent(sum(weights.changed for weights in measured), elements)


def _relative(origins: Sequence[Origin]) -> str:
    """Return the L2 norm of the change of some tensors relative to theirs before."""
    measured = [origin.weights for origin in origins if origin.weights]
    if not measured:
        return "-"
    if len(measured) > 1:
        from mvc.diff.layers import combined

        measured = [combined(measured)]
    relative = measured[0].relative_l2
    return "-" if relative is None else f"{relative:.3g}"

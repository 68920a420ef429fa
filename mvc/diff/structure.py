"""Which files differ, and which tensors inside a file: added, removed, reshaped, recast, changed.

What differs is decided by ids: equal subtrees are not entered. What a difference is, is found out
from words of tensors that differ, where a caller allows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from mvc.diff import growth, moved
from mvc.diff.findings import Cast, Growth, Move, Renamed
from mvc.diff.joined import Joined
from mvc.diff.naming import moves
from mvc.diff.pairing import Common, pair
from mvc.diff.quantised import Tell, nothing
from mvc.diff.sides import File, Side, StoredFile, VersionSide
from mvc.objects.model import ViewOf
from mvc.repo import trees
from mvc.repo.tensors import Held, TensorSource, differing

Status = Literal["added", "removed", "modified", "renamed"]
_DIGITS = re.compile(r"([0-9]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs. `old_path` is None for an added one, else where it was.

    A model whose tensors went to another file is `renamed` and `edited`; where it is in several
    files, the path has a `*` for their numbers.
    """

    path: str
    status: Status
    old: File | None
    new: File | None
    old_path: str | None
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Described:
    """A tensor that only one side has."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Recoded:
    """A tensor whose shape or dtype differ between the sides.

    `old_name` is None unless the name differs, too. `same_words`: the words are equal in their
    order, only the shape differs; `transposed`: they are equal after swapping both axes of a
    matrix, whose shape is the same if it is square.
    """

    name: str
    old_dtype: str
    new_dtype: str
    old_shape: tuple[int, ...]
    new_shape: tuple[int, ...]
    new_bytes: int
    old_name: str | None = None
    cast: Cast | None = None
    growth: Growth | None = None
    same_words: bool = False
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A tensor both sides have with one dtype and shape, and other words.

    `old_name` is None unless the name differs, too.
    """

    name: str
    old: Held
    new: Held
    old_name: str | None = None


@dataclass(frozen=True, slots=True)
class TensorChanges:
    """How the tensors of two files differ, each list in natural order of the names.

    `recast` have another dtype and the same shape; `reshaped` have another shape; `renamed` have
    equal words. `moves` sums up what was renamed, words equal or not.
    """

    added: tuple[Described, ...]
    removed: tuple[Described, ...]
    reshaped: tuple[Recoded, ...]
    recast: tuple[Recoded, ...]
    changed: tuple[Pair, ...]
    unchanged: int
    renamed: tuple[Renamed, ...] = ()
    moves: tuple[Move, ...] = ()


def everything(_name: str) -> bool:
    """Keep every name."""
    return True


def changed_files(
    old: Side, new: Side, keep: Callable[[str], bool] = everything, *, words: bool = True
) -> list[FileChange]:
    """Return the files that differ, among the paths that `keep` wants, in order of their paths.

    With `words`, samples of weights may be read to find a model in another file.
    """
    pairs = [item for item in _file_pairs(old, new) if keep(item[0])]
    added = {path: two for path, one, two in pairs if one is None and two is not None}
    removed = {path: one for path, one, two in pairs if two is None and one is not None}
    moves = _renames(removed, added)
    gone, come = set(moves.values()), set[str]()
    rest = [
        {path: file for path, file in side.items() if path not in taken}
        for side, taken in ((removed, gone), (added, moves))
    ]
    changes = []
    for before, left, after, right in moved.match(*rest, words=words):
        changes.append(FileChange(after, "renamed", left, right, before, edited=True))
        gone |= _parts(before, left)
        come |= _parts(after, right)
    for path, one, two in pairs:
        if one is not None and two is not None:
            changes.append(FileChange(path, "modified", one, two, path, edited=True))
        elif path in moves:
            changes.append(FileChange(path, "renamed", removed[moves[path]], two, moves[path]))
        elif two is not None:
            if path not in come:
                changes.append(FileChange(path, "added", None, two, None))
        elif path not in gone:
            changes.append(FileChange(path, "removed", one, None, path))
    return sorted(changes, key=lambda change: change.path)


def _parts(path: str, file: File) -> set[str]:
    return set(file.parts) if isinstance(file, Joined) else {path}


def _file_pairs(old: Side, new: Side) -> Iterator[tuple[str, File | None, File | None]]:
    if isinstance(old, VersionSide) and isinstance(new, VersionSide):
        for path, one, two in trees.changed(old.store, old.root, new.root, separator="/"):
            yield (
                path,
                StoredFile(old.store, one) if one else None,
                StoredFile(new.store, two) if two else None,
            )
        return
    before, after = old.files(), new.files()
    for path in sorted(before.keys() | after.keys()):
        here, there = before.get(path), after.get(path)
        if here is None or there is None or not equal(here, there):
            yield path, here, there


def equal(one: File, two: File) -> bool:
    """Tell whether two files have the same bytes, reading them only if ids and sizes allow it."""
    if one.id is not None and one.id == two.id:
        return True
    return one.size == two.size and one.sha256() == two.sha256()


def _renames(removed: dict[str, File], added: dict[str, File]) -> dict[str, str]:
    """Return new path -> old path of files that only moved; each old path is used once."""
    free: dict[int, list[str]] = {}
    for path, file in removed.items():
        free.setdefault(file.size, []).append(path)
    moves: dict[str, str] = {}
    for path, file in added.items():
        candidates = free.get(file.size, [])
        # Files of no bytes are all alike; calling that a move would say nothing.
        found = next(
            (name for name in candidates if file.size and equal(removed[name], file)), None
        )
        if found is not None:
            candidates.remove(found)
            moves[path] = found
    return moves


def compare_tensors(
    old: TensorSource,
    new: TensorSource,
    keep: Callable[[str], bool] = everything,
    *,
    words: bool = True,
    stated: tuple[Tell, Tell] = (nothing, nothing),
) -> TensorChanges:
    """Compare the tensors of two files by name, among the names that `keep` wants.

    Names that only one side has are looked for under other names on the other side. With `words`,
    those of tensors that were cast, grew or may have been renamed are read, no others. `stated`
    gives what each file says of its integers beside its tensors.
    """
    resolved = list(_resolved(old, new))
    sides = [side for side in resolved if not _same(side[1], side[2])]
    found = pair(sides, old, new, words=words, stated=stated)
    views = _view_changes(old, new, keep)
    common = [item for item in found.common if keep(item.name) or keep(item.old_name)]
    renamed = [_renamed(item) for item in common if item.same]
    pairs = [_pair(item) for item in common if _comparable(item) and not item.same]
    recoded = [_recoded(item, words=words) for item in common if not _comparable(item)]
    names = {name for name in new.names if keep(name)}
    names |= {name for name, one, two in resolved if one and two and keep(name)}
    differ = {item.name for item in common} | found.added.keys()
    added = [_described(name, held) for name, held in found.added.items() if keep(name)]
    removed = [_described(name, held) for name, held in found.removed.items() if keep(name)]
    return TensorChanges(
        _ordered([*added, *views[0]]),
        _ordered([*removed, *views[1]]),
        _ordered([item for item in recoded if not _is_cast(item)]),
        _ordered([item for item in recoded if _is_cast(item)]),
        _ordered(pairs),
        len(names - differ),
        _ordered(renamed),
        moves(
            (item.old_name, item.name, item.same)
            for item in common
            if item.old_name != item.name and _floats_stay(item)
        ),
    )


def with_transposed(found: TensorChanges, names: Collection[str]) -> TensorChanges:
    """Return the same, with changed square matrices called transposed, words equal."""
    turned = [_turned(pair) for pair in found.changed if pair.name in names]
    return replace(
        found,
        changed=tuple(pair for pair in found.changed if pair.name not in names),
        reshaped=_ordered([*found.reshaped, *turned]),
    )


def _turned(pair: Pair) -> Recoded:
    dtype, shape = pair.new.tensor.dtype, pair.new.tensor.shape
    size = pair.new.tensor.content.size
    return Recoded(pair.name, dtype, dtype, shape, shape, size, pair.old_name, transposed=True)


def _comparable(item: Common) -> bool:
    """Tell whether words of both sides lie opposite each other."""
    one, two = item.old.tensor, item.new.tensor
    return (one.dtype, one.shape) == (two.dtype, two.shape) and not item.turned


def _floats_stay(item: Common) -> bool:
    """Tell whether a tensor is still itself: quantised ones go by what they were made from."""
    return item.cast is None or item.cast.kind not in ("quantised", "dequantised")


def _is_cast(item: Recoded) -> bool:
    same_shape = item.old_shape == item.new_shape or item.cast is not None
    return item.old_dtype != item.new_dtype and same_shape


def _former(item: Common) -> str | None:
    return item.old_name if item.old_name != item.name else None


def _renamed(item: Common) -> Renamed:
    tensor = item.new.tensor
    return Renamed(item.name, item.old_name, tensor.dtype, tensor.shape, tensor.content.size)


def _pair(item: Common) -> Pair:
    return Pair(item.name, item.old, item.new, _former(item))


def _recoded(item: Common, *, words: bool) -> Recoded:
    """Say what became of a tensor that got another dtype or shape."""
    before, after = item.old.tensor, item.new.tensor
    same = before.content == after.content and before.dtype == after.dtype and not item.turned
    return Recoded(
        item.name,
        before.dtype,
        after.dtype,
        before.shape,
        after.shape,
        after.content.size,
        _former(item),
        item.cast,
        None if item.turned else growth.measure(item.old, item.new, words=words),
        same,
        item.turned,
    )


def _resolved(
    old: TensorSource, new: TensorSource
) -> Iterator[tuple[str, Held | None, Held | None]]:
    """Yield the tensors that differ; a name that is a whole view on the other side is found there.

    Of two names for one tensor, one format keeps the first and another the second.
    """
    for name, one, two in differing(old, new):
        if one is None:
            one = _viewed(old, name)
        elif two is None:
            two = _viewed(new, name)
        yield name, one, two


def _same(one: Held | None, two: Held | None) -> bool:
    return one is not None and two is not None and one.tensor == two.tensor


def _viewed(source: TensorSource, name: str) -> Held | None:
    view = source.views.get(name)
    if view is None:
        return None
    held = source.get(view.source)
    return held if _is_whole(view, held.tensor.shape) else None


def _is_whole(view: ViewOf, shape: tuple[int, ...]) -> bool:
    strides: list[int] = []
    step = 1
    for dim in reversed(shape):
        strides.insert(0, step)
        step *= dim
    return view.shape == shape and view.offset == 0 and view.strides == tuple(strides)


def _view_changes(
    old: TensorSource, new: TensorSource, keep: Callable[[str], bool]
) -> tuple[list[Described], list[Described]]:
    """Return the views of each side whose names the other side does not have at all."""
    found: list[list[Described]] = []
    for source, other in ((new, old), (old, new)):
        names = {*other.names, *other.views} if source.views else set()
        found.append(
            [
                Described(name, source.get(view.source).tensor.dtype, view.shape, 0)
                for name, view in source.views.items()
                if name not in names and keep(name)
            ]
        )
    return found[0], found[1]


def _described(name: str, held: Held) -> Described:
    return Described(name, held.tensor.dtype, held.tensor.shape, held.tensor.content.size)


Item = TypeVar("Item", Described, Recoded, Pair, Renamed)


def _ordered(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: natural_key(item.name)))


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which layer 2 comes before layer 10."""
    key = []
    for place, part in enumerate(_DIGITS.split(name)):
        number = part.lstrip("0") if place % 2 else part
        key.append((len(number) if place % 2 else 0, number))
    return key

"""Which model files that seem removed and added are one model in another file.

Equal weights decide; else the name without its ending, and equal names and shapes of tensors;
else a sample of the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.diff.joined import Joined, shards, stem
from mvc.diff.renames import LIKE, Sampler, correlation
from mvc.diff.sides import File
from mvc.diff.values import count, scalar
from mvc.repo.tensors import TensorSource

ENOUGH = 0.5
"""Share of the tensors of the larger file that must be alike."""

MOST = 0.9
"""The same without any likeness of file names."""

PROBES = 3


MAX_PAIRS = 1 << 14
"""Files that are compared with each other; among more only those of one name are."""


@dataclass(frozen=True, slots=True)
class _Model:
    path: str
    file: File
    tensors: TensorSource
    names: frozenset[str]
    ids: frozenset[ObjectId]


def match(
    removed: Mapping[str, File], added: Mapping[str, File], *, words: bool
) -> list[tuple[str, File, str, File]]:
    """Return (old path, old file, new path, new file) of models that went from file to file.

    The path of several shards has a `*` for their numbers. Each file is used once.
    """
    if not removed or not added:
        return []
    olds, news = _models(removed), _models(added)
    few = len(olds) * len(news) <= MAX_PAIRS
    found = []
    for new in news:
        sizes = [
            (_likeness(old, new, words=words), place)
            for place, old in enumerate(olds)
            if few or stem(old.path) == stem(new.path)
        ]
        size, place = max(sizes, key=lambda item: (item[0], -item[1]), default=(0.0, 0))
        if size > 0:
            old = olds.pop(place)
            found.append((old.path, old.file, new.path, new.file))
    return found


def _models(side: Mapping[str, File]) -> list[_Model]:
    """Return the files with tensors; shards of one model are one."""
    sets = shards(side)
    grouped = {path for names in sets.values() for path in names}
    files: dict[str, File] = {
        whole: Joined({path: side[path] for path in names}) for whole, names in sets.items()
    }
    files |= {path: file for path, file in side.items() if path not in grouped}
    found = []
    for path, file in files.items():
        held = file.tensors()
        if held is not None and held.names:
            names, ids = frozenset(held.names), frozenset(held.ids().values())
            found.append(_Model(path, file, held, names, ids))
    return found


def _likeness(old: _Model, new: _Model, *, words: bool) -> float:
    """Return how sure it is that two files hold one model: 0 if not at all, equal weights most."""
    larger = max(len(old.names), len(new.names))
    names = len(old.names & new.names) / larger
    equal = len(old.ids & new.ids) / max(len(old.ids), len(new.ids))
    alike = stem(old.path) == stem(new.path)
    if equal >= ENOUGH:
        return 2 + equal + alike
    if names >= ENOUGH and alike:
        return 1 + names
    if names >= MOST and words and _probed(old.tensors, new.tensors):
        return names
    return 0.0


def _probed(before: TensorSource, after: TensorSource) -> bool:
    """Compare a sample of the largest tensors that both have by name and shape."""
    sampler = Sampler()
    names = set(after.names)
    both = [(before.get(name), after.get(name)) for name in before.names if name in names]
    same = [
        (one, two)
        for one, two in both
        if one.tensor.shape == two.tensor.shape
        and scalar(one.tensor.dtype) is not None
        and scalar(two.tensor.dtype) is not None
    ]
    same.sort(key=lambda pair: -count(pair[0].tensor.shape))
    found = [correlation(sampler.corner(one), sampler.corner(two)) for one, two in same[:PROBES]]
    return bool(found) and all(value is not None and value >= LIKE for value in found)

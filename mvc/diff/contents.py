"""What differs inside a file: tensors and operators of models, fields and lines of the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from mvc.base.progress import Progress
from mvc.diff import fields, headers, metadata, tokens
from mvc.diff.elements import ElementChange, elements
from mvc.diff.findings import FieldChange, GraphDiff, TokenDiff
from mvc.diff.joined import Joined
from mvc.diff.results import ChangedTensor, DiffRequest, FileDiff, FileEnd, TensorDiff
from mvc.diff.sides import BLOB, File
from mvc.diff.structure import FileChange, Pair, compare_tensors, with_transposed
from mvc.diff.summary import about_fields, about_graph, about_tokens, about_weights, sentences
from mvc.diff.text import MAX_TEXT, as_text, unified
from mvc.diff.transposed import is_transposed
from mvc.diff.weights import Weights, measure
from mvc.repo.selection import Selection

SAME_NORM = 1e-9
"""How far norms may be apart that are sums of the same squares in another order."""


def compare(
    change: FileChange, request: DiffRequest, chosen: Selection, progress: Progress
) -> FileDiff:
    """Say what differs in a file, and release it."""
    try:
        ends = (
            _end(change.old_path, change.old, request),
            _end(change.path, change.new, request),
        )
        parts = _parts(change.old, request), _parts(change.new, request)
        plain = FileDiff(change.path, change.status, *ends, old_parts=parts[0], new_parts=parts[1])
        old, new = change.old, change.new
        if not change.edited or old is None or new is None:
            return plain
        if request.names_only and not request.tensors:
            return plain
        keep = _both(chosen.tensor(change.path), request.tensors)
        tensors = _tensors(old, new, request, keep, progress)
        if tensors is None:
            return _blob(plain, old, new)
        if request.tensors or chosen.names_tensors(change.path):
            return _weights(plain, tensors)
        return _model(_weights(plain, tensors), (old, new), tensors)
    finally:
        for file in (change.old, change.new):
            if file is not None:
                file.close()


def _end(path: str | None, file: File | None, request: DiffRequest) -> FileEnd | None:
    if file is None or path is None:
        return None
    return FileEnd(path, file.id, file.size, "" if request.names_only else file.format)


def _parts(file: File | None, request: DiffRequest) -> tuple[FileEnd, ...]:
    if not isinstance(file, Joined):
        return ()
    ends = (_end(path, part, request) for path, part in file.parts.items())
    return tuple(end for end in ends if end)


def _both(keep: Callable[[str], bool], globs: tuple[str, ...]) -> Callable[[str], bool]:
    if not globs:
        return keep
    return lambda name: keep(name) and any(fnmatchcase(name, glob) for glob in globs)


def _tensors(
    old: File, new: File, request: DiffRequest, keep: Callable[[str], bool], progress: Progress
) -> TensorDiff | None:
    before, after = old.tensors(), new.tensors()
    if before is None or after is None:
        return None
    stated = headers.stated(old.format, old.skeleton), headers.stated(new.format, new.skeleton)
    found = compare_tensors(before, after, keep, words=request.weights, stated=stated)
    changed = tuple(_changed(found.changed, request, progress))
    turned = {
        item.name
        for item, pair in zip(changed, found.changed, strict=True)
        if _same_norm(item.weights) and is_transposed(pair.old, pair.new)
    }
    if turned:
        found = with_transposed(found, turned)
        changed = tuple(item for item in changed if item.name not in turned)
    return TensorDiff(
        found.added,
        found.removed,
        found.reshaped,
        found.recast,
        changed,
        found.unchanged,
        found.renamed,
        found.moves,
        sentences(found),
    )


def _same_norm(weights: Weights | None) -> bool:
    """Tell whether both sides may have the same values, in another order."""
    if weights is None or weights.norm is None or weights.new_norm is None:
        return False
    return math.isclose(weights.norm, weights.new_norm, rel_tol=SAME_NORM)


def _changed(
    pairs: Sequence[Pair], request: DiffRequest, progress: Progress
) -> Iterator[ChangedTensor]:
    weights: Iterable[Weights | None] = [None] * len(pairs)
    listed: Iterable[tuple[ElementChange, ...] | None] = [None] * len(pairs)
    if request.weights:
        weights = list(measure(pairs, progress, rank=request.rank))
    if request.elements:
        listed = elements(pairs, request.elements, first=request.first, progress=progress)
    for pair, measured, items in zip(pairs, weights, listed, strict=True):
        kind = pair.new.tensor
        about = pair.name, kind.dtype, kind.shape, kind.content.size
        yield ChangedTensor(*about, measured, pair.old_name, items)


def _weights(plain: FileDiff, tensors: TensorDiff) -> FileDiff:
    """Add what differs in the tensors of a model file."""
    weights = about_weights(item.weights for item in tensors.changed)
    return replace(plain, tensors=tensors, summary=(*tensors.summary, *weights))


def _model(plain: FileDiff, files: tuple[File, File], tensors: TensorDiff) -> FileDiff:
    """Add what differs beside the tensors of a model file."""
    names = files[0].format, files[1].format
    header: tuple[FieldChange, ...] = ()
    graph: GraphDiff | None = None
    if names[0] == names[1] and headers.known(names[0]):
        bones = files[0].skeleton(), files[1].skeleton()
        if bones[0] is not None and bones[1] is not None:
            header = metadata.compare(names[0], (bones[0], bones[1]))
            graph = headers.compare_graphs(names[0], (bones[0], bones[1]), _new_names(tensors))
    summary = (*plain.summary, *about_graph(graph), *about_fields(header))
    return replace(plain, header=header, graph=graph, summary=summary)


def _new_names(tensors: TensorDiff) -> dict[str, str]:
    """Return the new names of tensors by their old ones, where these differ."""
    lists = (tensors.renamed, tensors.changed, tensors.recast, tensors.reshaped)
    return {item.old_name: item.name for listed in lists for item in listed if item.old_name}


def _blob(plain: FileDiff, old: File, new: File) -> FileDiff:
    """Compare two files without tensors by fields, tokens and lines."""
    if (old.format, new.format) != (BLOB, BLOB) or max(old.size, new.size) > fields.MAX_CONFIG:
        return plain
    small = max(old.size, new.size) <= MAX_TEXT
    paths = plain.old.path if plain.old else plain.path, plain.path
    if not small and not all(map(fields.known, paths)):
        return plain
    before, after = old.read(), new.read()
    changed, vocabulary = _fields(paths, before, after)
    text = _text(before, after) if small else None
    summary = (*about_tokens(vocabulary), *about_fields(changed or ()))
    return replace(plain, text=text, fields=changed, tokens=vocabulary, summary=summary)


def _fields(
    paths: tuple[str, str], before: bytes, after: bytes
) -> tuple[tuple[FieldChange, ...] | None, TokenDiff | None]:
    one, two = fields.parse(paths[0], before), fields.parse(paths[1], after)
    if one is None or two is None:
        return None, None
    left, right = tokens.split(one), tokens.split(two)
    if left is None or right is None:
        return fields.changes(one, two), None
    found = tokens.compare(left[0], right[0], (left[1], right[1]))
    return fields.changes(left[2], right[2]), found if tokens.differs(found) else None


def _text(before: bytes, after: bytes) -> str | None:
    one, two = as_text(before), as_text(after)
    return unified(one, two) if one is not None and two is not None else None

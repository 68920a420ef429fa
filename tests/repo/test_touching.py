"""Which versions changed a file or a tensor, against the definition."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.repo.history import topological
from mvc.repo.selection import Selection
from mvc.repo.touching import Touching
from tests.repo.histories import PATHS, History, Model, histories

GLOBS = ("a.*", "*.w", "*", "c", "d/*", "a.[wb]", "nothing")


def passing(history: History, *specs: str, follow: bool = False) -> list[int]:
    last = history.ids[-1]
    touching = Touching(history, specs, [last], follow=follow)  # type: ignore[arg-type]
    versions = topological(history, [last])  # type: ignore[arg-type]
    return [history.ids.index(item.id) for item in versions if touching.look(item)]


def reached(history: History, number: int) -> set[int]:
    return {number}.union(*(reached(history, parent) for parent in history.edges[number]))


def parts(history: History, number: int, path: str, glob: str | None) -> dict[str, object]:
    """Return what a version has of what is meant, each part under a name."""
    model = history.files[number].get(path)
    if model is None:
        return {}
    if glob is None:
        return {"": (dict(model.tensors), dict(model.views))}
    return {name: model.key(name) for name in model.names if fnmatchcase(name, glob)}


@given(histories(), st.sampled_from(PATHS), st.sampled_from([None, *GLOBS]))
def test_a_version_passes_if_it_has_a_part_like_none_of_its_parents(
    history: History, path: str, glob: str | None
) -> None:
    expected = set()
    for number in reached(history, len(history.files) - 1):
        mine = parts(history, number, path, glob)
        theirs = [parts(history, parent, path, glob) for parent in history.edges[number]] or [{}]
        names = set(mine).union(*theirs)
        if any(all(mine.get(name) != held.get(name) for held in theirs) for name in names):
            expected.add(number)
    spec = path if glob is None else f"{path}:{glob}"
    assert set(passing(history, spec)) == expected


@given(histories())
def test_following_a_tensor_meets_the_version_that_changed_it_last(history: History) -> None:
    last = len(history.files) - 1
    for path, model in history.files[last].items():
        for name in model.tensors:
            origin = history.origin(last, path, name)[0]
            assert origin in passing(history, f"{path}:{name}", follow=True)


def chain(*files: dict[str, Model]) -> History:
    count = len(files)
    return History(list(files), [[n - 1] if n else [] for n in range(count)], list(range(count)))


def test_a_file_is_followed_only_if_asked() -> None:
    one, two = Model({"a.w": 1, "b.w": 2, "c": 3}), Model({"a.w": 4, "b.w": 2, "c": 3})
    history = chain({"m.pt": one}, {"m.pt": two}, {"m.st": two}, {"m.st": one})
    assert passing(history, "m.st:a.*") == [3, 2]
    assert passing(history, "m.st:a.*", follow=True) == [3, 1, 0]
    assert passing(history, "m.st:c", follow=True) == [0]
    assert passing(history, "m.st", follow=True) == [3, 2, 1, 0]


def test_a_renamed_tensor_is_followed_within_its_file() -> None:
    files = [{"old.w": 1, "x": 1}, {"old.w": 2, "x": 1}, {"new.w": 2, "x": 1}, {"new.w": 3, "x": 1}]
    history = chain(*({"m": Model(tensors)} for tensors in files))
    assert passing(history, "m:new.*", follow=True) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("spec", "path", "name", "chosen"),
    [
        ("a:b.st:w", "a:b.st", "w", True),
        ("a:b.st:w", "a", "b.st:w", True),
        ("m.st:x:y", "m.st", "x:y", True),
        ("m.st:w[0]", "m.st", "w[0]", True),
        ("m.st:w[0]", "m.st", "w0", True),
        ("d:*", "d/m.st", "w", True),
        ("*.st:w", "d/m.st", "w", True),
        ("m.st:w", "m.st", "w2", False),
    ],
)
def test_names_may_hold_colons_and_brackets(spec: str, path: str, name: str, chosen: bool) -> None:
    selection = Selection([spec])
    assert (selection.path(path) and selection.tensor(path)(name)) == chosen
    if chosen:
        folder, slash, _ = path.rpartition("/")
        assert not slash or selection.may_lead(folder + "/")
        assert selection.may_begin(path)(name[:1])

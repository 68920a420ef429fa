"""Who changed a tensor last, against the definition."""

from __future__ import annotations

from hypothesis import given

from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.parts import FileAt, Names
from mvc.repo.provenance import last_changes
from tests.repo.histories import History, Model, Shelf, entry_of, histories


def answers(history: History, number: int, path: str) -> dict[str, tuple[int, str, str]]:
    model = history.files[number][path]
    held = trees.files(history.store, history.commit(history.ids[number]).tree)  # type: ignore[arg-type]
    names = model.names
    rows = {name: [place] for place, name in enumerate(names)}
    wanted = [(FileAt(path, held[path]), Names(rows, model.views))]
    found: dict[int, tuple[int, str, str]] = {}
    for item in last_changes(history, history.ids[number], wanted):  # type: ignore[arg-type]
        version = history.ids.index(item.version.id)
        for name, numbers in item.names.rows.items():
            for row in numbers:
                assert row not in found
                found[row] = version, item.file.path, name
    return {names[row]: origin for row, origin in found.items()}


@given(histories())
def test_each_tensor_has_the_origin_that_the_definition_gives_it(history: History) -> None:
    last = len(history.files) - 1
    for path, model in history.files[last].items():
        expected = {name: history.origin(last, path, name) for name in model.names}
        assert answers(history, last, path) == expected


def chain(*files: dict[str, Model]) -> History:
    count = len(files)
    return History(list(files), [[n - 1] if n else [] for n in range(count)], list(range(count)))


def test_a_merge_owns_only_what_differs_from_all_its_parents() -> None:
    base, one = Model({"a": 1, "b": 1, "c": 1}), Model({"a": 2, "b": 1, "c": 2})
    two, merged = Model({"a": 1, "b": 3, "c": 3}), Model({"a": 2, "b": 3, "c": 4})
    files = [{"m": item} for item in (base, one, two, merged)]
    history = History(files, [[], [0], [0], [1, 2]], [0, 1, 2, 3])
    assert answers(history, 3, "m") == {"a": (1, "m", "a"), "b": (2, "m", "b"), "c": (3, "m", "c")}


def test_a_file_is_followed_into_the_format_that_it_had_before() -> None:
    old = Model({"a.w": 1, "b.w": 2, "c": 3})
    tuned = Model({"a.w": 1, "b.w": 5, "c": 3}, {"tied": ("c", True)})
    other = Model({"a.w": 1, "b.w": 6, "tied": 3}, {"c": ("tied", True)})
    history = chain({"m.pt": old}, {"m.pt": tuned}, {"m.st": other})
    assert answers(history, 2, "m.st") == {
        "a.w": (0, "m.pt", "a.w"),
        "b.w": (2, "m.st", "b.w"),
        "tied": (1, "m.pt", "tied"),
        "c": (0, "m.pt", "c"),
    }


def test_equal_subtrees_are_not_read() -> None:
    shared = {f"deep.{n}.w": n for n in range(9)}
    history = chain({"m": Model({**shared, "head.w": 1})}, {"m": Model({**shared, "head.w": 2})})
    inner = trees.read_tree(history.store, _tensors(history, 1)).get("deep.")  # type: ignore[arg-type]
    assert inner is not None
    path, names = "m", Names({"head.w": [0], **{name: [1] for name in shared}})
    entry = trees.files(history.store, history.commit(history.ids[1]).tree)[path]  # type: ignore[arg-type]
    del history.store.held[inner.id]
    found = list(last_changes(history, history.ids[1], [(FileAt(path, entry), names)]))  # type: ignore[arg-type]
    assert [sorted(item.names) for item in found] == [["head.w"], sorted(shared)]


def _tensors(history: History, number: int) -> bytes:
    from mvc.objects.model import Checkpoint

    entry = trees.files(history.store, history.commit(history.ids[number]).tree)["m"]  # type: ignore[arg-type]
    return Checkpoint.decode(history.store.held[entry.id]).tensors


def test_a_file_without_tensors_is_one_part() -> None:
    shelf = Shelf()
    assert isinstance(entry_of(shelf, Model({})), Entry)
    history = chain({"t": Model({})}, {"t": Model({}), "m": Model({"a": 1})})
    entry = trees.files(history.store, history.commit(history.ids[1]).tree)["t"]  # type: ignore[arg-type]
    wanted = [(FileAt("t", entry), Names({"": [0]}))]
    (found,) = last_changes(history, history.ids[1], wanted)  # type: ignore[arg-type]
    assert found.version.id == history.ids[0]
    assert found.first
    assert not found.at_or_before

"""Names of refs that cannot stand beside each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.repo.refs import FEW, Change, Refs
from mvc.storage.base import Listed
from mvc.storage.local import LocalStorage
from mvc.storage.memory import MemoryStorage

HERE = ObjectId(b"1" * 32)
LINE = Change(None, HERE, "ann", 1, "test")

parts = st.sampled_from(["a", "A", "b", "é", "e\u0301", "É", "long-name", "Long-Name", "ß", "SS"])
names = st.lists(parts, min_size=1, max_size=3).map(lambda found: "refs/heads/" + "/".join(found))


def set_ref(refs: Refs, name: str) -> bool:
    try:
        refs.update(name, None, HERE, LINE)
    except NegativeAnswer:
        return False
    return True


@given(st.lists(names, max_size=FEW * 2, unique=True))
def test_one_by_one_the_same_names_are_refused_as_when_all_are_known(wanted: list[str]) -> None:
    single, together = Refs(MemoryStorage(), None), Refs(MemoryStorage(), None)
    # So many new ones that the names are listed.
    others = [f"refs/tags/{number}" for number in range(FEW + 1)]
    set_ = [name for name in wanted if set_ref(single, name)]
    refused = together.update_many((name, None, HERE, LINE) for name in [*wanted, *others])
    assert set_ == [name for name in wanted if name not in refused]
    few = Refs(MemoryStorage(), None)
    refused = few.update_many((name, None, HERE, LINE) for name in wanted[:FEW])
    assert [name for name in set_ if name in wanted[:FEW]] == [
        name for name in wanted[:FEW] if name not in refused
    ]


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("a", "a/b"),
        ("a/b", "a"),
        ("a/b/c", "a"),
        ("a", "A"),
        ("A/b", "a"),
        ("a", "A/b"),
        ("x/Main", "X/main"),
        ("é", "e\u0301"),
    ],
)
def test_a_name_is_refused_beside_one_that_some_systems_take_for_it(
    there: str, wanted: str
) -> None:
    refs = Refs(MemoryStorage(), None)
    assert set_ref(refs, f"refs/heads/{there}")
    with pytest.raises(NegativeAnswer, match="cannot exist beside"):
        refs.update(f"refs/heads/{wanted}", None, HERE, LINE)


@pytest.mark.parametrize(("there", "wanted"), [("a/b", "A/c"), ("a/b", "a-b"), ("a/b", "a/bc")])
def test_a_name_is_free_beside_others(there: str, wanted: str) -> None:
    refs = Refs(MemoryStorage(), None)
    assert set_ref(refs, f"refs/heads/{there}")
    assert set_ref(refs, f"refs/heads/{wanted}")


def test_a_ref_moves_and_comes_without_any_other_being_listed() -> None:
    class Watched(MemoryStorage):
        def list(self, prefix: str) -> list[Listed]:
            raise AssertionError(f"listed {prefix}")

        def names(self, folder: str) -> tuple[str, ...]:
            found = [key for key in self._values if key.startswith(f"{folder}/")]
            looked.append(folder)
            return tuple({f"{key[len(folder) + 1 :].split('/')[0]}/" for key in found})

    looked: list[str] = []
    refs = Refs(Watched(), None)
    assert set_ref(refs, "refs/heads/devices/cam-1/main")
    assert set_ref(refs, "refs/heads/devices/cam-2/main")
    assert "refs/heads/devices/cam-1" not in looked
    looked.clear()
    refs.update("refs/heads/devices/cam-2/main", HERE, ObjectId(b"2" * 32), LINE)
    assert looked == []


MANY = [f"refs/heads/n{number}" for number in range(20)]
OTHER = ObjectId(b"2" * 32)


def logged(old: ObjectId | None, new: ObjectId | None, time: int) -> Change:
    return Change(old, new, "ann", time, f"at {time}")


def test_what_is_logged_of_many_is_the_log_of_each(tmp_path: Path) -> None:
    refs = Refs(LocalStorage(tmp_path), tmp_path / "logs")
    first, second, third = logged(None, HERE, 1), logged(HERE, OTHER, 2), logged(OTHER, HERE, 3)
    odd = 'refs/heads/a"\\b'
    assert refs.update_many((name, None, HERE, first) for name in [*MANY, odd]) == {}
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["many"]
    refs.update(MANY[0], HERE, OTHER, second)
    assert refs.update_many((name, OTHER, HERE, third) for name in MANY).keys() == set(MANY[1:])
    assert refs.history(MANY[0]) == [third, second, first]
    assert refs.history(MANY[1]) == [first]
    assert refs.history(odd) == [first]
    assert set(refs.logged()) == {HERE, OTHER}
    assert refs.logged(since=4) == []
    refs.rename(MANY[0], "refs/heads/renamed", logged(HERE, HERE, 4))
    assert [change.time for change in refs.history("refs/heads/renamed")] == [4, 3, 2, 1]
    assert refs.history(MANY[0]) == []
    refs.update(MANY[1], HERE, None, second)
    refs.update(MANY[1], None, OTHER, logged(None, OTHER, 5))
    assert [change.time for change in refs.history(MANY[1])] == [5]


def test_a_log_of_many_that_was_torn_loses_a_line(tmp_path: Path) -> None:
    refs = Refs(LocalStorage(tmp_path), tmp_path / "logs")
    refs.update_many((name, None, HERE, LINE) for name in MANY)
    path = tmp_path / "logs" / "many"
    path.write_bytes(path.read_bytes()[:-20])
    refs.update_many((name, HERE, OTHER, logged(HERE, OTHER, 2)) for name in MANY)
    assert len(refs.history(MANY[0])) == 2
    assert len(refs.history(MANY[-1])) == 1


def test_many_that_are_deleted_leave_no_log(tmp_path: Path) -> None:
    refs = Refs(LocalStorage(tmp_path), tmp_path / "logs")
    refs.update_many((name, None, HERE, LINE) for name in MANY)
    refs.update(MANY[3], HERE, OTHER, LINE)
    gone = [(name, HERE, None, LINE) for name in MANY if name != MANY[3]]
    assert refs.update_many([*gone, (MANY[3], OTHER, None, LINE)]) == {}
    assert refs.all() == {}
    assert [refs.history(name) for name in MANY] == [[]] * 20
    assert refs.logged() == []

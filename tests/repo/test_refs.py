"""Names of refs that cannot stand beside each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.repo.refs import FEW, Change, Refs
from mvc.storage.base import Listed
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

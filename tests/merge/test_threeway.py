"""What becomes of files and tensors, decided by ids, against the rules written out plainly."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.ids import ObjectId
from mvc.merge.strategies import Strategy, strategy
from mvc.merge.threeway import BASE, FilePlan, Mode, Rules, plan, settled
from mvc.merge.threeway import TensorPlan as Tensor
from tests.diff.versions import Arrays, Project

Files = Mapping[str, bytes | Arrays | None]
MODEL = "m.safetensors"


class Line:
    """A base and several sides made from it, as trees."""

    def __init__(self, path: Path, base: Files, *sides: Files) -> None:
        self.project = Project(path)
        self.repo = self.project.repo
        self.base = self._version(base)
        self.sides = []
        for side in sides:
            for name in base.keys() - side.keys():
                (path / name).unlink(missing_ok=True)
            self.sides.append(self._version({**base, **side}))

    def _version(self, files: Files) -> ObjectId:
        for name in [path.name for path in self.project.path.iterdir() if path.is_file()]:
            (self.project.path / name).unlink()
        present = {
            name.replace(".", "__"): data for name, data in files.items() if data is not None
        }
        commit = self.project.commit(**present)
        return self.repo.commit(commit).tree

    def plan(
        self,
        *chosen: Strategy,
        mode: Mode = "three-way",
        counted: tuple[int, ...] | None = None,
        literals: Iterable[Strategy] = (),
        base: bool = True,
    ) -> dict[str, FilePlan]:
        rules = Rules(
            mode,
            counted or tuple(range(len(self.sides))),
            lambda path, name: chosen,
            lambda path: tuple(literals),
            lambda dtype: dtype != "bool",
        )
        start = self.base if base else None
        return {item.path: item for item in plan(self.repo.store, start, self.sides, rules)}


def w(*values: float, shape: tuple[int, ...] | None = None) -> np.ndarray:
    array = np.asarray(values, np.float32)
    return array.reshape(shape) if shape else array


def model(**tensors: np.ndarray) -> Files:
    return {MODEL: {name.replace("__", "."): value for name, value in tensors.items()}}


def tensors(found: FilePlan) -> dict[str, Tensor]:
    return {item.name: item for item in found.tensors}


def whys(plans: Mapping[str, FilePlan]) -> list[tuple[str, str | None, str]]:
    return [(c.path, c.tensor, c.why) for item in plans.values() for c in item.conflicts]


def test_what_one_side_changed_is_taken_from_it(tmp_path: Path) -> None:
    line = Line(
        tmp_path,
        model(a=w(1), b=w(2), c=w(3)),
        model(a=w(9), b=w(2), c=w(3)),
        model(a=w(1), b=w(8), c=w(3)),
    )
    (found,) = line.plan().values()
    assert found.composed
    assert {name: item.source for name, item in tensors(found).items()} == {"a": 0, "b": 1}
    assert not found.conflicts


def test_a_file_that_one_side_alone_changed_is_taken_whole(tmp_path: Path) -> None:
    line = Line(tmp_path, {"a.txt": b"0", **model(a=w(1))}, {"a.txt": b"1"}, model(a=w(2)))
    found = line.plan()
    assert [(path, item.source, item.composed) for path, item in found.items()] == [
        ("a.txt", 0, False),
        (MODEL, 1, False),
    ]


def test_the_same_change_on_both_sides_is_no_conflict(tmp_path: Path) -> None:
    side = {"a.txt": b"1", **model(a=w(2), b=w(3))}
    line = Line(tmp_path, {"a.txt": b"0", **model(a=w(1), b=w(1))}, side, side)
    assert whys(line.plan()) == []
    assert all(not item.composed for item in line.plan().values())


def test_a_tensor_changed_on_both_sides_is_a_conflict_that_keeps_ours(tmp_path: Path) -> None:
    line = Line(
        tmp_path,
        model(a=w(1), b=w(1)),
        model(a=w(2), b=w(1)),
        model(a=w(3), b=w(4)),
    )
    found = line.plan()[MODEL]
    assert tensors(found)["a"].source == 0
    assert tensors(found)["b"].source == 1
    assert whys({MODEL: found}) == [(MODEL, "a", "changed")]


@pytest.mark.parametrize(("name", "source"), [("ours", 0), ("theirs", 1), ("base", BASE)])
def test_a_side_can_be_taken_where_both_changed(tmp_path: Path, name: str, source: int) -> None:
    line = Line(
        tmp_path,
        {"a.txt": b"0", **model(a=w(1), b=w(1))},
        {"a.txt": b"1", **model(a=w(2), b=w(2))},
        {"a.txt": b"2", **model(a=w(3), b=w(1))},
    )
    found = line.plan(strategy(name))
    assert whys(found) == []
    assert found["a.txt"].source == source
    assert tensors(found[MODEL])["a"].source == source
    assert tensors(found[MODEL])["b"].source == 0


def test_a_strategy_that_computes_leaves_texts_in_conflict(tmp_path: Path) -> None:
    line = Line(
        tmp_path,
        {"a.txt": b"0", **model(a=w(1))},
        {"a.txt": b"1", **model(a=w(2))},
        {"a.txt": b"2", **model(a=w(3))},
    )
    found = line.plan(strategy("average"))
    assert whys(found) == [("a.txt", None, "changed")]
    assert tensors(found[MODEL])["a"].mixed == (0, 1)


def test_deleting_what_the_other_side_changed_is_a_conflict(tmp_path: Path) -> None:
    line = Line(
        tmp_path,
        {"a.txt": b"0", "b.txt": b"0", "c.txt": b"0"},
        {"a.txt": None, "b.txt": b"1", "c.txt": None},
        {"a.txt": b"1", "b.txt": None},
    )
    found = line.plan()
    assert whys(found) == [("a.txt", None, "deleted"), ("b.txt", None, "deleted")]
    assert found["a.txt"].entry is not None
    assert found["c.txt"].entry is None
    assert line.plan(strategy("ours"))["a.txt"].entry is None


def test_a_file_added_on_both_sides_is_a_conflict_unless_it_is_the_same(tmp_path: Path) -> None:
    line = Line(
        tmp_path,
        {"z": b"0"},
        {"a.txt": b"1", "b.txt": b"same", **model(a=w(1), b=w(2))},
        {"a.txt": b"2", "b.txt": b"same", **model(a=w(1), b=w(3))},
    )
    assert whys(line.plan()) == [("a.txt", None, "changed"), (MODEL, "b", "changed")]


def test_a_tensor_added_on_one_side_comes_with_its_file(tmp_path: Path) -> None:
    line = Line(
        tmp_path,
        model(a=w(1), b=w(1)),
        model(a=w(2), b=w(1)),
        model(a=w(1), b=w(1), c=w(5)),
    )
    found = line.plan()[MODEL]
    assert found.composed
    assert found.source == 1
    assert {name: item.source for name, item in tensors(found).items()} == {"a": 0, "c": 1}


def test_a_tensor_removed_on_one_side_and_changed_on_the_other_is_a_conflict(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path, model(a=w(1), b=w(1)), model(a=w(1)), model(a=w(1), b=w(2)))
    assert whys(line.plan()) == [(MODEL, "b", "deleted")]


def test_a_tensor_reshaped_on_one_side_and_changed_on_the_other_is_a_conflict(
    tmp_path: Path,
) -> None:
    line = Line(
        tmp_path,
        model(a=w(1, 2), b=w(0)),
        model(a=w(1, 2, 3), b=w(0)),
        model(a=w(1, 5), b=w(1)),
    )
    found = line.plan(strategy("average"))
    assert whys(found) == [(MODEL, "a", "reshaped")]
    assert tensors(found[MODEL])["b"].source == 1


def test_structures_that_both_sides_changed_differently_are_a_conflict_of_the_file(
    tmp_path: Path,
) -> None:
    line = Line(tmp_path, model(a=w(1)), model(a=w(1), b=w(1)), model(a=w(1), c=w(1)))
    assert whys(line.plan()) == [(MODEL, None, "structure")]
    assert whys(line.plan(strategy("theirs"))) == []
    assert line.plan(strategy("theirs"))[MODEL].source == 1


def test_types_without_numbers_are_a_conflict_whatever_the_strategy(tmp_path: Path) -> None:
    sides = [model(a=np.array([True, False, value])) for value in (True, False)]
    line = Line(tmp_path, model(a=np.array([False] * 3)), *sides)
    assert whys(line.plan(strategy("average"))) == [(MODEL, "a", "packed")]
    assert whys(line.plan(strategy("theirs"))) == []


def test_a_mean_of_clients_is_over_all_that_count_also_those_that_changed_nothing(
    tmp_path: Path,
) -> None:
    line = Line(
        tmp_path,
        model(a=w(1), b=w(1), c=w(1)),
        model(a=w(1), b=w(1), c=w(7)),
        model(a=w(2), b=w(5), c=w(1)),
        model(a=w(1), b=w(5), c=w(1)),
    )
    found = tensors(line.plan(strategy("average"), mode="mix", counted=(1, 2))[MODEL])
    assert found["a"].mixed == (1, 2)
    assert (found["b"].strategy, found["b"].source) == (None, 1)
    assert (found["c"].strategy, found["c"].source) == (None, 0)


def test_a_file_that_one_client_changed_is_averaged_with_those_that_did_not(
    tmp_path: Path,
) -> None:
    base = model(a=w(1))
    line = Line(tmp_path, base, base, model(a=w(2)), base)
    (item,) = tensors(line.plan(strategy("average"), mode="mix", counted=(1, 2))[MODEL]).values()
    assert item.mixed == (1, 2)


def test_a_scaled_change_is_computed_although_ours_did_not_change_it(tmp_path: Path) -> None:
    base = model(a=w(1), b=w(1))
    line = Line(tmp_path, base, model(a=w(1), b=w(2)), model(a=w(3), b=w(1)))
    found = tensors(line.plan(strategy("task-arithmetic"), mode="vector")[MODEL])
    assert found["a"].strategy is not None
    assert (found["b"].strategy, found["b"].source) == (None, 0)


def test_without_a_base_what_sides_have_differently_is_a_conflict(tmp_path: Path) -> None:
    line = Line(tmp_path, model(a=w(1)), model(a=w(2), b=w(1)), model(a=w(3), b=w(1)))
    assert whys(line.plan(base=False)) == [(MODEL, "a", "changed")]
    assert tensors(line.plan(strategy("average"), base=False)[MODEL])["a"].mixed == (0, 1)
    # A strategy that needs a base cannot be applied.
    assert whys(line.plan(strategy("ties"), base=False)) == [(MODEL, "a", "changed")]


def test_metadata_of_a_safetensors_header_is_told_and_ours(tmp_path: Path) -> None:
    from safetensors.numpy import save

    def file(value: float, note: str) -> bytes:
        return save({"a": w(value), "b": w(0)}, {"note": note})

    line = Line(tmp_path, {MODEL: file(1, "0")}, {MODEL: file(2, "x")}, {MODEL: file(1, "yy")})
    found = line.plan()[MODEL]
    assert whys({MODEL: found}) == []
    assert found.source == 0
    assert found.remarks


def test_literal_bytes_that_both_changed_are_a_conflict_unless_somebody_says_whose(
    tmp_path: Path,
) -> None:
    def file(value: float, note: str) -> bytes:
        out = io.BytesIO()
        np.savez(out, a=w(value))
        with zipfile.ZipFile(out, "a") as archive:
            archive.comment = note.encode()
        return out.getvalue()

    name = "m.npz"
    line = Line(
        tmp_path, {name: file(1, "base-")}, {name: file(2, "ours-")}, {name: file(1, "their")}
    )
    assert whys(line.plan()) == [(name, None, "literals")]
    found = line.plan(literals=[strategy("theirs")])[name]
    assert whys({name: found}) == []
    assert (found.source, found.composed) == (1, True)


@given(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=2, max_size=5))
def test_three_ways_settle_exactly_where_one_change_at_most_was_made(
    base: int, sides: list[int]
) -> None:
    ids = [ObjectId(bytes([number]) * 32) for number in range(3)]
    found = settled(ids[base], [ids[side] for side in sides])
    changes = {side for side in sides if side != base}
    if len(changes) > 1:
        assert found is None
    else:
        assert found is not None
        assert sides[found] == next(iter(changes), base)

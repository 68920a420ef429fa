"""What PyTorch checkpoints carry beside tensors, and how it differs; nothing is executed."""

from __future__ import annotations

import pickle  # noqa: TID251
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import PAYLOADS
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.diff.results import DiffRequest
from mvc.formats import pickle_stream, torch_values
from mvc.formats.base import BytesSource
from mvc.ops.diff_files import diff_files
from tests.formats import torch_files


def plain(data: bytes) -> dict[str, Any]:
    return torch_values.plain(pickle_stream.load(BytesSource(data)).value)


def test_numbers_and_texts_have_paths() -> None:
    value = {
        "epoch": 3,
        "opt": {"groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
        "on": True,
        "x": None,
    }
    assert plain(pickle.dumps(value)) == {
        "epoch": 3,
        "opt.groups.0.lr": 0.1,
        "opt.groups.0.betas.0": 0.9,
        "opt.groups.0.betas.1": 0.99,
        "on": True,
        "x": None,
    }


def test_long_lists_and_texts_are_short_and_still_differ() -> None:
    one, two = (
        plain(pickle.dumps({"a": [*range(99), last], "t": "x" * 999 + str(last)})) for last in "ab"
    )
    assert one["a"].startswith("100 values #")
    assert one["a"] != two["a"]
    assert len(one["t"]) < 150
    assert one["t"] != two["t"]


def test_objects_and_lists_in_a_ring_are_left_alone() -> None:
    ring: dict[str, Any] = {"a": 1}
    ring["self"] = ring
    assert plain(pickle.dumps({"ring": ring, "path": Path("x"), "b": 2})) == {"ring.a": 1, "b": 2}


def test_shared_lists_do_not_multiply() -> None:
    value: list[Any] = [1]
    for _ in range(40):
        value = [value, value]
    assert len(plain(pickle.dumps({"v": value}))) <= 1


def test_a_million_values_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_values, "MAX_VALUES", 100)
    assert len(plain(pickle.dumps({str(number): number for number in range(500)}))) == 100


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_never_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with suppress(FormatError):
        assert isinstance(plain(PAYLOADS[name]), dict)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("legacy", [False, True])
def test_values_of_checkpoints_that_differ_are_fields(tmp_path: Path, *, legacy: bool) -> None:
    for name, epoch, rate in (("old", 3, 0.1), ("new", 4, 0.1)):
        words = np.full(4, epoch, "f4").tobytes()
        state, plain_, counted = torch_files.state_dict({"w": ("float32", (4,), words)})
        value = {"epoch": epoch, "lr": rate, "model": state}
        data = torch_files.save_legacy(value, counted) if legacy else None
        (tmp_path / name).write_bytes(data or torch_files.save_zip(value, plain_))
    request = DiffRequest(folder=tmp_path)
    (file,) = diff_files(Path("old"), Path("new"), request).files
    assert [(one.path, one.old, one.new) for one in file.header] == [("epoch", "3", "4")]
    assert "epoch: 3 -> 4" in file.summary
    only = diff_files(Path("old"), Path("new"), replace(request, tensors=("model.*",)))
    assert only.files[0].header == ()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)


@given(st.dictionaries(st.text(max_size=5), PLAIN))
def test_a_flat_dict_comes_back(value: dict[str, Any]) -> None:
    assert plain(pickle.dumps(value)) == value

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mvc.base.errors import FormatError
from mvc.merge.literals import compare, differing
from mvc.merge.stored import StoredSource
from tests.merge.test_compose import WRITERS, Files, arrays


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def weights(value: float = 1.0) -> dict[str, np.ndarray]:
    return {"w": np.full((300, 3), value, np.float32), "b": np.full(3, value, np.float32)}


@pytest.mark.parametrize("name", WRITERS)
def test_files_that_differ_in_weights_alone_have_nothing_else_that_differs(
    name: str, files: Files, tmp_path: Path
) -> None:
    stored = []
    for seed in (1, 2):
        path = tmp_path / f"{seed}.model"
        WRITERS[name](path, arrays(seed))
        stored.append(files.stored(path))
    assert compare(files.store, *stored) == "none"
    assert list(differing(files.store, *stored)) == []


def test_remarks_in_a_header_do_no_harm(files: Files, tmp_path: Path) -> None:
    stored = []
    for note in ("1", "2", "a longer one"):
        path = tmp_path / f"{note}.st"
        save_file(weights(), path, metadata={"epoch": note})
        stored.append(files.stored(path))
    assert compare(files.store, stored[0], stored[1]) == "harmless"
    assert compare(files.store, stored[0], stored[2]) == "harmless"
    ((start, end),) = differing(files.store, stored[0], stored[1])
    with (tmp_path / "1.st").open("rb") as file:
        assert file.read()[start:end] == b"1"


def test_the_random_identity_of_a_saved_file_does_no_harm(files: Files, tmp_path: Path) -> None:
    stored = []
    for name, identity in (("one", b"0123456789"), ("two", b"9876543210")):
        path = tmp_path / f"{name}.pt"
        WRITERS["pytorch"](path, arrays(1))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo("archive/.data/serialization_id"), identity)
        stored.append(files.stored(path))
    assert stored[0].format == "pytorch"
    assert compare(files.store, *stored) == "harmless"


@pytest.mark.parametrize("top", ["checkpoint_10", "m"])
def test_the_name_that_a_file_was_saved_as_does_no_harm(
    top: str, files: Files, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    WRITERS["pytorch"](one, arrays(1))
    with zipfile.ZipFile(one) as old, zipfile.ZipFile(two, "w") as new:
        for member in old.namelist():
            name = f"{top}/{member.partition('/')[2]}"
            new.writestr(zipfile.ZipInfo(name), old.read(member))
    stored = [files.stored(path) for path in (one, two)]
    assert compare(files.store, *stored) == "harmless"


@pytest.mark.parametrize("extra", [b"code", b"edoc"])
def test_another_member_of_a_zip_is_a_difference(
    extra: bytes, files: Files, tmp_path: Path
) -> None:
    stored = []
    for name, text in (("one", b"code"), ("two", extra)):
        path = tmp_path / f"{name}.pt"
        WRITERS["pytorch"](path, arrays(len(name)))
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo("archive/code/model.py"), text)
        stored.append(files.stored(path))
    assert compare(files.store, *stored) == ("none" if extra == b"code" else "literals")


@pytest.mark.parametrize(
    "change",
    [
        {"w": np.ones((3, 300), np.float32)},
        {"w": np.ones((300, 3), np.int32)},
        {"new": np.ones(3, np.float32)},
        {"b": None},
    ],
)
def test_other_tensors_are_another_structure(
    change: Mapping[str, np.ndarray | None], files: Files, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.st", tmp_path / "two.st"
    save_file(weights(), one)
    changed = {name: value for name, value in {**weights(2), **change}.items() if value is not None}
    save_file(changed, two)
    assert compare(files.store, files.stored(one), files.stored(two)) == "structure"


def test_another_format_is_another_structure(files: Files, tmp_path: Path) -> None:
    one, two = tmp_path / "one.st", tmp_path / "two.npz"
    WRITERS["safetensors"](one, arrays(1))
    WRITERS["npz"](two, arrays(1))
    assert compare(files.store, files.stored(one), files.stored(two)) == "structure"


@pytest.mark.parametrize("name", ["pytorch", "hdf5", "safetensors"])
@given(data=st.data())
def test_a_stored_file_can_be_read_at_any_offset(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"any-offset-{name}"
    if not folder.exists():
        folder.mkdir()
        WRITERS[name](folder / "model", arrays(3))
        _OPEN[name] = StoredSource((files := Files(folder)).store, files.stored(folder / "model"))
    whole = (folder / "model").read_bytes()
    source = _OPEN[name]
    assert source.size == len(whole)
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - start))
    assert source.read_at(start, length) == whole[start : start + length]
    with pytest.raises(FormatError):
        source.read_at(start, len(whole) - start + 1)


_OPEN: dict[str, StoredSource] = {}

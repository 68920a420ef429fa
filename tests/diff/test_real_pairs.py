"""Pairs of real models: what docs/diff.md shows of them, and that it is true."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mvc.diff.results import FileDiff, TensorDiff
from mvc.ops.diff import DiffRequest, diff
from mvc.ops.diff_files import diff_files
from mvc.storage.local import LocalStorage
from tests.diff import real_pairs
from tests.diff.versions import Project
from tests.docs import pages

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
GIVEN = os.environ.get("MVC_TEST_MODELS")  # noqa: TID251
PAGE = ROOT / "docs" / "diff.md"
EXAMPLES = list(real_pairs.shown(PAGE))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    real_pairs.prepare(Path(GIVEN) if GIVEN else ROOT / ".models", folder)
    return folder


def compared(pairs: Path, old: str, new: str) -> tuple[FileDiff, TensorDiff]:
    (file,) = diff_files(Path(old), Path(new), DiffRequest(folder=pairs)).files
    assert file.tensors is not None
    return file, file.tensors


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command.split()[-1])
def test_the_page_shows_what_is_printed(
    example: pages.Example, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pairs)
    monkeypatch.setenv("COLUMNS", "112")
    difference = pages.Comparison().differs(example.shown, real_pairs.printed(example.command))
    assert difference is None, difference


def test_two_releases_of_one_network_have_its_operators_and_other_weights(pairs: Path) -> None:
    file, tensors = compared(pairs, "silero-5.1.2.onnx", "silero-6.0.0.onnx")
    assert file.graph is not None
    assert not file.graph.differs
    assert (tensors.added, tensors.removed, tensors.moves) == ((), (), ())
    assert any("nothing of the old values" in sentence for sentence in file.summary)


def test_a_transfer_of_a_network_is_no_rename_and_no_cast(pairs: Path) -> None:
    _, tensors = compared(pairs, "chgnet-0.3.0.pth", "chgnet-r2scan.pth")
    assert (tensors.renamed, tensors.recast, tensors.moves) == ((), (), ())
    own = [item for item in tensors.changed if item.name.startswith("model.")]
    assert own
    assert all(item.weights is not None for item in own)


def test_an_export_to_eight_bits_is_quantised(pairs: Path) -> None:
    file, tensors = compared(pairs, "minilm.safetensors", "minilm-int8.onnx")
    assert [move.new for move in tensors.moves] == ["inner.*"]
    assert {item.cast.kind for item in tensors.recast if item.cast} == {"quantised"}
    assert (len(tensors.recast), len(tensors.renamed)) == (38, 64)
    weights = load_file(pairs / "minilm.safetensors")
    import onnx
    from onnx import numpy_helper

    held = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(pairs / "minilm-int8.onnx").graph.initializer
    }
    for item in tensors.recast:
        assert item.cast is not None
        assert item.cast.scale is not None
        old = weights[item.old_name or ""].astype("f8")
        values = held[item.name].astype("f8") * held[item.cast.scale]
        error = np.linalg.norm((values.T if item.transposed else values) - old)
        assert item.cast.relative_l2 == pytest.approx(error / np.linalg.norm(old), rel=1e-6)
    assert file.summary[0] == "renamed * -> inner.*, 64 tensors, words equal"


def test_an_export_to_sixteen_bits_is_a_cast_with_rounding_only(pairs: Path) -> None:
    file, tensors = compared(pairs, "minilm.safetensors", "minilm-fp16.safetensors")
    assert {item.cast.kind for item in tensors.recast if item.cast} == {"exact", "rounded"}
    assert file.summary == ("cast float32 -> float16, 103 tensors, rounding only",)


def test_an_operator_that_was_added_is_all_that_differs(pairs: Path) -> None:
    file, tensors = compared(pairs, "silero-16k.onnx", "silero-clipped.onnx")
    assert not (*tensors.changed, *tensors.removed, *tensors.recast)
    assert file.graph is not None
    assert [item.op for item in file.graph.added] == ["Constant", "Constant", "Clip"]
    assert (file.graph.removed, len(file.graph.changed)) == ((), 1)
    assert file.graph.changed[0].rewired


def test_a_vocabulary_that_grew_leaves_the_rest_equal(pairs: Path) -> None:
    file, tensors = compared(pairs, "minilm.safetensors", "minilm-30538.safetensors")
    assert tensors.unchanged == 103
    assert file.summary == ("16 rows added to embeddings.word_embeddings.weight, the rest equal",)


def test_a_renamed_layer_is_a_rename(pairs: Path) -> None:
    file, tensors = compared(pairs, "minilm.safetensors", "minilm-renamed.safetensors")
    assert (tensors.added, tensors.removed, len(tensors.renamed)) == ((), (), 16)
    assert file.summary == (
        "renamed encoder.layer.3.* -> encoder.block.3.*, 16 tensors, words equal",
    )


def test_one_changed_tensor_reads_under_three_percent_of_the_packs(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project")
    source = pairs / "minilm.safetensors"
    project.commit(m=source.read_bytes())
    weights = load_file(source)
    name = "encoder.layer.2.attention.self.query.weight"
    weights[name] = weights[name] + np.float32(1e-3)
    save_file(weights, tmp_path / "new", {"format": "pt"})
    project.commit(m=(tmp_path / "new").read_bytes())
    read = 0
    read_range = LocalStorage.read_range

    def counted(storage: LocalStorage, key: str, offset: int, length: int) -> bytes:
        nonlocal read
        found = read_range(storage, key, offset, length)
        read += len(found)
        return found

    monkeypatch.setattr(LocalStorage, "read_range", counted)
    (file,) = diff(project.repo, DiffRequest(("HEAD~1", "HEAD"))).files
    assert file.tensors is not None
    assert [item.name for item in file.tensors.changed] == [name]
    assert file.tensors.changed[0].weights is not None
    assert 0 < read < 0.03 * source.stat().st_size
    print(f"read {read} bytes of {source.stat().st_size}")

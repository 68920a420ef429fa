from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tuned
from benchmarks.finetune import CONTENDERS, Run, report
from benchmarks.measure import Cost
from benchmarks.peers import MissingTool, environment

SIZE = 1_000_000_000


@pytest.fixture(autouse=True)
def _two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)


def runs(wall: float) -> list[Run]:
    cost = Cost(wall, 2 * wall, 100)
    return [Run(dict.fromkeys(("first", "after its base", "back"), cost), 5)]


def test_a_speed_a_core_divides_by_the_processors() -> None:
    text = report({"mvc": runs(4.0)}, SIZE)
    assert "- mvc, after its base: 125 MB/s a core, at least 100: kept" in text
    assert "- mvc, back: 125 MB/s a core, at least 200: **missed**" in text


def test_recording_is_held_against_the_rival() -> None:
    text = report({"mvc": runs(4.0), "mvc fast": runs(1.0), "git-lfs": runs(5.0)}, SIZE)
    assert "- mvc, after its base: 4.00 s, git-lfs 5.00 s: kept" in text
    text = report({"mvc fast": runs(1.0), "dvc": runs(0.5)}, SIZE)
    assert "- mvc fast, after its base: 1.00 s, dvc 0.50 s: **missed**" in text


def test_the_fast_codec_is_asked_for_by_its_option() -> None:
    assert CONTENDERS["mvc fast"].commit[-2:] == ("--codec", "fast")


def safetensors(path: Path, values: dict[str, np.ndarray]) -> None:
    header, data = {}, b""
    for name, value in values.items():
        kind = {"f": "F32", "i": "I64"}[value.dtype.kind]
        end = len(data) + value.nbytes
        offsets = [len(data), end]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
        data += value.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def words(path: Path, tensor: tuned.Tensor) -> np.ndarray:
    part = path.read_bytes()[tensor.start : tensor.start + tensor.length]
    return np.frombuffer(part, "<f4").reshape(tensor.shape)


def test_a_large_pair_keeps_every_update_and_repeats_no_tensor(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    old = {"a": random.normal(size=(50, 8)).astype("<f4"), "b": np.arange(3)}
    new = {"a": old["a"] * np.float32(1.001), "b": old["b"]}
    for name, values in (("base", old), ("new", new)):
        safetensors(tmp_path / name, values)
        tuned.write(tmp_path / name, tmp_path / f"{name}.large", copies=3)
    base, large = tmp_path / "base.large", tmp_path / "new.large"
    found = tuned.tensors(base)
    assert found == tuned.tensors(large)
    assert [tensor.name for tensor in found[:3]] == ["part.0.a", "part.0.b", "part.1.a"]
    assert base.stat().st_size == found[-1].start + found[-1].length
    floats = [tensor for tensor in found if tensor.dtype == "F32"]
    assert len({words(base, tensor).tobytes() for tensor in floats}) == 3
    for tensor in floats:
        assert np.array_equal(words(base, tensor) * np.float32(1.001), words(large, tensor))
        assert np.array_equal(np.sort(np.abs(words(base, tensor)), 0), np.sort(np.abs(old["a"]), 0))


def test_a_tool_that_is_missing_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=r"dvc is not installed; `pip install dvc`"):
        environment(CONTENDERS["dvc"].needs, tmp_path)

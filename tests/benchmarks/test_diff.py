from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks import diff
from benchmarks.diff import Disagreement, check, contenders, output


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(1)
    old = {
        "a.weight": random.standard_normal((300, 20)).astype("f4"),
        "a.bias": np.zeros(5, "f4"),
    }
    new = {name: values + np.float32(1e-3) for name, values in old.items()}
    new["a.weight"][:7] *= -1
    paths = [tmp_path / "old.safetensors", tmp_path / "new.safetensors"]
    for path, arrays in zip(paths, (old, new), strict=True):
        save_file(arrays, path)
    return paths


def test_mvc_and_the_script_agree_on_every_number(pair: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    found, env = contenders(pair, folder)
    plain = output(found[diff.SCRIPT], env)
    for name, item in found.items():
        if name != diff.SCRIPT:
            assert check(output(item, env), plain) == 2
    plain["a.bias"]["sign_flips"] = 9
    with pytest.raises(Disagreement, match=r"a\.bias"):
        check(output(found[diff.VERSIONS], env), plain)

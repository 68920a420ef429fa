"""Save models from memory and load them back: the Python interface in one screen.

Run it as `python -m examples.python_api`. It makes a repository in a temporary folder.
"""

from __future__ import annotations

import tempfile

import numpy as np

import mvc


def train(weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Return weights a small random step away: a stand-in for a device that learns."""
    rng = np.random.default_rng(seed)
    return {
        name: (value + 1e-4 * rng.standard_normal(value.shape)).astype(value.dtype)
        for name, value in weights.items()
    }


def main() -> None:
    rng = np.random.default_rng(0)
    weights = {
        "encoder.weight": rng.standard_normal((256, 128)).astype(np.float32),
        "encoder.bias": np.zeros(256, np.float32),
        "head.weight": rng.standard_normal((10, 256)).astype(np.float32),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        mvc.Repository.init(folder, author="Ada Lovelace <ada@example.org>") as repo,
    ):
        base = repo.commit(weights, "base", params={"lr": 1e-3}, labels={"device": "bench"})
        for epoch in range(1, 4):
            weights = train(weights, epoch)
            repo.commit(weights, f"epoch {epoch}", metrics={"accuracy@toy": 0.8 + epoch / 100})

        for version in repo.log():
            print(version.id[:12], f"{version.message:8}", version.metrics or "")

        loaded = repo.load("HEAD")
        if not all(np.array_equal(loaded[name], value) for name, value in weights.items()):
            raise SystemExit("the arrays did not come back as they were")
        drift = np.linalg.norm(loaded["head.weight"] - repo.load(base)["head.weight"])
        print(f"head.weight moved by {drift:.4f} since {base[:12]}")


if __name__ == "__main__":
    main()

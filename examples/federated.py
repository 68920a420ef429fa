"""A round of federated averaging: a server, devices that learn on their own data, and the mean.

Run it as `python -m examples.federated`. Everything happens in a temporary folder: each device
clones the server's repository, takes a few steps of gradient descent on data that nobody else has,
and pushes its version to a branch of its own. The server averages them, weighted by their samples.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import mvc

DEVICES = 3
ROUNDS = 3
FEATURES = 20
TRUTH = np.random.default_rng(1).standard_normal(FEATURES)
Weights = dict[str, np.ndarray]


def data(device: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a device saw: inputs around a place of its own, and noisy answers."""
    draw = np.random.default_rng(100 + device)
    inputs = draw.standard_normal((30 + 40 * device, FEATURES)) + draw.standard_normal(FEATURES)
    return inputs, inputs @ TRUTH + 0.1 * draw.standard_normal(len(inputs))


def learn(weights: Weights, device: int, steps: int = 5, rate: float = 0.02) -> Weights:
    """Take steps of gradient descent on the squared error of a linear model."""
    inputs, answers = data(device)
    found = weights["w"].astype(np.float64)
    for _ in range(steps):
        found -= rate * 2 * inputs.T @ (inputs @ found - answers) / len(answers)
    return {"w": found.astype(np.float32)}


def run(*words: str | Path) -> None:
    """Run an mvc command as a person would."""
    subprocess.run([sys.executable, "-m", "mvc", "-q", *map(str, words)], check=True)


def device_round(folder: Path, server: Path, device: int) -> None:
    """Bring the newest model, learn, and push the result to the device's own branch."""
    name = f"car-{device}"
    if folder.exists():
        run("-C", folder, "pull", "origin", "main")
    else:
        run("clone", server, folder)
    with mvc.Repository.open(folder, author=name) as repo:
        weights = learn(repo.load("origin/main"), device)
        samples = float(len(data(device)[1]))
        repo.commit(weights, f"{name} learned", metrics={"samples": samples})
    run("-C", folder, "push", "--force", "origin", f"HEAD:devices/{name}")
    # The next round starts from what the server makes of it.
    run("-C", folder, "reset", "--hard", "origin/main")


def main() -> None:
    """Run some rounds and print how far the model is from the truth."""
    with tempfile.TemporaryDirectory() as folder:
        server = Path(folder) / "server.mvc"
        with mvc.Repository.init(server, bare=True, author="server") as central:
            central.commit({"w": np.zeros(FEATURES, np.float32)}, "start")
            for number in range(1, ROUNDS + 1):
                for device in range(DEVICES):
                    device_round(Path(folder) / f"car-{device}", server, device)
                before = central.load("main")
                expected = [learn(before, device)["w"] for device in range(DEVICES)]
                done = central.merge(
                    "devices/*", strategy="average", weight_by="samples", into="main"
                )
                weights = [parent.weight or 0.0 for parent in done.parents[1:]]
                merged = central.load("main")["w"]
                total = np.zeros_like(merged, np.float64)
                for weight, one in zip(weights, expected, strict=True):
                    total += weight * one.astype(np.float64)
                if not np.array_equal(merged, (total / sum(weights)).astype(np.float32)):
                    raise SystemExit("the mean is not the mean")
                error = float(np.linalg.norm(merged - TRUTH))
                print(f"round {number}: {len(weights)} devices, {error:.3f} from the truth")
            run("-C", server, "show", "main")


if __name__ == "__main__":
    main()

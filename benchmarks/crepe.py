"""CREPE, the pitch tracker, in plain torch, trained on tones whose pitch is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.extras import load

torch = load("torch")
functional = load("torch.nn.functional")

Tensor = Any
State = dict[str, Any]

LAYERS = 6
RATE = 16_000
SAMPLES = 1024
BINS = 360
BATCH = 32
HARMONICS = 6
LOWEST_CENTS = 1997.3794084376191


def read(weights: Path) -> State:
    """Return the published weights by name."""
    state: State = torch.load(weights, map_location="cpu", weights_only=True)
    return dict(state)


def train(start: State, *, seed: int, steps: int, every: int) -> Iterator[tuple[int, State]]:
    """Train and give, every so many steps, what a training program saves in a checkpoint."""
    state = {name: value.clone() for name, value in start.items()}
    trained = [
        value.requires_grad_()
        for name, value in state.items()
        if value.is_floating_point() and "running" not in name
    ]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=1e-4)
    random = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        sound, pitch = _tones(random)
        loss = functional.binary_cross_entropy_with_logits(_forward(state, sound), pitch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % every == 0:
            yield (
                step,
                {
                    "step": step,
                    "loss": loss.item(),
                    "model": {name: value.detach() for name, value in state.items()},
                    "optimizer": optimizer.state_dict(),
                    "rng": torch.get_rng_state(),
                },
            )


def _tones(random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return normalised harmonic tones with some noise, and their pitch as 360 soft bins."""
    frequency = 50 * 2 ** random.uniform(0, 4.5, BATCH)
    time = np.arange(SAMPLES) / RATE
    sound: NDArray[np.float64] = np.zeros((BATCH, SAMPLES))
    for harmonic in range(1, HARMONICS + 1):
        loudness = random.uniform(0, 1, (BATCH, 1)) / harmonic
        phase = random.uniform(0, 2 * np.pi, (BATCH, 1))
        wave = np.sin(2 * np.pi * harmonic * frequency[:, None] * time + phase)
        sound += loudness * wave * (harmonic * frequency[:, None] < 7800)
    sound += random.normal(0, 0.02, sound.shape)
    sound = (sound - sound.mean(1, keepdims=True)) / sound.std(1, keepdims=True)
    center = (1200 * np.log2(frequency / 10) - LOWEST_CENTS) / 20
    bins = np.exp(-((np.arange(BINS) - center[:, None]) ** 2) / (2 * 1.25**2))
    return torch.tensor(sound, dtype=torch.float32), torch.tensor(bins, dtype=torch.float32)


def _forward(state: State, sound: Tensor) -> Tensor:
    x = sound[:, None, :, None]
    for index in range(1, LAYERS + 1):
        first = index == 1
        x = functional.pad(x, (0, 0, 254, 254) if first else (0, 0, 31, 32))
        weight, bias = state[f"conv{index}.weight"], state[f"conv{index}.bias"]
        x = functional.relu(functional.conv2d(x, weight, bias, stride=(4, 1) if first else 1))
        norm = f"conv{index}_BN."
        running = state[f"{norm}running_mean"], state[f"{norm}running_var"]
        scale = state[f"{norm}weight"], state[f"{norm}bias"]
        x = functional.batch_norm(x, *running, *scale, True, 0.01, 1e-3)
        state[f"{norm}num_batches_tracked"] += 1
        x = functional.max_pool2d(x, (2, 1), (2, 1))
    flat = x.permute(0, 2, 1, 3).reshape(-1, 256)
    return functional.linear(flat, state["classifier.weight"], state["classifier.bias"])

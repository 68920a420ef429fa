"""Long histories and a fleet for `benchmarks.repack`: real training, and a control that is not.

    python -m benchmarks.repack_material KIND OUT --models .models

    chain  MiniLM fine-tuned with AdamW: every few steps a snapshot of the attention of its last
           layer (590 thousand weights), in fp32 and, of the same run, in bf16
    walk   the same tensors with independent normal steps: how far two versions are from each
           other depends on nothing but how many lie between them
    fleet  CREPE tiny, the release, trained on by each device for itself; every fifth device sends
           two updates more

Seeds are fixed. Needs the extra `bench` (torch), and runs in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import crepe, minilm, training
from benchmarks.extras import MissingExtra, load
from benchmarks.families import TOKENIZER
from benchmarks.minilm import State
from examples.models import FetchError, fetch
from examples.models import _fetch_one as fetch_model

torch = load("torch")
save_file = load("safetensors.torch").save_file

PART = f"encoder.layer.{minilm.LAYERS - 1}.attention."
EVERY = 5
SPREAD = 1e-5
UPDATED = 5
"""Every so many devices one has three updates, not one."""
UPDATES = 3
DEVICE_STEPS = 2


def chain(out: Path, models: Path, versions: int) -> None:
    """Save snapshots of one run, in two precisions."""
    weights, *_ = fetch(["minilm"], models)
    (tokenizer,) = fetch_model(TOKENIZER, models)
    start, text = minilm.read(weights), minilm.Text(tokenizer)
    _snapshot(out, 0, kept(start))
    steps = EVERY * (versions - 1)
    run = training.finetune(start, text, training.adamw(2e-5), seed=1, steps=steps)
    for one in run:
        if one.step % EVERY == 0:
            _snapshot(out, one.step // EVERY, kept(one.state))


def kept(state: State) -> State:
    """Return the tensors that are saved: a hundred whole models would take hours to pack."""
    return {name: value.detach() for name, value in state.items() if name.startswith(PART)}


def _snapshot(out: Path, number: int, state: State) -> None:
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        folder = out / f"chain-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        _save(folder / f"{number:04d}.safetensors", training.cast(state, dtype))


def _save(path: Path, state: State) -> None:
    save_file(state, path, metadata={"format": "pt"})


def walk(out: Path, models: Path, versions: int) -> None:
    """Save a model and random steps from it."""
    weights, *_ = fetch(["minilm"], models)
    state = {name: value.numpy() for name, value in kept(minilm.read(weights)).items()}
    random = np.random.default_rng(1)
    folder = out / "walk"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(versions):
        tensors = {name: torch.from_numpy(value) for name, value in state.items()}
        _save(folder / f"{number:04d}.safetensors", tensors)
        state = {
            name: value + random.standard_normal(value.shape, np.float32) * np.float32(SPREAD)
            for name, value in state.items()
        }


def fleet(out: Path, models: Path, devices: int) -> None:
    """Save a release, and what became of it on each device."""
    tones = next(path for path in fetch(["crepe"], models) if path.name == "tiny.pth")
    release = crepe.read(tones)
    folder = out / "fleet"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(release, folder / "release.pth")
    for device in range(devices):
        updates = UPDATES if device % UPDATED == 0 else 1
        steps = DEVICE_STEPS * updates
        run = crepe.train(release, seed=1000 + device, steps=steps, every=DEVICE_STEPS)
        for update, (_, checkpoint) in enumerate(run):
            torch.save(checkpoint["model"], folder / f"{device:04d}-{update}.pth")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repack_material")
    parser.add_argument("kind", choices=["chain", "walk", "fleet"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--versions", type=int, default=100)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        if args.kind == "fleet":
            fleet(args.out, args.models, args.devices)
        else:
            make = chain if args.kind == "chain" else walk
            make(args.out, args.models, args.versions)
    except (FetchError, MissingExtra) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

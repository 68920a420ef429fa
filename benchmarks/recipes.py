"""How each family of related models is made: what is trained, and what is saved when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import crepe, minilm, training
from benchmarks.extras import load
from benchmarks.manifest import Entry, describe
from benchmarks.minilm import State, Text
from benchmarks.training import Snapshot, cast

torch = load("torch")
save_file = load("safetensors.torch").save_file

FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
MODEL = "model.safetensors"
STEPS, EVERY_FULL, EVERY_HALF = 40, 20, 8


@dataclass(slots=True)
class Shelf:
    """The folder of the families, and what has been put there.

    Attributes:
        folder: The folder.
        note: Told of each file.
        entries: One for each file, in the order in which they were put.
    """

    folder: Path
    note: Callable[[str], object]
    entries: list[Entry] = field(default_factory=list)

    def put(self, path: str, save: Callable[[Path], object], **about: Any) -> str:
        """Have a file written, and note it; returns its path for use as a parent."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        save(file)
        entry = describe(self.folder, path, **about)
        self.entries.append(entry)
        self.note(f"{path}  {entry.bytes / 1e6:.1f} MB  {entry.change}")
        return path

    def weights(self, path: str, state: State, *, dtype: Any = None, **about: Any) -> str:
        """Put weights as safetensors, rounded to a type if one is named."""
        kept = cast(state, dtype) if dtype else {n: v.contiguous() for n, v in state.items()}
        label = about.pop("label", None) or _label(dtype or FP32)
        metadata = {"format": "pt"}
        return self.put(
            path, lambda file: save_file(kept, file, metadata=metadata), dtype=label, **about
        )


class Chain:
    """A family of snapshots of one run, each made from the one before and saved over it."""

    def __init__(self, shelf: Shelf, family: str, dtype: Any, every: int) -> None:
        self._shelf, self._family, self._dtype, self._every = shelf, family, dtype, every
        self._parent: str | None = None
        self._version = 0

    def start(self, state: State, change: str) -> None:
        """Put what training starts from."""
        self._put(state, 0, change)

    def offer(self, snapshot: Snapshot, change: str) -> None:
        """Put a snapshot if it is its turn."""
        if snapshot.step % self._every == 0:
            self._put(snapshot.state, snapshot.step, f"{change}, loss {snapshot.loss:.3f}")

    def _put(self, state: State, step: int, change: str) -> None:
        self._parent = self._shelf.weights(
            f"{self._family}/step{step:04d}.safetensors", state, dtype=self._dtype,
            version=self._version, place=MODEL, step=step, parent=self._parent, change=change,
        )  # fmt: skip
        self._version += 1


@dataclass(frozen=True, slots=True)
class Material:
    """What the recipes work on: MiniLM's weights, text to train on, and CREPE's weights."""

    base: State
    text: Text
    tones: Path


def full_run(shelf: Shelf, material: Material) -> None:
    """AdamW on every weight; one run saved in three precisions, and quantized."""
    chains = _three_precisions(shelf, "full", material)
    snapshots = [(0, material.base)]
    build = training.adamw(2e-5)
    for snapshot in training.finetune(material.base, material.text, build, seed=1, steps=STEPS):
        for chain in chains:
            chain.offer(snapshot, "AdamW with decay, every weight")
        if snapshot.step % EVERY_HALF == 0:
            snapshots.append((snapshot.step, training.copied(snapshot.state)))
    parent = None
    for version, (step, state) in enumerate(snapshots):
        parent = shelf.weights(
            f"full-int8/step{step:04d}.safetensors", training.quantized(state), label="int8",
            version=version, place=MODEL, step=step, parent=parent,
            change="the snapshot of full-fp32's run as int8 with a scale a row",
        )  # fmt: skip


def sgd_run(shelf: Shelf, material: Material) -> None:
    """Gradient descent with momentum: rows without a gradient stay, updates scale with it."""
    _optimizer_run(
        shelf, material, "sgd", training.sgd(1e-2), "SGD with momentum 0.9, every weight"
    )


def adam_run(shelf: Shelf, material: Material) -> None:
    """Adam without weight decay."""
    _optimizer_run(shelf, material, "adam", training.adam(2e-5), "Adam without decay, every weight")


def _optimizer_run(
    shelf: Shelf, material: Material, name: str, build: training.Build, change: str
) -> None:
    chains = _three_precisions(shelf, name, material)
    for snapshot in training.finetune(material.base, material.text, build, seed=1, steps=STEPS):
        for chain in chains:
            chain.offer(snapshot, change)


def _three_precisions(shelf: Shelf, name: str, material: Material) -> list[Chain]:
    chains = [
        Chain(shelf, f"{name}-fp32", FP32, EVERY_FULL),
        Chain(shelf, f"{name}-bf16", BF16, EVERY_HALF),
        Chain(shelf, f"{name}-fp16", FP16, EVERY_HALF),
    ]
    for chain, dtype in zip(chains, (FP32, BF16, FP16), strict=True):
        chain.start(material.base, _published(dtype))
    return chains


def bf16_run(shelf: Shelf, material: Material) -> None:
    """Weights, gradients and AdamW's state all in bf16: small updates are rounded away."""
    chain = Chain(shelf, "trained-bf16", BF16, EVERY_HALF)
    chain.start(material.base, _published(BF16))
    start, build = cast(material.base, BF16), training.adamw(1e-4)
    for snapshot in training.finetune(start, material.text, build, seed=1, steps=STEPS):
        chain.offer(snapshot, "AdamW in bf16 on bf16 weights, rate 1e-4")


def last_layer(shelf: Shelf, material: Material) -> None:
    """Only the last of six layers is trained."""
    chain = Chain(shelf, "last-layer-fp32", FP32, 6)
    chain.start(material.base, _published(FP32))
    for snapshot in training.last_layer(material.base, material.text, seed=2, steps=12):
        chain.offer(snapshot, "AdamW on encoder.layer.5 alone")


def sparse_rows(shelf: Shelf, material: Material) -> None:
    """Only rows of the word embedding that occurred are trained."""
    chain = Chain(shelf, "sparse-rows-fp32", FP32, 6)
    chain.start(material.base, _published(FP32))
    words = material.base[minilm.WORDS]
    for snapshot in training.sparse_rows(material.base, material.text, seed=5, steps=12):
        moved = int((snapshot.state[minilm.WORDS].detach() != words).any(1).sum())
        chain.offer(snapshot, f"{moved} of {len(words)} rows of the embedding differ from the base")


def low_rank(shelf: Shelf, material: Material) -> None:
    """LoRA adapters for two tasks, each merged into the one base, in three precisions."""
    trained = {
        task: training.low_rank(material.base, material.text, part=part, seed=4, steps=12)
        for task, part in (("a", (0.0, 0.5)), ("b", (0.5, 1.0)))
    }
    for family, dtype in (
        ("lora-merged-fp32", FP32), ("lora-merged-bf16", BF16), ("lora-merged-fp16", FP16),
    ):  # fmt: skip
        base = cast(material.base, dtype)
        parent = shelf.weights(
            f"{family}/base.safetensors", base, dtype=dtype, version=0, place=MODEL,
            change=_published(dtype),
        )  # fmt: skip
        for version, (task, (adapters, loss)) in enumerate(trained.items(), 1):
            shelf.weights(
                f"{family}/task-{task}.safetensors", training.merged(base, adapters), dtype=dtype,
                version=version, place=MODEL, step=12, parent=parent,
                change=f"LoRA of rank 8 for task {task} merged into q and v, loss {loss:.3f}",
            )  # fmt: skip
            factors = {
                f"base_model.model.{name}.lora_{side}.weight": factor.detach()
                for name, one in adapters.items()
                for side, factor in (("A", one.down), ("B", one.up))
            }
            shelf.weights(
                f"{family}/adapter-{task}.safetensors", factors, version=version, step=12,
                change=f"the adapter of task {task} alone",
            )  # fmt: skip


def re_exports(shelf: Shelf, material: Material) -> None:
    """The same fp16 weights in other files, then a vocabulary grown by 16 rows."""
    family = "reexport-fp16"
    state = cast(material.base, FP16)
    source = shelf.weights(
        f"{family}/{MODEL}", state, dtype=FP16, version=0, change=_published(FP16)
    )
    shelf.weights(
        f"{family}/renamed.safetensors", {f"bert.{name}": v.clone() for name, v in state.items()},
        dtype=FP16, version=1, parent=source, change="every name prefixed, same tensors",
    )  # fmt: skip
    _shards(shelf, family, state, source)
    about: dict[str, Any] = {"dtype": _label(FP16), "parent": source}
    shelf.put(
        f"{family}/model.pt", lambda file: torch.save(state, file), version=3,
        change="torch.save, same tensors", **about,
    )  # fmt: skip
    arrays = {name: value.numpy() for name, value in state.items()}
    shelf.put(
        f"{family}/model.npz", lambda file: np.savez(file, **arrays), version=4,
        change="numpy.savez, same tensors", **about,
    )  # fmt: skip
    words = material.base[minilm.WORDS]
    noise = torch.randn(16, minilm.HIDDEN, generator=torch.Generator().manual_seed(6))
    grown = torch.cat([words, words.mean(0) + 0.02 * noise])
    shelf.weights(
        f"{family}/vocab-{len(grown)}.safetensors", material.base | {minilm.WORDS: grown},
        dtype=FP16, version=5, parent=source, change="16 rows more in the word embedding",
    )  # fmt: skip


def _shards(shelf: Shelf, family: str, state: State, source: str) -> None:
    names = sorted(state)
    owner: dict[str, str] = {}
    for index in range(3):
        part = {name: state[name] for name in names[index::3]}
        file = f"model-{index + 1:05d}-of-00003.safetensors"
        owner |= dict.fromkeys(part, file)
        shelf.weights(
            f"{family}/{file}", part, dtype=FP16, version=2, parent=source,
            change="one of three shards, same tensors",
        )  # fmt: skip
    total = sum(value.numel() * value.element_size() for value in state.values())
    index_text = json.dumps({"metadata": {"total_size": total}, "weight_map": owner}, indent=1)
    shelf.put(
        f"{family}/model.safetensors.index.json", lambda file: file.write_text(index_text),
        version=2, dtype="text", change="which shard holds which tensor",
    )  # fmt: skip


def checkpoints(shelf: Shelf, material: Material) -> None:
    """CREPE tiny as a training program saves it, Adam's state included, every 4 steps."""
    family, place = "crepe-ckpt", "checkpoint.pt"
    start = crepe.read(material.tones)
    about: dict[str, Any] = {"place": place, "dtype": _label(FP32)}
    parent = shelf.put(
        f"{family}/step0000.pt", lambda file: torch.save({"step": 0, "model": start}, file),
        version=0, change="the published weights", **about,
    )  # fmt: skip
    for version, (step, checkpoint) in enumerate(crepe.train(start, seed=7, steps=96, every=4), 1):
        parent = shelf.put(
            f"{family}/step{step:04d}.pt", _saving(checkpoint), version=version,
            step=step, parent=parent, change=f"AdamW with its state, loss {checkpoint['loss']:.4f}",
            **about,
        )  # fmt: skip


def independent(shelf: Shelf, material: Material) -> None:
    """One architecture trained three times from other random weights: no delta exists."""
    for version, seed in enumerate((11, 12, 13)):
        start, steps = minilm.fresh(material.base, seed), 12
        build = training.adamw(5e-4)
        *_, last = training.finetune(start, material.text, build, seed=seed, steps=steps)
        shelf.weights(
            f"independent-fp32/seed{seed}.safetensors", last.state, dtype=FP32, version=version,
            place=MODEL, step=steps,
            change=f"trained from random weights of seed {seed}, loss {last.loss:.3f}",
        )  # fmt: skip


Recipe = Callable[[Shelf, Material], None]
RECIPES: dict[str, Recipe] = {
    "full": full_run,
    "sgd": sgd_run,
    "adam": adam_run,
    "trained-bf16": bf16_run,
    "last-layer": last_layer,
    "lora-merged": low_rank,
    "sparse-rows": sparse_rows,
    "reexport": re_exports,
    "crepe": checkpoints,
    "independent": independent,
}


def build(
    folder: Path, material: Material, names: Sequence[str], note: Callable[[str], object]
) -> Iterator[list[Entry]]:
    """Make families, and give the entries of what each recipe left."""
    for name in names:
        shelf = Shelf(folder, note)
        RECIPES[name](shelf, material)
        yield shelf.entries


def _saving(checkpoint: dict[str, Any]) -> Callable[[Path], object]:
    return lambda file: torch.save(checkpoint, file)


def _label(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _published(dtype: Any) -> str:
    rounded = "" if dtype == FP32 else f", rounded to {_label(dtype)}"
    return f"the published weights{rounded}"

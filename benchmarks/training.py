"""Real training runs of MiniLM, each a generator of snapshots.

Every run starts from the weights it is given and takes real optimizer steps on real text
(`benchmarks.minilm`). A snapshot holds the weights themselves, not copies: it is good until the
next one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import minilm
from benchmarks.extras import load
from benchmarks.minilm import Adapter, State, Tensor, Text

torch = load("torch")

Optimizer = Any
Build = Callable[[list[Tensor], list[Tensor]], Optimizer]
"""Makes the optimizer from the weights that decay and those that do not."""

WARM_UP = 5
CLIP = 1.0
RANK = 8
ADAPTER_SCALE = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The weights after a step, and the loss of that step."""

    step: int
    loss: float
    state: State


def adamw(lr: float, decay: float = 0.01) -> Build:
    """AdamW as most fine-tuning uses it: biases and normalisation do not decay."""

    def build(decayed: list[Tensor], others: list[Tensor]) -> Optimizer:
        groups = [
            {"params": decayed, "weight_decay": decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=lr)

    return build


def adam(lr: float) -> Build:
    """Adam without weight decay: what gets no gradient stays as it was."""
    return lambda decayed, others: torch.optim.Adam(decayed + others, lr=lr)


def sgd(lr: float, momentum: float = 0.9) -> Build:
    """Stochastic gradient descent with momentum."""
    return lambda decayed, others: torch.optim.SGD(decayed + others, lr=lr, momentum=momentum)


def finetune(
    start: State, text: Text, build: Build, *, seed: int, steps: int
) -> Iterator[Snapshot]:
    """Train every weight, with warm-up, linear decay of the rate, and clipped gradients."""
    state = copied(start)
    names = [name for name, value in state.items() if value.is_floating_point()]
    trained = [state[name].requires_grad_() for name in names]
    decayed = [state[name] for name in names if minilm.is_decayed(name)]
    others = [state[name] for name in names if not minilm.is_decayed(name)]
    optimizer = build(decayed, others)
    rates = [group["lr"] for group in optimizer.param_groups]
    for step, batch in enumerate(text.batches(seed, steps), 1):
        share = min(1, step / WARM_UP) * (1 - 0.8 * step / steps)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        loss = minilm.loss(state, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        yield Snapshot(step, loss.item(), state)


def last_layer(start: State, text: Text, *, seed: int, steps: int) -> Iterator[Snapshot]:
    """Train the last of the six layers alone."""
    state = copied(start)
    prefix = f"encoder.layer.{minilm.LAYERS - 1}."
    trained = [value.requires_grad_() for name, value in state.items() if name.startswith(prefix)]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01)
    for step, batch in enumerate(text.batches(seed, steps), 1):
        loss = minilm.loss(state, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield Snapshot(step, loss.item(), state)


def sparse_rows(start: State, text: Text, *, seed: int, steps: int) -> Iterator[Snapshot]:
    """Train the rows of the word embedding that occur in the text, and nothing else."""
    state = copied(start)
    optimizer = torch.optim.SparseAdam([state[minilm.WORDS].requires_grad_()], lr=1e-3)
    for step, batch in enumerate(text.batches(seed, steps), 1):
        loss = minilm.loss(state, batch, sparse=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield Snapshot(step, loss.item(), state)


def low_rank(
    start: State, text: Text, *, part: tuple[float, float], seed: int, steps: int
) -> tuple[dict[str, Adapter], float]:
    """Train adapters of rank 8 on query and value; return them and the last loss."""
    generator = torch.Generator().manual_seed(3)
    adapters = {}
    for index in range(minilm.LAYERS):
        for kind in ("query", "value"):
            down = torch.randn(RANK, minilm.HIDDEN, generator=generator).mul_(0.05)
            up = torch.zeros(minilm.HIDDEN, RANK)
            name = f"encoder.layer.{index}.attention.self.{kind}"
            adapters[name] = Adapter(down.requires_grad_(), up.requires_grad_(), ADAPTER_SCALE)
    factors = [factor for one in adapters.values() for factor in (one.down, one.up)]
    optimizer = torch.optim.AdamW(factors, lr=2e-3)
    last = 0.0
    for batch in text.batches(seed, steps, part):
        loss = minilm.loss(start, batch, adapters=adapters)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.item()
    return adapters, last


def merged(start: State, adapters: Mapping[str, Adapter]) -> State:
    """Add the product of each adapter to its matrix, rounded to the type of the matrix."""
    state = dict(start)
    for name, adapter in adapters.items():
        matrix = state[f"{name}.weight"]
        product = adapter.product().detach().to(matrix.dtype)
        state[f"{name}.weight"] = matrix + product
    return state


def copied(state: State) -> State:
    """Return weights that training may change."""
    return {name: value.detach().clone() for name, value in state.items()}


def cast(state: State, dtype: Any) -> State:
    """Round every float of the weights to a type."""
    return {
        name: (value.detach().to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in state.items()
    }


def quantized(state: State) -> State:
    """Return the matrices as int8 with one scale a row, the rest as it is."""
    result: State = {}
    for name, value in state.items():
        if value.is_floating_point() and value.dim() == 2:
            scale = (value.detach().abs().amax(1, keepdim=True) / 127).clamp_min(1e-12)
            result[name] = (value.detach() / scale).round().clamp(-127, 127).to(torch.int8)
            result[f"{name}_scale"] = scale
        else:
            result[name] = value.detach()
    return result

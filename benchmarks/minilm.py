"""all-MiniLM-L6-v2 in plain torch: its forward pass, a contrastive loss, and real text to train on.

The text is that of the standard library's docstrings: the qualified name of a function against
the first paragraph of what it says about itself. It needs no network and differs a little from
one release of Python to the next.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.extras import load

torch = load("torch")
functional = load("torch.nn.functional")
load_file = load("safetensors.torch").load_file
tokenizers = load("tokenizers")

Tensor = Any
State = dict[str, Any]

HIDDEN = 384
LAYERS = 6
HEADS = 12
TOKENS = 24
BATCH = 16
TEMPERATURE = 20
WORDS = "embeddings.word_embeddings.weight"

_MODULES = """
os re json pathlib subprocess asyncio email http.client http.server logging unittest
xml.etree.ElementTree collections itertools functools typing datetime decimal fractions statistics
random socket ssl threading multiprocessing concurrent.futures urllib.request urllib.parse zipfile
tarfile csv sqlite3 argparse inspect ast dis pickle shelve struct hashlib hmac base64 textwrap
difflib string shutil tempfile glob fnmatch calendar locale gettext smtplib ftplib configparser
codecs io select selectors signal queue sched heapq bisect array copy weakref types enum dataclasses
contextlib abc traceback warnings gc ipaddress uuid secrets html wave colorsys platform pdb cProfile
pstats timeit trace zlib gzip bz2 lzma cmath math operator numbers
"""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Adapter:
    """The two factors of a low-rank update of one matrix; the update is `up @ down * scale`."""

    down: Tensor
    up: Tensor
    scale: float

    def product(self) -> Tensor:
        """The update as a full matrix."""
        return self.up @ self.down * self.scale


class Text:
    """Pairs of texts that mean the same, as batches of token ids."""

    def __init__(self, tokenizer: Path) -> None:
        self._pairs = docstring_pairs()
        self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding(length=TOKENS)

    def batches(
        self, seed: int, count: int, part: tuple[float, float] = (0.0, 1.0)
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give `count` batches of ids and masks from a part of the pairs.

        The first half of the rows of a batch are the names, the second half what belongs to them.
        """
        random = np.random.default_rng(seed)
        low, high = (int(share * len(self._pairs)) for share in part)
        for _ in range(count):
            chosen = [self._pairs[i] for i in random.choice(np.arange(low, high), BATCH, False)]
            texts = [name for name, _ in chosen] + [text for _, text in chosen]
            encoded = self._tokenizer.encode_batch(texts)
            ids = torch.tensor([one.ids for one in encoded])
            yield ids, torch.tensor([one.attention_mask for one in encoded])


def docstring_pairs() -> list[Pair]:
    """Return (name, what it does) of the public functions and classes of the standard library."""
    found: dict[str, Pair] = {}
    for module_name in _MODULES.split():
        module = importlib.import_module(module_name)
        for name, thing in sorted(vars(module).items()):
            for qualified, member in _members(f"{module_name}.{name}", thing):
                text = paragraph(getattr(member, "__doc__", None))
                if len(text) > 25 and not qualified.rpartition(".")[2].startswith("_"):
                    words = qualified.replace(".", " ").replace("_", " ")
                    found.setdefault(text, (words, text[:160]))
    return list(found.values())


def _members(name: str, thing: object) -> Iterator[tuple[str, object]]:
    yield name, thing
    if inspect.isclass(thing):
        for key, member in sorted(vars(thing).items()):
            if callable(member):
                yield f"{name}.{key}", member


def paragraph(docstring: object) -> str:
    """Return the first paragraph of a docstring on one line, "" for anything else."""
    if not isinstance(docstring, str):
        return ""
    return " ".join(docstring.split("\n\n")[0].split())


def read(weights: Path) -> State:
    """Return the published weights by name."""
    state: State = load_file(weights)
    return state


def is_decayed(name: str) -> bool:
    """Tell whether training decays a weight: biases and normalisation are left out."""
    return not (name.endswith(".bias") or "LayerNorm" in name)


def fresh(shapes: State, seed: int) -> State:
    """Return weights as training from scratch starts with: N(0, 0.02), ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, like in shapes.items():
        if not like.is_floating_point():
            state[name] = like.clone()
        elif name.endswith("LayerNorm.weight"):
            state[name] = torch.ones_like(like)
        elif name.endswith(".bias"):
            state[name] = torch.zeros_like(like)
        else:
            state[name] = torch.empty_like(like).normal_(0.0, 0.02, generator=generator)
    return state


def loss(
    state: State,
    batch: tuple[Tensor, Tensor],
    *,
    sparse: bool = False,
    adapters: Mapping[str, Adapter] | None = None,
) -> Tensor:
    """Return the contrastive loss of a batch: each name must find its own text."""
    vectors = encode(state, *batch, sparse=sparse, adapters=adapters or {})
    half = len(vectors) // 2
    scores = vectors[:half] @ vectors[half:].T * TEMPERATURE
    return functional.cross_entropy(scores.float(), torch.arange(half))


def encode(
    state: State, ids: Tensor, mask: Tensor, *, sparse: bool, adapters: Mapping[str, Adapter]
) -> Tensor:
    """Return one unit vector a row."""
    words = functional.embedding(ids, state[WORDS], sparse=sparse)
    positions = state["embeddings.position_embeddings.weight"][: ids.shape[1]]
    kind = state["embeddings.token_type_embeddings.weight"][0]
    x = _normalised(state, "embeddings.LayerNorm", words + positions + kind)
    attended = mask[:, None, None, :].bool()
    for index in range(LAYERS):
        x = _layer(state, f"encoder.layer.{index}.", x, attended, adapters)
    kept = mask[:, :, None].to(x.dtype)
    return functional.normalize((x * kept).sum(1) / kept.sum(1), dim=1)


def _layer(
    state: State, prefix: str, x: Tensor, attended: Tensor, adapters: Mapping[str, Adapter]
) -> Tensor:
    def linear(value: Tensor, name: str) -> Tensor:
        weight = state[f"{prefix}{name}.weight"]
        if adapter := adapters.get(prefix + name):
            weight = weight + adapter.product()
        return functional.linear(value, weight, state[f"{prefix}{name}.bias"])

    rows, length, _ = x.shape
    split = [
        linear(x, f"attention.self.{part}").view(rows, length, HEADS, -1).transpose(1, 2)
        for part in ("query", "key", "value")
    ]
    heads = functional.scaled_dot_product_attention(*split, attn_mask=attended)
    joined = heads.transpose(1, 2).reshape(rows, length, HIDDEN)
    y = x + linear(joined, "attention.output.dense")
    y = _normalised(state, f"{prefix}attention.output.LayerNorm", y)
    inner = functional.gelu(linear(y, "intermediate.dense"))
    return _normalised(state, f"{prefix}output.LayerNorm", y + linear(inner, "output.dense"))


def _normalised(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return functional.layer_norm(x, (HIDDEN,), weight, bias, 1e-12)

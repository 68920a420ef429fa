"""The pairs of real models that docs/diff.md shows, and a way to write its output anew.

python -m tests.diff.real_pairs .models docs/diff.md
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from safetensors.numpy import load_file, save_file

from examples.models import fetch
from mvc.cli.main import run
from tests.docs import pages

KEYS = ("silero-5.1.2", "silero-6.0.0", "chgnet", "minilm", "minilm-int8")


def prepare(cache: Path, folder: Path) -> None:
    """Put the files of the pairs into a folder, those that are derived from real ones made anew."""
    fetch(KEYS, cache)
    copies = {
        "silero-5.1.2.onnx": "silero-5.1.2/silero_vad.onnx",
        "silero-6.0.0.onnx": "silero-6.0.0/silero_vad.onnx",
        "silero-16k.onnx": "silero-6.0.0/silero_vad_16k_op15.onnx",
        "chgnet-0.3.0.pth": "chgnet/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "chgnet-r2scan.pth": "chgnet/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "minilm.safetensors": "minilm/model.safetensors",
        "minilm-int8.onnx": "minilm-int8/model.onnx",
    }
    for name, source in copies.items():
        shutil.copyfile(cache / source, folder / name)
    _clipped(folder / "silero-16k.onnx", folder / "silero-clipped.onnx")
    weights = load_file(folder / "minilm.safetensors")
    half = {
        name: array.astype("f2") if array.dtype == np.float32 else array
        for name, array in weights.items()
    }
    save_file(half, folder / "minilm-fp16.safetensors", {"format": "pt"})
    name = "embeddings.word_embeddings.weight"
    rows = np.random.default_rng(1).standard_normal((16, 384), dtype="f4") * np.float32(0.02)
    grown = {**weights, name: np.concatenate([weights[name], rows])}
    save_file(grown, folder / "minilm-30538.safetensors", {"format": "pt"})
    renamed = {
        key.replace("encoder.layer.3.", "encoder.block.3."): array for key, array in weights.items()
    }
    save_file(renamed, folder / "minilm-renamed.safetensors", {"format": "pt"})


def _clipped(source: Path, target: Path) -> None:
    """Clip what the first convolution of an encoder gives, by a new operator with its bounds."""
    model = onnx.load(source)
    place, conv = next(
        (place, node)
        for place, node in enumerate(model.graph.node)
        if node.op_type == "Conv" and "encoder" in node.name
    )
    plain = conv.output[0]
    bounds = [
        helper.make_node("Constant", [], [f"clip_{name}"], name=f"clip/{name}", value_float=value)
        for name, value in (("low", -8.0), ("high", 8.0))
    ]
    clip = helper.make_node("Clip", [plain, "clip_low", "clip_high"], ["clipped"], name="clip")
    for node in model.graph.node:
        for number, name in enumerate(node.input):
            if name == plain:
                node.input[number] = "clipped"
    for number, node in enumerate([*bounds, clip]):
        model.graph.node.insert(place + 1 + number, node)
    onnx.save(model, target)


def shown(page: Path) -> Iterator[pages.Example]:
    """Yield the commands of a page that compare two files of models, and what it shows."""
    for block in pages.blocks(page):
        if block.language == "console" and "no-test" in block.info:
            yield from pages._commands(block)


def printed(command: str) -> list[str]:
    """Run a command in this process and return the lines that it prints."""
    name, *arguments = shlex.split(command)
    if name != "mvc":
        raise ValueError(command)
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out):
        run(arguments)
        out.flush()
    text = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def write(cache: Path, page: Path) -> None:
    """Replace what a page shows by what its commands print now."""
    lines = page.read_text("utf-8").splitlines()
    found = list(shown(page))
    os.environ["COLUMNS"] = "112"  # noqa: TID251
    with tempfile.TemporaryDirectory() as folder:
        prepare(cache.resolve(), Path(folder))
        with contextlib.chdir(folder):
            results = [printed(example.command) for example in found]
    for example, result in reversed(list(zip(found, results, strict=True))):
        lines[example.last : example.last + len(example.shown)] = result
    page.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))

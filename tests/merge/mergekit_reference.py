"""What mergekit makes of tensors. Run by an interpreter that has mergekit; needs nothing of mvc.

    python mergekit_reference.py IN.safetensors OUT.safetensors

IN has for each case, described in its metadata, the tensors CASE/0 (the base), CASE/1, ... and for
dare CASE/mask/1, ... OUT has the results, computed by mergekit in `work`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import torch
from mergekit.merge_methods.api import merge_tensors
from safetensors import safe_open
from safetensors.torch import save_file


def main(source: str, target: str) -> None:
    torch.set_num_threads(1)
    results = {}
    plain = torch.argsort

    # Of equal magnitudes mergekit keeps any; so that one can compare, the first ones.
    def argsort(values: torch.Tensor, descending: bool = False) -> torch.Tensor:
        return plain(values, descending=descending, stable=True)

    torch.argsort = argsort
    with safe_open(source, "pt") as file:
        cases = json.loads(file.metadata()["cases"])
        for case in cases:
            name = case["name"]
            count = case["count"]
            tensors = [file.get_tensor(f"{name}/{place}") for place in range(count)]
            masks = iter(
                [file.get_tensor(f"{name}/mask/{place}") for place in range(1, count)]
                if case["masked"]
                else []
            )

            def bernoulli(
                chances: torch.Tensor, masks: Iterator[torch.Tensor] = masks
            ) -> torch.Tensor:
                return next(masks).reshape(chances.shape).to(chances.dtype)

            torch.bernoulli = bernoulli
            work = getattr(torch, case["work"]) if case["work"] else None
            results[name] = merge_tensors(
                tensors,
                case["method"],
                parameters=case["parameters"],
                base_index=0,
                dtype=work,
                out_dtype=tensors[0].dtype,
            ).contiguous()
    save_file(results, target)


if __name__ == "__main__":
    main(*sys.argv[1:])

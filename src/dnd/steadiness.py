"""Refuse networks that are random in evaluation: the same images would get other labels in every run."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dnd.outputs import TargetError, tensor_of, watched
from dnd.targets import Target

ROUNDING = {"cpu": 1e-5}
GPU_ROUNDING = 1e-2
"""Share of a module's largest value by which two runs may differ, since sums are added in any order."""
DIFFERS = "is not the same when the network sees the same images again"
WITHOUT_MASKS = {
    "vit_mae": "set `architecture: ViTModel` with `arguments: {add_pooling_layer: false}`, of the same weights",
}
"""Kind of a transformers model that leaves out patches at random -> what does not."""


def require(target: Target, inputs: Tensor, layers: Collection[str]) -> None:
    """Run images twice through a network, and raise an error where a layer returns something else the second time.

    Parameters
    ----------
    inputs : [n, channels, h, w]; a few images are enough.

    Raises
    ------
    TargetError
        The network draws at random, or changes with each call; the first module that differs is named.
    """
    if not (unsteady := differing(target, inputs, layers)):
        return
    named = [name for name, _ in target.model.named_modules() if name]
    first = next(iter(differing(target, inputs, named)), unsteady[0])  # none where only the first call was another
    kind = getattr(getattr(target.model, "config", None), "model_type", None)
    remedy = WITHOUT_MASKS.get(str(kind), "switch that off by a class or argument, or in the network's code")
    raise TargetError(
        f"layer {unsteady[0]!r} {DIFFERS}: it draws at random, or changes with each call, first in {first} "
        f"({type(target.module(first)).__name__}); {remedy}"
    )


def differing(target: Target, inputs: Tensor, layers: Collection[str]) -> list[str]:
    """Return those of some layers, in the order of returns, whose output is another one in a second run.

    Parameters
    ----------
    inputs : [n, channels, h, w].
    """
    runs: list[dict[str, list[Tensor]]] = [{}, {}]

    def keep(run: dict[str, list[Tensor]], layer: str, module: nn.Module, args: Any, output: Any) -> None:
        if (tensor := tensor_of(output)) is not None:
            run.setdefault(layer, []).append(tensor.clone())

    modules = {layer: target.module(layer) for layer in layers}
    for run in runs:
        with torch.inference_mode(), watched(modules.items(), partial(keep, run)):
            target.forward(inputs)
    return [
        layer
        for layer, before in runs[0].items()
        if len(before) != len(after := runs[1].get(layer, [])) or any(map(_differ, before, after))
    ]


def _differ(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape or torch.equal(before, after):
        return before.shape != after.shape
    values = [run.float().nan_to_num() for run in (before, after)]
    allowed = (
        ROUNDING.get(before.device.type, GPU_ROUNDING) * max(float(values[0].abs().max()), 0) if len(before) else 0
    )
    return bool((values[0] - values[1]).abs().gt(allowed).any())

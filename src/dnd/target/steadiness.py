"""Refuse networks that are random in evaluation: the same images would get other labels in every run."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from dnd.target.network import Target
from dnd.target.outputs import TargetError, tensor_of, watched

CPU_ROUNDING, GPU_ROUNDING = 1e-5, 1e-2
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
    kept: dict[str, list[Tensor]] = {}
    unsteady = set[str]()

    def keep(layer: str, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        if (tensor := tensor_of(output)) is not None:
            kept.setdefault(layer, []).append(tensor.clone())

    def compare(layer: str, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        tensor, before = tensor_of(output), kept.get(layer)
        if tensor is not None and (not before or _differ(before.pop(0), tensor)):
            unsteady.add(layer)

    modules = target.modules(layers)
    for watch in (keep, compare):
        with torch.inference_mode(), watched(modules, watch):
            target.forward(inputs)
    return [layer for layer, left in kept.items() if left or layer in unsteady]  # left: called less often


def _differ(before: Tensor, after: Tensor) -> bool:
    """Tell whether two outputs differ by more than rounding."""
    if before.shape != after.shape or torch.equal(before, after):
        return before.shape != after.shape
    first, second = (run.float().nan_to_num() for run in (before, after))
    rounding = CPU_ROUNDING if before.device.type == "cpu" else GPU_ROUNDING
    return bool((first - second).abs().gt(rounding * first.abs().max()).any())

"""Change what a layer hands on while the network runs: silence units, or put other values in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from dnd.target import basis as bases
from dnd.target.basis import Directions, Heads
from dnd.target.network import Target
from dnd.target.outputs import TargetError, tensor_of

T = TypeVar("T")


def with_tensor(output: T, tensor: Tensor) -> T:
    """Return a module's output with another tensor for the one that :func:`dnd.target.outputs.tensor_of` takes.

    Raises
    ------
    TargetError
        The output is of a kind that cannot be put together anew.
    """
    old = tensor_of(output)
    if output is old:
        return tensor  # type: ignore[return-value]
    if isinstance(output, tuple | list):
        parts = [tensor if one is old else one for one in output]
        make: Any = getattr(type(output), "_make", type(output))
        return make(parts)
    if isinstance(output, dict):
        changed = {key: tensor if one is old else one for key, one in output.items()}
        return type(output)(**changed)  # a dictionary, or a ModelOutput of transformers
    if hasattr(output, "__dataclass_fields__"):
        name = next(name for name, one in vars(output).items() if one is old)
        return replace(output, **{name: tensor})  # type: ignore[type-var]
    raise TargetError(f"returns {type(output).__name__}, in which no unit can be silenced")


@contextmanager
def silenced(target: Target, layer: str, units: Sequence[int], images: int) -> Iterator[None]:
    """Keep units of a layer at zero, at every position and in every call, until the context ends.

    Channels are set to zero; of directions the projection on them is taken out of the channels; of attention heads
    what they hand to the output projection.

    Parameters
    ----------
    images : how many the network is given at once, which tells the axes of outputs apart.

    Raises
    ------
    TargetError
        There is no such layer or unit, or units are latents of a sparse autoencoder, whose file is read without the
        decoder.
    """
    module = target.module(layer)
    if not len(units):
        yield
        return
    if bases.reads_input(target.basis):
        handle: Any = module.register_forward_pre_hook(_before(target, layer, units))
    else:
        if target.told.layout == "auto":
            _ = target.census  # no other pass can be made from inside one
        handle = module.register_forward_hook(_after(target, layer, units, images))
    try:
        yield
    finally:
        handle.remove()


def _after(target: Target, layer: str, units: Sequence[int], images: int) -> Any:
    one = None if target.basis is None else bases.load(target.basis, target.model, layer, target.device)
    if one is not None:
        if not isinstance(one, Directions):
            raise TargetError(f"layer {layer!r}: a latent of a sparse autoencoder cannot be silenced here")
        _require(layer, units, one.units)

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        tensor = tensor_of(output)
        if tensor is None:
            raise TargetError(f"layer {layer!r} returns {type(output).__name__} without a tensor")
        axis = target.axes(layer, module, tensor, images).index("C")
        if one is None:
            _require(layer, units, tensor.shape[axis])
            return with_tensor(output, tensor.index_fill(axis, torch.tensor(units, device=tensor.device), 0))
        values = tensor.movedim(axis, -1).float()
        changed = without_directions(values, one.rows[list(units)], one.mean)
        return with_tensor(output, changed.to(tensor.dtype).movedim(-1, axis))

    return hook


def _before(target: Target, layer: str, units: Sequence[int]) -> Any:
    assert target.basis is not None
    one = bases.load(target.basis, target.model, layer, target.device)
    assert isinstance(one, Heads)
    _require(layer, units, one.units)

    def hook(module: nn.Module, args: Any) -> Any:
        by_head = args[0].unflatten(-1, (one.units, -1))
        silent = by_head.index_fill(-2, torch.tensor(units, device=by_head.device), 0)
        return (silent.flatten(-2), *args[1:])

    return hook


def without_directions(values: Tensor, rows: Tensor, mean: Tensor) -> Tensor:
    """Return the closest values [..., channels] whose projections (x - mean) . row are all zero.

    Parameters
    ----------
    rows : float32 [k, channels], of any length and at any angle.
    mean : float32 [channels].
    """
    centred = values - mean
    return values - centred @ rows.T @ torch.linalg.pinv(rows.T)


def _require(layer: str, units: Sequence[int], there: int) -> None:
    unknown = [unit for unit in units if not 0 <= unit < there]
    if unknown:
        raise TargetError(f"layer {layer!r} has no unit {unknown[0]}: its units are 0 to {there - 1}")


def calls_of(target: Target, layer: str, inputs: Tensor) -> int:
    """Return how often the network calls a layer for some inputs.

    Raises
    ------
    TargetError
        It never does.
    """
    count = 0

    def hook(module: nn.Module, args: Any) -> None:
        nonlocal count
        count += 1

    handle = target.module(layer).register_forward_pre_hook(hook)
    try:
        with torch.no_grad():
            target.forward(inputs)
    finally:
        handle.remove()
    if not count:
        raise TargetError(f"layer {layer!r} is not called when the network sees an image")
    return count


@contextmanager
def changed(target: Target, layer: str, calls: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let ``change`` make anew what a layer's units are made of, in the last of so many calls.

    That is the layer's output or, of attention heads, its input.
    """
    count = 0

    def last() -> bool:
        nonlocal count
        count += 1
        return count == calls

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        tensor = tensor_of(output)
        if tensor is None:
            raise TargetError(f"layer {layer!r} returns {type(output).__name__} without a tensor")
        return with_tensor(output, change(tensor)) if last() else output

    def before(module: nn.Module, args: Any) -> Any:
        return (change(args[0]), *args[1:]) if last() else args

    module = target.module(layer)
    if bases.reads_input(target.basis):
        handle: Any = module.register_forward_pre_hook(before)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def logits_of(target: Target, inputs: Tensor) -> Tensor:
    """Run inputs [n, channels, h, w] through the network and return its logits [n, classes].

    Raises
    ------
    TargetError
        What it returns has another form.
    """
    found = tensor_of(target.forward(inputs))
    if found is None or found.ndim != 2 or len(found) != len(inputs):
        shape = None if found is None else list(found.shape)
        raise TargetError(f"the network returns {shape} for {len(inputs)} images; expected images x classes")
    return found

"""Change what a layer hands on while the network runs: silence units, or put other values in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from dnd.target import basis as bases
from dnd.target.basis import Directions, Heads
from dnd.target.network import Target
from dnd.target.outputs import TargetError, required_tensor, tensor_of

T = TypeVar("T")


def with_tensor(output: T, tensor: Tensor) -> T:
    """Return a module's output with another tensor for that of :func:`tensor_of`; a TargetError where none fits."""
    old, kind = tensor_of(output), type(output)
    if output is old:
        return tensor  # type: ignore[return-value]
    if isinstance(output, tuple | list):
        make: Callable[[list[object]], T] = getattr(kind, "_make", kind)
        return make([tensor if part is old else part for part in output])
    if isinstance(output, dict):  # or a ModelOutput of transformers
        return kind(**{key: tensor if part is old else part for key, part in output.items()})
    if is_dataclass(output):
        return replace(output, **{key: tensor for key, part in vars(output).items() if part is old})  # type: ignore[type-var]
    raise TargetError(f"returns {kind.__name__}, in which no unit can be silenced")


@contextmanager
def changed(target: Target, layer: str, call: int | None, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Let ``change`` make anew what a layer's units are made of, in one of its calls, counted from 1, or in all.

    That is the layer's output or, of attention heads, its input.
    """
    count = 0

    def made(values: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return change(values) if call in (None, count) else values

    def after(module: nn.Module, args: tuple[object, ...], output: object) -> object:
        try:
            tensor = required_tensor(output)
        except TargetError as error:
            raise TargetError(f"layer {layer!r} {error}") from None
        return with_tensor(output, made(tensor))

    def before(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (made(args[0]), *args[1:])

    module = target.module(layer)
    if bases.reads_input(target.basis):
        handle = module.register_forward_pre_hook(before)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


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
    basis = None if target.basis is None else bases.load(target.basis, target.model, layer, target.device)
    if basis is not None and not isinstance(basis, Directions | Heads):
        raise TargetError(f"layer {layer!r}: a latent of a sparse autoencoder cannot be silenced here")
    if not isinstance(basis, Heads) and target.told.layout == "auto":
        _ = target.census  # no other pass can be made from inside one

    def require(there: int) -> None:
        unknown = [unit for unit in units if not 0 <= unit < there]
        if unknown:
            raise TargetError(f"layer {layer!r} has no unit {unknown[0]}: its units are 0 to {there - 1}")

    def silent(values: Tensor, axis: int) -> Tensor:
        require(values.shape[axis])
        return values.index_fill(axis, torch.tensor(units, device=values.device), 0)

    def change(values: Tensor) -> Tensor:
        if isinstance(basis, Heads):
            return silent(values.unflatten(-1, (basis.units, -1)), -2).flatten(-2)
        axis = target.axes(layer, module, values, images).index("C")
        if basis is None:
            return silent(values, axis)
        rest = without_directions(values.movedim(axis, -1).float(), basis.rows[list(units)], basis.mean)
        return rest.to(values.dtype).movedim(-1, axis)

    if basis is not None:
        require(basis.units)
    with changed(target, layer, None, change):
        yield


def without_directions(values: Tensor, rows: Tensor, mean: Tensor) -> Tensor:
    """Return the closest values [..., channels] whose projections (x - mean) . row are all zero.

    Parameters
    ----------
    rows : float32 [k, channels], of any length and at any angle.
    mean : float32 [channels].
    """
    centred = values - mean
    return values - centred @ rows.T @ torch.linalg.pinv(rows.T)


def logits_of(target: Target, inputs: Tensor) -> Tensor:
    """Return the network's logits [n, classes] for inputs [n, channels, h, w]; a TargetError where it has none."""
    logits = tensor_of(target.forward(inputs))
    if logits is None or logits.ndim != 2 or len(logits) != len(inputs):
        shape = None if logits is None else list(logits.shape)
        raise TargetError(f"the network returns {shape} for {len(inputs)} images; expected images x classes")
    return logits

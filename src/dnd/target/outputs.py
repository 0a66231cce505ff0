"""What the modules of vision networks return, brought into one arrangement: positions of the image x channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.GroupNorm,
)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm)
FRAMES_OR_SLICES = "; of frames or slices set models.NAME.layout to NCDHW or NDHWC, and they are averaged over D"
"""What is said besides of an output with five axes."""


class TargetError(ValueError):
    """A network or a layer cannot be used as it is; the message says why, and which setting would help."""


class Output(NamedTuple):
    """A module's output for a batch of n images.

    Attributes
    ----------
    positions : [n, positions, channels]; a single position where the output has none.
    grid : height and width of the positions, row by row; None for an output without positions.
    cls : [n, channels], the class token; None where there is none.
    """

    positions: Tensor
    grid: tuple[int, int] | None
    cls: Tensor | None


class Tokens(NamedTuple):
    """Which of a layer's tokens show which place of the image.

    Attributes
    ----------
    prefix, suffix : tokens before and behind those of the image: class token, registers, prompts.
    grid : height and width of the image's tokens; None where a single token stands for the whole image.
    order : for each position row by row its token, counted from the image's first; None where they lie in rows.
    """

    prefix: int
    suffix: int
    grid: tuple[int, int] | None
    order: Tensor | None = None


class Form(NamedTuple):
    """How the output of a layer is to be read.

    Attributes
    ----------
    layout : ``NCHW``, ``NHWC``, ``NTC``, ``TNC``, ``NCT``, ``NC``, ``NCDHW``, ``NDHWC`` or ``auto``.
    size : height and width of the network's input, whose proportions the positions have.
    tokens : of a layout with tokens.
    """

    layout: str
    size: tuple[int, int]
    tokens: Tokens | None = None


@contextmanager
def watched(
    modules: Mapping[str, nn.Module],
    after: Callable[[str, nn.Module, tuple[object, ...], object], None],
    before: Callable[[str, nn.Module, tuple[object, ...]], None] | None = None,
) -> Iterator[None]:
    """Call ``after`` with a layer's name, module, arguments and output whenever the network has called it.

    ``before`` is given all but the output, before the call.

    Parts of a TorchScript network are left out: their calls are not seen.
    """
    handles = []
    try:
        for layer, module in modules.items():
            if not isinstance(module, torch.jit.RecursiveScriptModule):
                handles.append(module.register_forward_hook(partial(after, layer)))
                handles += [module.register_forward_pre_hook(partial(before, layer))] if before else []
        yield
    finally:
        for handle in handles:
            handle.remove()


def tensor_of(output: object) -> Tensor | None:
    """Return the tensor of a module's output: itself, or the first one of a tuple, list, mapping or dataclass."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list):
        parts: Iterable[object] = output
    else:
        parts = (output if isinstance(output, Mapping) else getattr(output, "__dict__", {})).values()
    return next((part for part in parts if isinstance(part, Tensor)), None)


def required_tensor(output: object) -> Tensor:
    """Return the tensor of a module's output, as :func:`tensor_of`; a TargetError where there is none."""
    tensor = tensor_of(output)
    if tensor is None:
        raise TargetError(f"returns {type(output).__name__} without a tensor")
    return tensor


def arranged(output: object, module: nn.Module, images: int, form: Form) -> Output:
    """Bring what a module returned for some images into one arrangement.

    Parameters
    ----------
    images : how many there were.

    Raises
    ------
    TargetError
        There is no tensor with an axis of images and one of units, or its axes cannot be told apart.
    """
    tensor = required_tensor(output)
    if not tensor.is_floating_point() and not tensor.is_complex():
        tensor = tensor.float()
    layout = layout_of(tensor, module, images, form)
    if "D" in layout:  # frames of a video, slices of a volume
        tensor, layout = tensor.mean(layout.index("D"), dtype=torch.float32), layout.replace("D", "")
    shape = list(tensor.shape)
    match layout:
        case "NCHW":
            return Output(tensor.flatten(2).transpose(1, 2), (shape[2], shape[3]), None)
        case "NHWC":
            return Output(tensor.flatten(1, 2), (shape[1], shape[2]), None)
        case "NC":
            return Output(tensor[:, None], None, None)
        case "TNC":
            tensor = tensor.transpose(0, 1)
        case "NCT":
            tensor = tensor.transpose(1, 2)
    assert form.tokens is not None
    prefix, suffix, grid, order = form.tokens
    positions = tensor[:, prefix : tensor.shape[1] - suffix]
    if order is not None:
        positions = positions[:, order.to(positions.device)]
    return Output(positions, grid, tensor[:, 0] if prefix else None)


def layout_of(tensor: Tensor, module: nn.Module, images: int, form: Form) -> str:
    """Return what the axes of a module's output tensor are, such as ``NCHW``.

    Raises
    ------
    TargetError
        They cannot be told apart, or are not what the settings say.
    """
    shape = list(tensor.shape)
    layout = form.layout if form.layout != "auto" else _layout(shape, module, images, form.size)
    if len(layout) != len(shape) or shape[layout.index("N")] != images:
        raise TargetError(f"returns {spelt(shape)} for {images} image(s), which is not {layout}")
    return layout


def _layout(shape: list[int], module: nn.Module, images: int, size: tuple[int, int]) -> str:
    """Find out what the axes of an output are."""
    match len(shape):
        case 2 if shape[0] == images:
            return "NC"
        case 3 if shape[0] == images:
            return "NTC"
        case 3 if shape[1] == images:
            return "TNC"
        case 4 if shape[0] == images:
            return _channels_first_or_last(shape, module, size)
    raise _no_units(shape)


def _channels_first_or_last(shape: list[int], module: nn.Module, size: tuple[int, int]) -> str:
    """Tell [n, units, h, w] from [n, h, w, units]: positions have the proportions of the input."""
    first = last = False
    for tolerance in (0, max(size)):  # exactly, or rounded by one position
        first, last = (in_proportion((h, w), size, tolerance) for h, w in (shape[2:4], shape[1:3]))
        if first != last:
            return "NCHW" if first else "NHWC"
        if first:
            break
    if not first:
        raise _no_units(shape)
    telling = [part for part in module.modules() if isinstance(part, CHANNELS_FIRST + CHANNELS_LAST)]
    for layout, kinds in (("NCHW", CHANNELS_FIRST), ("NHWC", CHANNELS_LAST)):
        if telling and all(isinstance(part, kinds) for part in telling):
            return layout
    raise TargetError(f"returns {spelt(shape[1:])}, which may be NCHW or NHWC: set models.NAME.layout")


def _no_units(shape: list[int]) -> TargetError:
    return TargetError(
        f"returns {spelt(shape)}; expected images x units, images x units x h x w, images x h x w x units or images x "
        "tokens x units, with h and w in the proportions of the input" + (FRAMES_OR_SLICES if len(shape) == 5 else "")
    )


def in_proportion(grid: tuple[int, int], size: tuple[int, int], tolerance: int) -> bool:
    """Tell whether a grid has an input's proportions; a tolerance of its longer side lets one position be rounded."""
    return abs(grid[0] * size[1] - grid[1] * size[0]) <= tolerance


def spelt(shape: Sequence[int]) -> str:
    """Return a shape as messages have it, such as ``256x7x7``."""
    return "x".join(map(str, shape))

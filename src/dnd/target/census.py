"""What the modules of a network make of pictures of which one place after the other is changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from dnd.target import places
from dnd.target.outputs import in_proportion, tensor_of, watched
from dnd.target.places import CLEAR, PICTURES, Floats, Grid


class Seen(NamedTuple):
    """What a module made of the pictures, in an output of three axes.

    Attributes
    ----------
    layer : dotted name.
    axis : that of the pictures, 0 or 1.
    sizes : of the two other axes.
    changes : for each of the two axes float64 [pictures but grey, size], how much changed against grey.
    """

    layer: str
    axis: int
    sizes: tuple[int, int]
    changes: tuple[Floats, Floats]


@dataclass
class Census:
    """What all modules of a network made of the pictures.

    Attributes
    ----------
    size : height and width of the network's input.
    seen : outputs of three axes, in the order of calls.
    grids : heights and widths of the maps that modules returned.
    orders : of tokens that the network itself knows how to put back in rows.
    unclear : layers whose maps have sides that halving the input's does not make, and show no place.
    """

    size: Grid
    seen: list[Seen] = field(default_factory=list)
    grids: set[Grid] = field(default_factory=set)
    orders: list[Tensor] = field(default_factory=list)
    unclear: set[str] = field(default_factory=set)

    def is_between_tokens(self, sides: Grid) -> bool:
        """Tell whether sides are those of an attention map: as many as tokens, and no grid of the input's pixels."""
        if not sides[0] == sides[1] > 1 or sides in _halves({self.size}):
            return False
        return sides[0] in {*(seen.sizes[0] for seen in self.seen), *map(math.prod, self.grids)}

    def axis_of_images(self, layer: str) -> int:
        """Return the axis of images in the last output of a layer."""
        return next((seen.axis for seen in reversed(self.seen) if seen.layer == layer), 0)

    def last(self, layer: str, sizes: tuple[int, int]) -> Seen | None:
        """Return the last output of a layer."""
        return next((seen for seen in reversed(self.seen) if (seen.layer, seen.sizes) == (layer, sizes)), None)

    def first(self, outer: str, count: int) -> Seen | None:
        """Return the first output of so many tokens inside a module; the empty name is the network's."""
        inside = f"{outer}." if outer else ""
        of_count = (seen for seen in self.seen if seen.sizes[0] == count)
        return next((seen for seen in of_count if seen.layer == outer or seen.layer.startswith(inside)), None)

    def changing(self, count: int) -> Floats | None:
        """Return what changed where so many tokens are seen first; None where they are not, or nothing changes."""
        of_count = (seen.changes[0] for seen in self.seen if seen.sizes[0] == count)
        return next((changes for changes in of_count if changes.max() > 0), None)

    def known_grids(self) -> set[Grid]:
        """Return pixels, grids of the network's maps, and what merging patches makes of these."""
        return {self.size} | _halves({grid for grid in self.grids if not self.is_between_tokens(grid)})

    def grid(self, count: int) -> Grid | None:
        """Return the grid of so many places: in the input's proportions, else that of a map of the network."""
        known = sorted(grid for grid in self.known_grids() if math.prod(grid) == count)
        return of_proportions(count, self.size) or next(iter(known), None)

    def order_of(self, count: int) -> Tensor | None:
        """Return the order of so many tokens that the network knows."""
        return next((order for order in self.orders if len(order) == count), None)


def _halves(grids: set[Grid]) -> set[Grid]:
    """Grids, their halves, and the halves of these."""
    halved = grids | {(-(-height // 2), -(-width // 2)) for height, width in grids}
    return halved if halved == grids else _halves(halved)


def in_question(tensor: Tensor | None, size: Grid) -> bool:
    """Tell whether an output may hold tokens, or what holds between tokens, for an input of a height and width."""
    if tensor is None or tensor.ndim != 4:
        return tensor is not None and tensor.ndim == 3
    return any(height == width and (height, width) not in _halves({size}) for height, width in maps(tensor.shape))


def of_proportions(count: int, size: Grid) -> Grid | None:
    """Return height and width of so many places in the proportions of an input, None where they are no grid."""
    divisor = math.gcd(*size)
    high, wide = size[0] // divisor, size[1] // divisor
    times = math.isqrt(max(0, count) // (high * wide))
    return (times * high, times * wide) if times and times**2 * high * wide == count else None


def taken(
    model: nn.Module, forward: Callable[[Tensor], object], image: Callable[[Image.Image], Tensor], size: Grid
) -> Census:
    """Run the pictures through a network and return what its modules made of them.

    Parameters
    ----------
    forward : runs inputs [n, channels, h, w] through the network.
    image : RGB image -> input [channels, h, w].
    size : height and width of the input.
    """
    census = Census(size, orders=list(_orders(model)))

    def watch(layer: str, module: nn.Module, args: tuple[object, ...], output: object) -> None:
        tensor = tensor_of(output)
        if tensor is None or not tensor.is_floating_point():
            return
        if tensor.ndim == 4 and len(tensor) == PICTURES:
            grids = [grid for grid in maps(tensor.shape) if in_proportion(grid, size, max(size))]
            census.grids.update(grids)
            census.unclear.discard(layer)
            if in_question(tensor, size) and not any(_shows_places(tensor, grid) for grid in grids):
                census.unclear.add(layer)
        elif tensor.ndim == 3 and PICTURES in tensor.shape[:2]:
            axis = 0 if len(tensor) == PICTURES else 1
            tensor = tensor.movedim(axis, 0)
            values = tensor.float()
            change = (values[1:] - values[:1]).square()
            change[change < (places.ROUNDING * values.abs().amax()) ** 2] = 0
            sums = tuple(change.sum(other, dtype=torch.float64).cpu().numpy() for other in (2, 1))
            census.seen.append(Seen(layer, axis, tuple(tensor.shape[1:]), sums))  # type: ignore[arg-type]

    modules = {name: module for name, module in model.named_modules(remove_duplicate=False) if name}
    black, white = (image(Image.new("RGB", size[::-1], colour)) for colour in ("black", "white"))
    with torch.inference_mode(), watched(modules, watch):
        forward(places.pictures(black, white))
    return census


def maps(shape: Sequence[int]) -> tuple[Grid, Grid]:
    """Return the two grids that an output of four axes may have."""
    return (shape[2], shape[3]), (shape[1], shape[2])


def _shows_places(tensor: Tensor, grid: Grid) -> bool:
    """Tell whether maps change where the pictures do."""
    change = (tensor[2:].float() - tensor[:1].float()).square()
    sums = change.sum(1 if grid == maps(tensor.shape)[0] else 3, dtype=torch.float64)
    return places.share(sums.flatten(1).cpu().numpy(), grid, None) >= CLEAR


def _orders(model: nn.Module) -> Iterator[Tensor]:
    """For each position row by row the token that shows it, where a network has a way to put tokens back in rows.

    That of timm's and transformers' Hiera is ``reroll``, by the number of a block or stage.
    """
    for module in model.modules():
        reroll = getattr(module, "reroll", None)
        schedule = getattr(reroll, "schedule", getattr(module, "schedule", None))
        if callable(reroll) and isinstance(schedule, dict):
            for step, (_, grid) in schedule.items():
                numbers = torch.arange(math.prod(grid), dtype=torch.float64)
                yield reroll(numbers[None, :, None], step).flatten().long()

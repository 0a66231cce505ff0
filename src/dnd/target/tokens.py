"""Which tokens of a layer show which place of the image, found out by changing places of an image one after the other.

Shapes do not tell: a hundred queries would be ten rows of ten. What a network does to a grey picture with a texture in
one place does: before tokens are mixed, those that change are those of that place, and those that no picture changes
(class token, registers, prompts, queries) show none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from dnd.target import places
from dnd.target.outputs import Form, TargetError, Tokens, in_proportion, spelt, tensor_of, watched
from dnd.target.places import CLEAR, PICTURES, SIDE, Floats, Grid

SCATTERED = 0.25
"""Share of tokens that may change for the order to be judged: more do once tokens were mixed."""
MOST_ENDS = 64
"""Tokens that may be taken for others than the image's because what is left is as many as places of a map."""
ASK = "set models.NAME.prefix_tokens or suffix_tokens where they show the image, or describe another layer"


class Told(NamedTuple):
    """What the settings say of a network's outputs; None and ``auto`` to find out.

    Attributes
    ----------
    layout : see :class:`dnd.target.outputs.Form`.
    prefix, suffix, order : see :class:`dnd.target.outputs.Tokens`.
    """

    layout: str = "auto"
    prefix: int | None = None
    suffix: int | None = None
    order: Tensor | None = None


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


class Verdict(NamedTuple):
    """What a module's output says of tokens; all empty where tokens were mixed before."""

    tokens: Tokens | None = None
    constant: bool = False
    scattered: bool = False


UNKNOWN = Verdict()


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

    def form(self, told: Told, layer: str, shape: tuple[int, ...], images: int) -> Form:
        """Return how a layer's output is to be read.

        Parameters
        ----------
        shape : of its tensor for some images.

        Raises
        ------
        TargetError
            Nothing tells which tokens show which place of the image.
        """
        if told.order is not None and self.orders != [told.order]:
            return replace(self, orders=[told.order]).form(told, layer, shape, images)
        layout = told.layout
        if layout == "auto" and len(shape) == 4 and any(map(self._is_between_tokens, _maps(shape))):
            raise TargetError(f"returns {spelt(shape[1:])}, what holds between {shape[2]} tokens, not maps")
        if layout == "auto" and layer in self.unclear and self.seen:
            raise TargetError(
                f"returns {spelt(shape[1:])}, which nothing tells to be maps of the image: set models.NAME.layout"
            )
        if len(shape) != 3:
            return Form(layout, self.size)
        if layout == "auto" and images in shape[:2]:
            axis = self._axis_of_images(layer) if shape[0] == shape[1] else shape.index(images)
            layout = ("NTC", "TNC")[axis]
        if "T" not in layout or shape[layout.index("N")] != images:
            return Form(layout, self.size)  # which is refused
        sizes = tuple(count for axis, count in enumerate(shape) if axis != layout.index("N"))
        axis = layout.replace("N", "").index("T")
        if told.prefix is not None or told.suffix is not None:
            tokens: Tokens | str | None = self._as_told(told, sizes[axis])
        elif told.layout == "auto" and layout == "NTC":
            layout, tokens = self._found(layer, sizes)
        else:
            tokens = self._of(layer, sizes, axis)
        if tokens is None:
            tokens = f"whose {sizes[axis]} tokens nothing tells to be places of the image: {ASK}"
        if not isinstance(tokens, Tokens):
            raise TargetError(f"returns {spelt(sizes)}, {tokens}")
        if told.order is not None:
            if tokens.grid is None or len(told.order) != math.prod(tokens.grid):
                raise TargetError(f"has places {tokens.grid}; models.NAME.token_order is of {len(told.order)} tokens")
            tokens = tokens._replace(order=told.order)
        return Form(layout, self.size, tokens)

    def _is_between_tokens(self, sides: Grid) -> bool:
        """Tell whether sides are those of an attention map: as many as tokens, and no grid of the input's pixels."""
        if not sides[0] == sides[1] > 1 or sides in _halves({self.size}):
            return False
        return sides[0] in {*(seen.sizes[0] for seen in self.seen), *map(math.prod, self.grids)}

    def _axis_of_images(self, layer: str) -> int:
        return next((seen.axis for seen in reversed(self.seen) if seen.layer == layer), 0)

    def _found(self, layer: str, sizes: Sequence[int]) -> tuple[str, Tokens | str | None]:
        """Which of two axes is that of tokens, and what :meth:`_of` says of it."""
        clear = [axis for axis in (0, 1) if self._own(layer, sizes, axis)]
        if len(clear) == 1:
            return ("NTC", "NCT")[clear[0]], self._of(layer, sizes, clear[0])
        tokens = self._of(layer, sizes, 0)
        if sizes[0] == sizes[1] and isinstance(tokens, Tokens):
            return "NTC", "which may be NTC or NCT: set models.NAME.layout"
        if tokens is None and isinstance(last := self._of(layer, sizes, 1), Tokens):
            return "NCT", last
        return "NTC", tokens

    def _as_told(self, told: Told, count: int) -> Tokens | str:
        prefix, suffix = told.prefix or 0, told.suffix or 0
        grid = self._grid(count - prefix - suffix)
        if grid is None:
            return (
                f"{count} tokens, which are no grid for an input of {self.size[0]} x {self.size[1]} pixels after "
                f"{prefix} prefix tokens and before {suffix} suffix tokens: set models.NAME.prefix_tokens and "
                "suffix_tokens"
            )
        return Tokens(prefix, suffix, grid, self._order_of(math.prod(grid)))

    def _order_of(self, count: int) -> Tensor | None:
        return next((order for order in self.orders if len(order) == count), None)

    def _grid(self, count: int) -> Grid | None:
        """The grid of so many places: in the input's proportions, else that of a map of the network."""
        known = sorted(grid for grid in self._known_grids() if math.prod(grid) == count)
        return of_proportions(count, self.size) or next(iter(known), None)

    def _of(self, layer: str, sizes: Sequence[int], axis: int) -> Tokens | str | None:
        """Where the tokens of a layer lie, or why they cannot be places of the image; None where nothing tells.

        What a module returns is judged first, then what the modules around it saw first of so many tokens, the nearest
        first: a network may bring tokens into another order on its way.
        """
        count = sizes[axis]
        if count == 1:
            return Tokens(0, 0, None)
        if own := self._own(layer, sizes, axis):
            return own
        for outer in _around(layer):
            first = self._first(outer, count)
            verdict = self._judged(first.changes[0] if first else None)
            if verdict.tokens:
                return verdict.tokens
            if verdict.scattered:
                return (
                    f"whose {count} tokens do not lie in rows of the image: set models.NAME.token_order, or describe "
                    "another layer"
                )
            if verdict.constant and first and outer and not outer == layer == first.layer:
                return f"whose {count} tokens begin the same for every image, as queries do: {ASK}"
        again = (self._first(outer, count) for outer in _around(layer))
        verdicts = (self._judged(first.changes[0], more=True) for first in again if first)
        if tokens := next((verdict.tokens for verdict in verdicts if verdict.tokens), None):
            return tokens
        tokens, last = self._by_size(count), self._last(layer, sizes)
        if tokens and tokens.grid and last:
            inside = last.changes[axis][1:, tokens.prefix : count - tokens.suffix]
            return None if places.is_elsewhere(inside, tokens.grid, tokens.order) else tokens
        return tokens

    def _own(self, layer: str, sizes: Sequence[int], axis: int) -> Tokens | None:
        """Where the tokens of a layer lie by its own last output, where that is clear."""
        last = self._last(layer, sizes)
        return self._judged(last.changes[axis] if last else None).tokens

    def _last(self, layer: str, sizes: Sequence[int]) -> Seen | None:
        """The last output of a layer."""
        return next((seen for seen in reversed(self.seen) if (seen.layer, seen.sizes) == (layer, tuple(sizes))), None)

    def _first(self, outer: str, count: int) -> Seen | None:
        """The first output of so many tokens inside a module."""
        inside = f"{outer}." if outer else ""
        of_count = (seen for seen in self.seen if seen.sizes[0] == count)
        return next((seen for seen in of_count if seen.layer == outer or seen.layer.startswith(inside)), None)

    def _judged(self, changes: Floats | None, more: bool = False) -> Verdict:
        """What the changes of tokens tell.

        Parameters
        ----------
        more : whether tokens that do change may be others than the image's.
        """
        if changes is None:
            return UNKNOWN
        if not changes.max() > 0:
            return Verdict(constant=True)
        count, (prefix, suffix) = changes.shape[1], places.ends(changes)
        first = self._changing(count)
        seen_first = (prefix, suffix) if first is None else places.ends(first)
        ends = self._more(count, prefix, suffix) if more else [(prefix, suffix), seen_first]
        readings = [
            (places.share(changes[1:, before : count - behind], grid, order), Tokens(before, behind, grid, order))
            for before, behind in ends
            for grid, order in self._readings(count - before - behind)
        ]
        if not readings:
            return UNKNOWN
        share, tokens = max(readings, key=lambda reading: reading[0])
        if share >= CLEAR:
            return Verdict(tokens=tokens)
        shares = places.changed(changes)[1:, prefix : count - suffix].mean(1)
        return Verdict(scattered=bool(shares.min() > 0 and shares.max() <= SCATTERED))

    def _changing(self, count: int) -> Floats | None:
        """What changed where so many tokens are seen first; None where they are not, or nothing changes."""
        of_count = (seen.changes[0] for seen in self.seen if seen.sizes[0] == count)
        return next((changes for changes in of_count if changes.max() > 0), None)

    def _more(self, count: int, prefix: int, suffix: int) -> list[tuple[int, int]]:
        """How many tokens may stand before and behind those of the image, so that one of the network's maps is left.

        Such as a class token that was mixed with the rest before it was put in front of fewer.
        """
        rest = count - prefix - suffix
        known = {math.prod(grid) for grid in self._known_grids()}
        others = [rest - area for area in known if 0 < rest - area <= MOST_ENDS and area >= max(rest / 2, SIDE**2)]
        return [ends for extra in sorted(others) for ends in ((prefix + extra, suffix), (prefix, suffix + extra))]

    def _readings(self, count: int) -> Iterator[tuple[Grid, Tensor | None]]:
        """Grids and orders of so many tokens that are possible."""
        grids = {grid for grid in self._known_grids() if grid[0] * grid[1] == count}
        grids |= {grid for grid in [of_proportions(count, self.size)] if grid}
        for grid in sorted(grids):
            yield grid, None
            for order in self.orders:
                if len(order) == count:
                    yield grid, order

    def _known_grids(self) -> set[Grid]:
        """Pixels, grids of the network's maps, and what merging patches makes of these."""
        return {self.size} | _halves({grid for grid in self.grids if not self._is_between_tokens(grid)})

    def _by_size(self, count: int) -> Tokens | None:
        """Tokens that are as many as places of a map of the network, where nothing is left of places in them."""
        if (first := self._changing(count)) is None:
            return None
        prefix, suffix = places.ends(first)
        rest = count - prefix - suffix
        grid, order = self._grid(rest), self._order_of(rest)
        if grid is None or grid not in self._known_grids() or grid == (1, 1):
            return None
        return Tokens(prefix, suffix, grid, order)


def _halves(grids: set[Grid]) -> set[Grid]:
    """Grids, their halves, and the halves of these."""
    halved = grids | {(-(-height // 2), -(-width // 2)) for height, width in grids}
    return halved if halved == grids else _halves(halved)


def in_question(tensor: Tensor | None, size: Grid) -> bool:
    """Tell whether an output may hold tokens, or what holds between tokens, for an input of a height and width."""
    if tensor is None or tensor.ndim != 4:
        return tensor is not None and tensor.ndim == 3
    return any(height == width and (height, width) not in _halves({size}) for height, width in _maps(tensor.shape))


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
            grids = [grid for grid in _maps(tensor.shape) if in_proportion(grid, size, max(size))]
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


def _maps(shape: Sequence[int]) -> tuple[Grid, Grid]:
    """The two grids that an output of four axes may have."""
    return (shape[2], shape[3]), (shape[1], shape[2])


def _shows_places(tensor: Tensor, grid: Grid) -> bool:
    """Tell whether maps change where the pictures do."""
    change = (tensor[2:].float() - tensor[:1].float()).square()
    sums = change.sum(1 if grid == _maps(tensor.shape)[0] else 3, dtype=torch.float64)
    return places.share(sums.flatten(1).cpu().numpy(), grid, None) >= CLEAR


def _around(layer: str) -> Iterator[str]:
    """The modules around a layer, itself first, the whole network last."""
    parts = layer.split(".")
    for length in range(len(parts), -1, -1):
        yield ".".join(parts[:length])


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

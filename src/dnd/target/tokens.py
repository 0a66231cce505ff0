"""Which tokens of a layer show which place of the image, found out by changing places of an image one after the other.

Shapes do not tell: a hundred queries would be ten rows of ten. What a network does to a grey picture with a texture in
one place does: before tokens are mixed, those that change are those of that place, and those that no picture changes
(class token, registers, prompts, queries) show none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from dnd.target import places
from dnd.target.census import Census, maps, of_proportions
from dnd.target.outputs import Form, TargetError, Tokens, spelt
from dnd.target.places import CLEAR, SIDE, Floats, Grid

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


class Verdict(NamedTuple):
    """What a module's output says of tokens; all empty where tokens were mixed before."""

    tokens: Tokens | None = None
    constant: bool = False
    scattered: bool = False


UNKNOWN = Verdict()


def form(census: Census, told: Told, layer: str, shape: tuple[int, ...], images: int) -> Form:
    """Return how a layer's output is to be read.

    Parameters
    ----------
    shape : of its tensor for some images.

    Raises
    ------
    TargetError
        Nothing tells which tokens show which place of the image.
    """
    if told.order is not None:
        census = replace(census, orders=[told.order])
    layout = told.layout
    if layout == "auto" and len(shape) == 4 and any(map(census.is_between_tokens, maps(shape))):
        raise TargetError(f"returns {spelt(shape[1:])}, what holds between {shape[2]} tokens, not maps")
    if layout == "auto" and layer in census.unclear and census.seen:
        raise TargetError(
            f"returns {spelt(shape[1:])}, which nothing tells to be maps of the image: set models.NAME.layout"
        )
    if len(shape) != 3:
        return Form(layout, census.size)
    if layout == "auto" and images in shape[:2]:
        layout = ("NTC", "TNC")[census.axis_of_images(layer) if shape[0] == shape[1] else shape.index(images)]
    if "T" not in layout or shape[layout.index("N")] != images:
        return Form(layout, census.size)  # which is refused
    sizes = (shape[1], shape[2]) if layout.index("N") == 0 else (shape[0], shape[2])
    axis = layout.replace("N", "").index("T")
    if told.prefix is not None or told.suffix is not None:
        tokens: Tokens | str | None = _as_told(census, told, sizes[axis])
    elif told.layout == "auto" and layout == "NTC":
        layout, tokens = _either(census, layer, sizes)
    else:
        tokens = _of(census, layer, sizes, axis)
    if tokens is None:
        tokens = f"whose {sizes[axis]} tokens nothing tells to be places of the image: {ASK}"
    if not isinstance(tokens, Tokens):
        raise TargetError(f"returns {spelt(sizes)}, {tokens}")
    if told.order is not None:
        if tokens.grid is None or len(told.order) != math.prod(tokens.grid):
            raise TargetError(f"has places {tokens.grid}; models.NAME.token_order is of {len(told.order)} tokens")
        tokens = tokens._replace(order=told.order)
    return Form(layout, census.size, tokens)


def _as_told(census: Census, told: Told, count: int) -> Tokens | str:
    """Where tokens lie by the settings, or why they cannot."""
    prefix, suffix = told.prefix or 0, told.suffix or 0
    grid = census.grid(count - prefix - suffix)
    if grid is None:
        return (
            f"{count} tokens, which are no grid for an input of {census.size[0]} x {census.size[1]} pixels after "
            f"{prefix} prefix tokens and before {suffix} suffix tokens: set models.NAME.prefix_tokens and "
            "suffix_tokens"
        )
    return Tokens(prefix, suffix, grid, census.order_of(math.prod(grid)))


def _either(census: Census, layer: str, sizes: tuple[int, int]) -> tuple[str, Tokens | str | None]:
    """Which of two axes is that of tokens, and what :func:`_of` says of it."""
    clear = [axis for axis in (0, 1) if _by_output(census, layer, sizes, axis)]
    if len(clear) == 1:
        return ("NTC", "NCT")[clear[0]], _of(census, layer, sizes, clear[0])
    tokens = _of(census, layer, sizes, 0)
    if sizes[0] == sizes[1] and isinstance(tokens, Tokens):
        return "NTC", "which may be NTC or NCT: set models.NAME.layout"
    if tokens is None and isinstance(of_last_axis := _of(census, layer, sizes, 1), Tokens):
        return "NCT", of_last_axis
    return "NTC", tokens


def _of(census: Census, layer: str, sizes: tuple[int, int], axis: int) -> Tokens | str | None:
    """Where the tokens of a layer lie, or why they cannot be places of the image; None where nothing tells.

    What a module returns is judged first, then what the modules around it saw first of so many tokens, the nearest
    first: a network may bring tokens into another order on its way.
    """
    count = sizes[axis]
    if count == 1:
        return Tokens(0, 0, None)
    if tokens := _by_output(census, layer, sizes, axis):
        return tokens
    for outer in _around(layer):
        first = census.first(outer, count)
        verdict = _judged(census, first.changes[0] if first else None)
        if verdict.tokens:
            return verdict.tokens
        if verdict.scattered:
            return (
                f"whose {count} tokens do not lie in rows of the image: set models.NAME.token_order, or describe "
                "another layer"
            )
        if verdict.constant and first and outer and not outer == layer == first.layer:
            return f"whose {count} tokens begin the same for every image, as queries do: {ASK}"
    again = (census.first(outer, count) for outer in _around(layer))
    verdicts = (_judged(census, first.changes[0], more=True) for first in again if first)
    if tokens := next((verdict.tokens for verdict in verdicts if verdict.tokens), None):
        return tokens
    tokens, last = _by_size(census, count), census.last(layer, sizes)
    if tokens and tokens.grid and last:
        inside = last.changes[axis][1:, tokens.prefix : count - tokens.suffix]
        return None if places.is_elsewhere(inside, tokens.grid, tokens.order) else tokens
    return tokens


def _by_output(census: Census, layer: str, sizes: tuple[int, int], axis: int) -> Tokens | None:
    """Where the tokens of a layer lie by its last output, where that is clear."""
    last = census.last(layer, sizes)
    return _judged(census, last.changes[axis] if last else None).tokens


def _by_size(census: Census, count: int) -> Tokens | None:
    """Tokens that are as many as places of a map of the network, where nothing is left of places in them."""
    if (first := census.changing(count)) is None:
        return None
    prefix, suffix = places.ends(first)
    rest = count - prefix - suffix
    grid = census.grid(rest)
    if grid is None or grid not in census.known_grids() or grid == (1, 1):
        return None
    return Tokens(prefix, suffix, grid, census.order_of(rest))


def _judged(census: Census, changes: Floats | None, more: bool = False) -> Verdict:
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
    first = census.changing(count)
    seen_first = (prefix, suffix) if first is None else places.ends(first)
    ends = _more(census, count, prefix, suffix) if more else [(prefix, suffix), seen_first]
    readings = [
        (places.share(changes[1:, before : count - behind], grid, order), Tokens(before, behind, grid, order))
        for before, behind in ends
        for grid, order in _readings(census, count - before - behind)
    ]
    if not readings:
        return UNKNOWN
    share, tokens = max(readings, key=lambda reading: reading[0])
    if share >= CLEAR:
        return Verdict(tokens=tokens)
    shares = places.changed(changes)[1:, prefix : count - suffix].mean(1)
    return Verdict(scattered=bool(shares.min() > 0 and shares.max() <= SCATTERED))


def _more(census: Census, count: int, prefix: int, suffix: int) -> list[tuple[int, int]]:
    """How many tokens may stand before and behind those of the image, so that one of the network's maps is left.

    Such as a class token that was mixed with the rest before it was put in front of fewer.
    """
    rest = count - prefix - suffix
    known = {math.prod(grid) for grid in census.known_grids()}
    others = [rest - area for area in known if 0 < rest - area <= MOST_ENDS and area >= max(rest / 2, SIDE**2)]
    return [ends for extra in sorted(others) for ends in ((prefix + extra, suffix), (prefix, suffix + extra))]


def _readings(census: Census, count: int) -> Iterator[tuple[Grid, Tensor | None]]:
    """Grids and orders of so many tokens that are possible."""
    grids = {*census.known_grids(), of_proportions(count, census.size)}
    for grid in sorted(grid for grid in grids if grid and math.prod(grid) == count):
        yield grid, None
        for order in census.orders:
            if len(order) == count:
                yield grid, order


def _around(layer: str) -> Iterator[str]:
    """The modules around a layer, itself first, the whole network last."""
    parts = layer.split(".")
    for length in range(len(parts), -1, -1):
        yield ".".join(parts[:length])

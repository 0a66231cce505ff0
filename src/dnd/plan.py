"""What a run consists of: its layers, and how their units are split into jobs. No torch here: rules import it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from dnd.config import Config, Layer


def either(names: Iterable[str]) -> str:
    """Return a regular expression that matches any of the names and nothing else."""
    return "|".join(sorted({re.escape(name) for name in names}))


class Plan:
    """The jobs of a run, derived from its configuration alone."""

    def __init__(self, config: Config, layers: list[Layer]) -> None:
        self.config = config
        self.layers = layers
        self._by_place = {(layer.name, layer.slug): layer for layer in layers}

    def layer(self, name: str, slug: str) -> Layer:
        """Return the layer of a sweep row's name and a layer's slug."""
        return self._by_place[name, slug]

    def unit_shards(self, layer: Layer) -> dict[str, tuple[int, ...]]:
        """Return shard name (first and last unit) -> units."""
        size = self.config.shards.units
        parts = [layer.units[i : i + size] for i in range(0, len(layer.units), size)]
        return {f"{part[0]:06d}-{part[-1]:06d}": part for part in parts}

    @cached_property
    def bundles(self) -> dict[tuple[str, str], list[Layer]]:
        """(recipe, bundle) -> the layers whose units one LLM job serves, so that a server's start is paid once.

        Layers are filled into bundles of at most ``llm_units`` in the order of the sweep; a larger layer is a bundle of
        its own.
        """
        found: dict[tuple[str, str], list[Layer]] = {}
        for recipe in dict.fromkeys(layer.recipe for layer in self.layers):
            number, filled = 0, 0
            for layer in (one for one in self.layers if one.recipe == recipe):
                if filled and filled + len(layer.units) > self.config.shards.llm_units:
                    number, filled = number + 1, 0
                filled += len(layer.units)
                found.setdefault((recipe, f"{number:03d}"), []).append(layer)
        return found

    def bundle_of(self, layer: Layer) -> tuple[str, str]:
        """Return (recipe, bundle) of a layer."""
        return next(place for place, members in self.bundles.items() if layer in members)

    def hooked(self, model: str, probe: str, pooling: str) -> dict[str, str]:
        """Return slug -> layer name of every layer that one pass of the model over the probe serves."""
        return {one.slug: one.layer for one in self._pass(model, probe, pooling)}

    def kept_images(self, model: str, probe: str, pooling: str) -> int:
        """Return how many top images a pass keeps per unit: as many as the most demanding recipe asks for."""
        exemplars = [self.config.recipes[one.recipe].exemplars for one in self._pass(model, probe, pooling)]
        return max(max(one.images, one.pool) for one in exemplars)

    def controls(self, model: str, probe: str, pooling: str) -> int:
        """Return how many control images a pass keeps the activations of."""
        return max(self.config.recipes[one.recipe].controls for one in self._pass(model, probe, pooling))

    def _pass(self, model: str, probe: str, pooling: str) -> list[Layer]:
        return [
            one
            for one in self.layers
            if (one.model, one.probe, self.config.recipes[one.recipe].pooling) == (model, probe, pooling)
        ]

"""What a run consists of: its layers, and how their work is split into jobs. No torch here: rules import it.

Some jobs serve several layers at once: a pass of a network over the probe, an LLM server, the jobs that draw concepts.
Layers share such jobs when they were first planned together; they form a *group*. The results folder remembers the
groups, so that a layer, a row or a recipe that is added later gets jobs of its own and finished layers stay finished.
Rows that differ in nothing that exemplars or captions depend on share those: the first of them has them made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from dnd.config.backends import COMPUTE
from dnd.config.layer_table import rows
from dnd.config.load import Config, ConfigError
from dnd.config.recipes import Recipe
from dnd.config.sweep import Layer, spell
from dnd.io.files import replaced


class Member(NamedTuple):
    """A layer as the table of groups names it."""

    name: str
    model: str
    layer: str
    probe: str
    recipe: str


class Pass(NamedTuple):
    """A pass of a model over a probe, and what it keeps.

    Attributes
    ----------
    pooling : activation map to one number.
    sign : ``positive``, or ``negative`` for activations of the other sign.
    k : images kept per unit.
    controls : control images whose activations are kept.
    """

    model: str
    probe: str
    pooling: str
    sign: str
    k: int
    controls: int


class Bundle(NamedTuple):
    """An LLM job and the jobs that draw its concepts: for layers of one model, probe, recipe and group.

    A server's start is paid once for all of them, and what fails for one model stops no other.
    """

    model: str
    probe: str
    recipe: str
    bundle: str


DISSECTIONS = ("network-dissection", "compositional")
"""Methods that compare activation maps with masks."""
GROUP_COLUMNS = ["group", *Member._fields]


def read_groups(path: Path) -> dict[Member, int]:
    """Return the groups of earlier runs; nothing before the first.

    Raises
    ------
    ConfigError
        The table is malformed.
    """
    table = rows(path, GROUP_COLUMNS) if path.exists() else []
    for where, row in table:
        if not re.fullmatch("[0-9]{1,9}", row["group"]):
            raise ConfigError(f"{where}: group is {row['group']!r}, expected a number")
    return {Member(**{key: row[key] for key in Member._fields}): int(row["group"]) for _, row in table}


def write_groups(path: Path, groups: Mapping[Member, int]) -> None:
    """Write the table of groups, at once or not at all."""
    lines = ["\t".join(GROUP_COLUMNS), *("\t".join([str(group), *member]) for member, group in groups.items())]
    with replaced(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Plan:
    """The jobs of a run, derived from its configuration and from the groups of earlier runs.

    Parameters
    ----------
    layers : the layers of the sweep.
    slugs : (model, layer) -> slug of every known layer, for those that have left the sweep.
    remembered : the groups of earlier runs.
    """

    def __init__(
        self,
        config: Config,
        layers: Sequence[Layer],
        slugs: Mapping[tuple[str, str], str],
        remembered: Mapping[Member, int],
    ) -> None:
        self.config = config
        self.layers = layers
        self.groups = dict(remembered)
        self.bundles: dict[Bundle, list[Layer]] = {}
        self._by_place = {(layer.name, layer.slug): layer for layer in layers}
        self._shards: dict[tuple[str, str], dict[str, str]] = {}
        self._bundle_of: dict[tuple[str, str], Bundle] = {}
        self._pass_group: dict[tuple[Pass, str], int] = {}
        self._hooked: dict[tuple[Pass, int], dict[str, str]] = {}
        self._serving: dict[tuple[str, str, str], Layer] = {}
        newest = max(remembered.values(), default=-1) + 1
        for layer in layers:
            self.groups.setdefault(_member(layer), newest)
        self._share_passes(slugs)
        self._fill_bundles()
        self._share_views()

    def _share_passes(self, slugs: Mapping[tuple[str, str], str]) -> None:
        """Put each layer into the pass of the first group that asked for it; those that left the sweep stay there."""
        config = self.config
        for member, group in sorted(self.groups.items(), key=lambda item: item[1]):
            slug = slugs.get((member.model, member.layer))
            known = member.model in config.models and member.probe in config.probes and member.recipe in config.recipes
            if slug and known:
                place = self._pass(member.model, member.probe, member.recipe)
                first = self._pass_group.setdefault((place, slug), group)
                self._hooked.setdefault((place, first), {})[slug] = member.layer

    def _fill_bundles(self) -> None:
        """Fill layers of our own method, in the order of the sweep, into bundles of at most ``llm_units``."""
        filled: dict[tuple[str, str, str, int], list[int]] = {}
        for layer in self.layers:
            if self.config.recipes[layer.recipe].method != "dnd":
                continue
            group = self.groups[_member(layer)]
            shared = layer.model, layer.probe, layer.recipe
            sizes = filled.setdefault((*shared, group), [0])
            if sizes[-1] and sizes[-1] + len(layer.units) > self.config.shards.llm_units:
                sizes.append(0)
            sizes[-1] += len(layer.units)
            bundle = Bundle(*shared, f"{group:03d}-{len(sizes) - 1:03d}")
            self.bundles.setdefault(bundle, []).append(layer)
            self._bundle_of[layer.name, layer.slug] = bundle

    def _share_views(self) -> None:
        """Let layers of our own method whose exemplars, or captions, would be the same have them from the first."""
        first: dict[tuple[object, ...], Layer] = {}
        for layer in sorted(self.layers, key=lambda layer: self.groups[_member(layer)]):
            recipe = self.config.recipes[layer.recipe]
            if recipe.method != "dnd":
                continue
            cut = recipe.pooling_of_views, recipe.exemplars.model_dump_json()
            seen = (layer.slug, spell(layer.units), self.pass_of(layer), *cut)
            told = (*seen, recipe.captions.model_dump_json(exclude=set(COMPUTE)))
            for stage, key in (("exemplars", seen), ("captions", told)):
                self._serving[stage, layer.name, layer.slug] = first.setdefault((stage, *key), layer)

    def _pass(self, model: str, probe: str, recipe: str) -> Pass:
        asked = self.config.recipes[recipe]
        return Pass(model, probe, asked.pooling, asked.sign, asked.kept, asked.controls)

    def layer(self, name: str, slug: str) -> Layer:
        """Return the layer of a sweep row's name and a layer's slug.

        Raises
        ------
        KeyError
            The sweep has no such row, or the row no such layer.
        """
        if (name, slug) not in self._by_place:
            raise KeyError(f"{self.config.sweep} has no row named {name!r} with a layer whose slug is {slug!r}")
        return self._by_place[name, slug]

    def unit_shards(self, layer: Layer) -> dict[str, str]:
        """Return shard name (first and last unit) -> units, spelt as in the sweep."""
        place = (layer.name, layer.slug)
        if place not in self._shards:
            size = self.config.shards.units
            parts = [layer.units[i : i + size] for i in range(0, len(layer.units), size)]
            self._shards[place] = {f"{part[0]:06d}-{part[-1]:06d}": spell(part) for part in parts}
        return self._shards[place]

    def serving(self, stage: str, layer: Layer) -> Layer:
        """Return the layer in whose folder the shards of a stage lie that serve a layer: mostly its own."""
        return self._serving.get((stage, layer.name, layer.slug), layer)

    def bundle_of(self, layer: Layer) -> Bundle:
        """Return the bundle that a layer belongs to."""
        return self._bundle_of[layer.name, layer.slug]

    def is_ours(self, layer: Layer) -> bool:
        """Return whether a layer is described by our own method, in its stages."""
        return self.config.recipes[layer.recipe].method == "dnd"

    def recipe_of(self, bundle: Bundle) -> Recipe:
        """Return the recipe of a bundle, which is of our own method."""
        recipe = self.config.recipes[bundle.recipe]
        assert isinstance(recipe, Recipe)
        return recipe

    def dissected(self, model: str, probe: str, slug: str, sign: str) -> list[Layer]:
        """Return the layers of the sweep that one comparison of activation maps with masks serves."""
        place = (model, probe, slug, sign)
        compared = ((layer, self.config.recipes[layer.recipe]) for layer in self.layers)
        return [
            layer
            for layer, recipe in compared
            if recipe.method in DISSECTIONS and (layer.model, layer.probe, layer.slug, recipe.sign) == place
        ]

    @cached_property
    def judged(self) -> dict[tuple[str, str], list[Layer]]:
        """(model, slug) -> the layers of the sweep that a method describes, and whose labels are judged together.

        Those where what is true stands in for a part are left out: known answers suffice to judge them.
        """
        layers: dict[tuple[str, str], list[Layer]] = {}
        for layer in self.layers:
            if not self.config.recipes[layer.recipe].oracles:
                layers.setdefault((layer.model, layer.slug), []).append(layer)
        return layers

    def pass_of(self, layer: Layer) -> Pass:
        """Return the pass that a layer's activations come from."""
        return self._pass(layer.model, layer.probe, layer.recipe)

    def group_of(self, place: Pass, slug: str) -> int:
        """Return the group with which a layer goes through a pass: the first that asked for it."""
        return self._pass_group[place, slug]

    def hooked(self, place: Pass, group: int) -> dict[str, str]:
        """Return slug -> layer name of every layer that a group sends through a pass."""
        return self._hooked[place, group]


def _member(layer: Layer) -> Member:
    return Member(layer.name, layer.model, layer.layer, layer.probe, layer.recipe)

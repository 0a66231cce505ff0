"""What methods and audits need of the rest of the configuration, checked before any job starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dnd import sweep
from dnd.config import Config, ConfigError
from dnd.methods import ClipDissectRecipe, MilanRecipe, RivalRecipe
from dnd.sweep import Layer

ANNOTATED = {"network-dissection": "pixel masks", "compositional": "pixel masks", "invert": "image labels"}
"""Method -> what it needs of a probe's images."""


def check(config: Config, layers: Sequence[Layer]) -> None:
    """Check that methods find what they need on their probes, and that audits name layers of the sweep.

    Raises
    ------
    ConfigError
        With one line per mistake.
    """
    mistakes = [*_methods(config, layers), *_kept(config, layers), *_audits(config, layers)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _methods(config: Config, layers: Sequence[Layer]) -> Iterator[str]:
    for probe, recipe in dict.fromkeys((layer.probe, layer.recipe) for layer in layers):
        method = config.recipes[recipe].method
        if method not in ANNOTATED:
            continue
        for member in config.probes[probe].members or [probe]:
            settings = config.probes[member]
            if settings.annotations is None and settings.source != "shapeworld":
                yield (
                    f"probes.{member}.annotations: is missing; recipe {recipe!r}, method {method}, needs "
                    f"{ANNOTATED[method]}"
                )


def _kept(config: Config, layers: Sequence[Layer]) -> Iterator[str]:
    for name in dict.fromkeys(layer.recipe for layer in layers):
        recipe = config.recipes[name]
        wanted = {"shown": recipe.shown} if isinstance(recipe, RivalRecipe) else {}
        if isinstance(recipe, MilanRecipe):
            wanted["images"] = recipe.images
        if isinstance(recipe, ClipDissectRecipe) and recipe.similarity in ("wpmi", "soft-wpmi", "rank-reorder"):
            wanted["top"] = recipe.top
        for key, count in wanted.items():
            if count > recipe.kept:
                yield f"recipes.{name}.{key}: {count} images are wanted, but `kept` keeps {recipe.kept} of a unit"


def _audits(config: Config, layers: Sequence[Layer]) -> Iterator[str]:
    places = {(layer.name, layer.layer): layer for layer in layers}
    for name, audit in config.audits.items():
        where = f"audits.{name}"
        if (audit.row, audit.layer) not in places:
            yield f"{where}: {config.sweep} has no row {audit.row!r} with layer {audit.layer!r}"
            continue
        if audit.probe is not None and audit.probe not in config.probes:
            yield f"{where}.probe: unknown probe {audit.probe!r}; there are {sorted(config.probes)}"
        if audit.units is None:
            continue
        known = set(places[audit.row, audit.layer].units)
        try:
            absent = sorted(set(sweep.units(audit.units)) - known)
        except ValueError as error:
            yield f"{where}.units: {error}"
            continue
        if absent:
            yield f"{where}.units: row {audit.row!r} does not describe unit {absent[0]} of layer {audit.layer!r}"

"""What methods and audits need of the rest of the configuration, checked before any job starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dnd.config import known_answers, sweep
from dnd.config.load import Config
from dnd.config.rivals import ClipDissectRecipe, MilanRecipe, RivalRecipe
from dnd.config.sweep import Layer

ANNOTATED = {"network-dissection": "pixel masks", "compositional": "pixel masks", "invert": "image labels"}
"""Method -> what it needs of a probe's images."""


def missing(config: Config, layers: Sequence[Layer]) -> list[str]:
    """Return one line for each thing that a method or an audit needs and does not find."""
    truths = dict.fromkeys(_truths(config, layers))
    needed = [*_methods(config, layers), *truths]
    return [*needed, *_kept(config, layers), *_audits(config, layers)]


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


def _truths(config: Config, layers: Sequence[Layer]) -> Iterator[str]:
    """What stands in for a model is known of renders, and of networks with known answers."""
    for layer in layers:
        for part in config.recipes[layer.recipe].oracles:
            if part == "concepts":
                yield from _unknown_answers(config.models[layer.model].known_answers, layer)
                continue
            for member in config.probes[layer.probe].members or [layer.probe]:
                if config.probes[member].source != "shapeworld":
                    yield (
                        f"recipes.{layer.recipe}.{part}.model: shapeworld tells what renders of the shape world show, "
                        f"and probe {member!r} is of source {config.probes[member].source}"
                    )


def _unknown_answers(path: Path | None, layer: Layer) -> Iterator[str]:
    key = f"recipes.{layer.recipe}.concepts.known_answers"
    if path is None:
        yield f"{key}: models.{layer.model}.known_answers is missing"
        return
    try:
        known = known_answers.load(path)
    except known_answers.KnownAnswersError:
        return  # of whoever reads the file for its own sake
    if layer.layer not in known:
        yield f"{key}: {path} has no layer {layer.layer!r}; there are {sorted(known)}"


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

"""Every job of a run by its rule, before the run and without Snakemake: what is to be made, and of how many items.

Progress can so be told from outside, and costs before; a test compares it with Snakemake's own count. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dnd.config import sweep
from dnd.config.evaluation import EvaluationSettings
from dnd.config.load import Config, config_file
from dnd.config.sweep import Layer
from dnd.probe import sources
from dnd.run.contents import load
from dnd.run.paths import PATTERNS, Paths
from dnd.run.plan import DISSECTIONS, Plan, read_groups
from dnd.run.requirements import ANNOTATED

BY_LAYER = ("clip-dissect", "compositional", "foreign", "invert", "milan", "network-dissection")
"""Rival methods with one job for each layer."""


class Task(NamedTuple):
    """A job.

    Attributes
    ----------
    rule : that makes it.
    output : one of its files.
    units : that it works on; a part of them where jobs share units.
    probe, part : the images it works on, and which part of them; empty where it sees none or few.
    recipe : of its units, where they have one.
    kept : activations that it keeps of a unit, images in order and control images.
    images : table with a row for each image that it looks at, where it counts these and not the rows of ``output``.
    """

    rule: str
    output: str
    units: float = 0
    probe: str = ""
    part: float = 1
    recipe: str = ""
    kept: int = 0
    images: str = ""


def read(files: Sequence[str | Path]) -> Plan:
    """Return the plan of a run from its configuration files, joined as Snakemake joins several.

    Raises
    ------
    ConfigError
        A file cannot be read, or something is wrong in it.
    """
    values: dict[str, object] = {}
    for file in files:
        values = _joined(values, config_file(file))
    return plan_of(load(values, " + ".join(map(str, files))))


def plan_of(config: Config) -> Plan:
    """Return the plan of a run from its checked configuration and the groups of earlier runs.

    Raises
    ------
    ConfigError
        A table of it cannot be read, or something is wrong in it.
    """
    slugs = {layer: slug for layer, (slug, _) in sweep.known_layers(config).items()}
    return Plan(config, sweep.layers(config), slugs, read_groups(config.results / PATTERNS["groups"]))


def _joined(values: Mapping[str, object], others: Mapping[str, object]) -> dict[str, object]:
    """Mappings one in the other; of anything else the second wins."""
    joined = dict(values)
    for key, value in others.items():
        before = joined.get(key)
        joined[key] = _joined(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return joined


def tasks(plan: Plan) -> list[Task]:
    """Return every job that ``snakemake`` does for a run from nothing, in the order of the stages."""
    paths = Paths(plan)
    last = [Task("evaluation", paths.file("evaluation")), Task("provenance", paths.file("provenance"))]
    stages = (_probes, _passes, _own, _rivals, _judging)
    return [*(task for stage in stages for task in stage(plan, paths)), *last, Task("report", paths.file("page"))]


def tables(plan: Plan) -> dict[str, list[str]]:
    """Return stage -> the tables that it leaves for the results of a run, one of each job."""
    by_stage: dict[str, list[str]] = {}
    for task in tasks(plan):
        if task.rule not in BESIDE_RESULTS:
            by_stage.setdefault(task.rule, []).append(task.output)
    return by_stage


BESIDE_RESULTS = {
    *("shapeworld_images", "listing", "rejected", "annotations", "dissection", "label_images", "judgements"),
    *("audit", "importance", "report_layer", "report", "provenance"),
}
"""Rules whose files are no results, or tell enough by themselves."""


def _probes(plan: Plan, paths: Paths) -> Iterator[Task]:
    config = plan.config
    described = dict.fromkeys(layer.probe for layer in plan.layers)
    audits = dict.fromkeys(audit.probe for audit in config.audits.values() if audit.probe)
    held_out = config.evaluation.held_out
    needed = described | audits | ({held_out: None} if held_out and paths.judgements() else {})
    for member in dict.fromkeys(member for name in needed for member in sources.rendered(name, config.probes)):
        yield Task("shapeworld_images", paths.file("renders", probe=member), probe=member)
    for name in needed:
        yield Task("listing", paths.file("listing", probe=name), probe=name)
        if name in described:
            yield Task("rejected", paths.file("rejected", probe=name))
    annotated = (layer.probe for layer in plan.layers if config.recipes[layer.recipe].method in ANNOTATED)
    for rule, names in (("probe", needed), ("annotations", dict.fromkeys(annotated))):
        for name in names:
            shards = paths.of_probe(rule, name)
            yield from (Task(rule, shard, probe=name, part=1 / len(shards)) for shard in shards)


def _passes(plan: Plan, paths: Paths) -> Iterator[Task]:
    sizes = {(model, slug): count for (model, _), (slug, count) in sweep.known_layers(plan.config).items()}
    passes = ((plan.pass_of(layer), layer.slug) for layer in plan.layers)
    for place, group in dict.fromkeys((place, plan.group_of(place, slug)) for place, slug in passes):
        units = sum(sizes[place.model, slug] for slug in plan.hooked(place, group))
        shards, images = paths.of_pass("statistics", place, group), paths.of_probe("probe", place.probe)
        for shard, seen in zip(shards, images, strict=True):
            kept = place.k + place.controls
            yield Task("activations", shard, units, place.probe, 1 / len(shards), kept=kept, images=seen)
    for output, layer in {paths.topk(layer): layer for layer in plan.layers}.items():
        place = plan.pass_of(layer)
        yield Task("topk", output, sizes[place.model, layer.slug], kept=place.k + place.controls)


def _own(plan: Plan, paths: Paths) -> Iterator[Task]:
    """The stages of our own method."""
    for bundle, layers in plan.bundles.items():
        views = ["exemplars", "captions", *(["look_alikes"] if paths.look_alikes(bundle) else [])]
        yield from (task for stage in views for layer in layers for task in _unit_shards(plan, paths, layer, stage))
        units = sum(len(layer.units) for layer in layers)
        for stage in ("concepts", "refinement") if paths.refined(bundle) else ("concepts",):
            yield Task(stage, paths.of_bundle(stage, bundle), units, recipe=bundle.recipe)
        images = paths.images_of_bundle(bundle)
        yield from (Task("images", output, units / len(images), recipe=bundle.recipe) for output in images)
        yield from (task for layer in layers for task in _unit_shards(plan, paths, layer, "scores"))


def _unit_shards(plan: Plan, paths: Paths, layer: Layer, stage: str) -> Iterator[Task]:
    if plan.serving(stage, layer) != layer:  # another layer's shards are the same
        return
    size = plan.config.shards.units
    for number, output in enumerate(paths.shards(stage, layer)):
        units = min(size, len(layer.units) - number * size)
        yield Task(stage, output, units, layer.probe, recipe=layer.recipe)


def _rivals(plan: Plan, paths: Paths) -> Iterator[Task]:
    """The other methods, and what is written of the labels of all."""
    recipes = plan.config.recipes
    compared: dict[str, tuple[str, set[int]]] = {}  # by masks; some layers share it
    for layer in plan.layers:
        recipe = recipes[layer.recipe]
        if recipe.method in DISSECTIONS:
            place = {"model": layer.model, "probe": layer.probe, "sign": recipe.sign, "slug": layer.slug}
            compared.setdefault(paths.file("overlaps", **place), (layer.probe, set()))[1].update(layer.units)
    yield from (Task("dissection", output, len(units), probe) for output, (probe, units) in compared.items())
    for layer in plan.layers:
        method = recipes[layer.recipe].method
        if method in BY_LAYER:
            rule = method.replace("-", "_")
            yield Task(rule, paths.of_layer(rule, layer), len(layer.units), layer.probe, recipe=layer.recipe)
        elif method == "line":
            yield from _unit_shards(plan, paths, layer, "line")
    for layer in plan.layers:
        for rule in ("scales", "explains"):
            for output in getattr(paths, rule)(layer):
                yield Task(rule, output, len(layer.units), layer.probe, recipe=layer.recipe)
        for rule, kind in (("descriptions", "descriptions"), ("report_layer", "pages")):
            yield Task(rule, paths.of_layer(kind, layer), len(layer.units), recipe=layer.recipe)


def _judging(plan: Plan, paths: Paths) -> Iterator[Task]:
    config = plan.config
    judged = plan.judged if config.evaluation != EvaluationSettings() else {}
    for (model, slug), layers in judged.items():
        units = sum(len(layer.units) for layer in layers)
        if config.evaluation.generator is not None:
            yield Task("label_images", paths.file("label_images", model=model, slug=slug), units)
        output = paths.file("judgements", model=model, slug=slug)
        yield Task("judgements", output, units, config.evaluation.held_out or "")
    probes = {layer.name: layer.probe for layer in plan.layers}
    for name, audit in config.audits.items():
        yield Task("audit", paths.file("audit", audit=name), probe=audit.probe or probes[audit.row])
    if config.importance is not None:
        for output, probe in {file: layer.probe for layer in plan.layers for file in paths.importance(layer)}.items():
            yield Task("importance", output, probe=probe)

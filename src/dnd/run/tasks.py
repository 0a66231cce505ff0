"""Every job of a run by its rule, before the run and without Snakemake: what is to be made, and of how many items.

Progress can so be told from outside, and costs before; a test compares it with Snakemake's own count. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dnd.config import sweep
from dnd.config.evaluation import EvaluationSettings
from dnd.config.load import Config, config_file
from dnd.config.sweep import Layer
from dnd.probe import sources
from dnd.run.contents import load
from dnd.run.paths import PATTERNS, Paths
from dnd.run.plan import DISSECTIONS, Bundle, Plan, read_groups
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
    counted : table with a row for each item that it makes or looks at; empty where items say little.
    """

    rule: str
    output: Path
    units: float = 0
    probe: str = ""
    part: float = 1
    recipe: str = ""
    kept: int = 0
    counted: Path | None = None


def read(files: Sequence[str | Path]) -> Plan:
    """Return the plan of a run from its configuration files, joined as Snakemake joins several.

    Raises
    ------
    ConfigError
        A file cannot be read, or something is wrong in it.
    """
    values: dict[str, Any] = {}
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


def _joined(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings one in the other; of anything else the second wins."""
    found = dict(values)
    for key, value in others.items():
        before = found.get(key)
        found[key] = _joined(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def tasks(plan: Plan) -> list[Task]:
    """Return every job that ``snakemake`` does for a run from nothing, in the order of the stages."""
    paths = Paths(plan)
    last = [Task(rule, Path(paths.file(kind))) for rule, kind in LAST.items()]
    stages = (_probes, _passes, _own, _rivals, _judging)
    return [*(task for stage in stages for task in stage(plan, paths)), *last]


LAST = {"evaluation": "evaluation", "provenance": "provenance", "report": "page"}
"""Rule -> its file, of jobs that a run has one of; the target ``all`` makes no file and does no work."""


def _probes(plan: Plan, paths: Paths) -> Iterator[Task]:
    config = plan.config
    described = dict.fromkeys(layer.probe for layer in plan.layers)
    audits = dict.fromkeys(audit.probe for audit in config.audits.values() if audit.probe)
    held_out = config.evaluation.held_out
    needed = described | audits | ({held_out: None} if held_out and paths.judgements() else {})
    for member in dict.fromkeys(one for name in needed for one in sources.rendered(name, config.probes)):
        yield Task("shapeworld_images", Path(paths.file("renders", probe=member)), probe=member)
    for name in needed:
        yield Task("listing", Path(paths.file("listing", probe=name)), probe=name)
        for images, part in _shares(paths.of_probe("probe", name)):
            yield Task("probe", images, probe=name, part=part, counted=images)
        if name in described:
            yield Task("rejected", Path(paths.file("rejected", probe=name)))
    annotated = (layer.probe for layer in plan.layers if plan.config.recipes[layer.recipe].method in ANNOTATED)
    for name in dict.fromkeys(annotated):
        for output, part in _shares(paths.of_probe("annotations", name)):
            yield Task("annotations", output, probe=name, part=part)


def _shares(files: Sequence[str]) -> Iterator[tuple[Path, float]]:
    """Each file of a probe's shards, and the share of its images."""
    return ((Path(file), 1 / len(files)) for file in files)


def _passes(plan: Plan, paths: Paths) -> Iterator[Task]:
    sizes = {(model, slug): count for (model, _), (slug, count) in sweep.known_layers(plan.config).items()}
    passes = dict.fromkeys((plan.pass_of(one), plan.group_of(plan.pass_of(one), one.slug)) for one in plan.layers)
    for one, group in passes:
        units = sum(sizes[one.model, slug] for slug in plan.hooked(one, group))
        shards = zip(paths.of_probe("probe", one.probe), _shares(paths.of_pass("statistics", one, group)), strict=True)
        for images, (output, part) in shards:
            yield Task("activations", output, units, one.probe, part, kept=one.k + one.controls, counted=Path(images))
    for file, layer in {paths.topk(layer): layer for layer in plan.layers}.items():
        place, output = plan.pass_of(layer), Path(file)
        yield Task("topk", output, sizes[place.model, layer.slug], kept=place.k + place.controls, counted=output)


def _own(plan: Plan, paths: Paths) -> Iterator[Task]:
    """The stages of our own method."""
    for bundle, layers in plan.bundles.items():
        yield from _views(plan, paths, bundle)
        yield from _drawn(paths, bundle, sum(len(layer.units) for layer in layers))
        stages = ["scores"] if plan.recipe_of(bundle).stopping is None else ["stopping", "scores"]
        yield from (task for stage in stages for layer in layers for task in _unit_shards(plan, paths, layer, stage))


def _views(plan: Plan, paths: Paths, bundle: Bundle) -> Iterator[Task]:
    stages = ["exemplars", "captions", *(["look_alikes"] if paths.look_alikes(bundle) else [])]
    return (
        task for stage in stages for layer in plan.bundles[bundle] for task in _unit_shards(plan, paths, layer, stage)
    )


def _drawn(paths: Paths, bundle: Bundle, units: int) -> Iterator[Task]:
    for stage in ("concepts", "refinement") if paths.refined(bundle) else ("concepts",):
        output = Path(paths.of_bundle(stage, bundle))
        yield Task(stage, output, units, recipe=bundle.recipe, counted=output)
    for output, part in _shares(paths.images_of_bundle(bundle)):
        yield Task("images", output, units * part, recipe=bundle.recipe, counted=output)


def _unit_shards(plan: Plan, paths: Paths, layer: Layer, stage: str) -> Iterator[Task]:
    if plan.serving(stage, layer) != layer:  # another layer's shards are the same
        return
    for name, spelt in plan.unit_shards(layer).items():
        output = Path(paths.shard(stage, layer, name))
        yield Task(stage, output, len(sweep.units(spelt)), layer.probe, recipe=layer.recipe, counted=output)


def _rivals(plan: Plan, paths: Paths) -> Iterator[Task]:
    """The other methods, and what is written of the labels of all."""
    recipes = plan.config.recipes
    compared: dict[Path, tuple[Layer, set[int]]] = {}  # by masks; some layers share it
    for layer in plan.layers:
        recipe = recipes[layer.recipe]
        if recipe.method in DISSECTIONS:
            place = {"model": layer.model, "probe": layer.probe, "sign": recipe.sign, "slug": layer.slug}
            output = Path(paths.file("overlaps", **place))
            compared.setdefault(output, (layer, set()))[1].update(layer.units)
    for output, (layer, units) in compared.items():
        yield Task("dissection", output, len(units), layer.probe)
    for layer in plan.layers:
        method = recipes[layer.recipe].method
        if method in BY_LAYER:
            rule = method.replace("-", "_")
            output = Path(paths.of_layer(rule, layer))
            yield Task(rule, output, len(layer.units), layer.probe, recipe=layer.recipe)
        elif method == "line":
            yield from _unit_shards(plan, paths, layer, "line")
    for layer in plan.layers:
        output, pages = (Path(paths.of_layer(kind, layer)) for kind in ("descriptions", "pages"))
        yield Task("descriptions", output, len(layer.units), recipe=layer.recipe, counted=output)
        yield Task("report_layer", pages, len(layer.units), recipe=layer.recipe)


def _judging(plan: Plan, paths: Paths) -> Iterator[Task]:
    config = plan.config
    judged = plan.judged if config.evaluation != EvaluationSettings() else {}
    for (model, slug), layers in judged.items():
        units = sum(len(layer.units) for layer in layers)
        images, output = (Path(paths.file(kind, model=model, slug=slug)) for kind in ("label_images", "judgements"))
        if config.evaluation.generator is not None:
            yield Task("label_images", images, units, counted=images)
        yield Task("judgements", output, units, config.evaluation.held_out or "")
    for name, audit in config.audits.items():
        probe = audit.probe or _row_probe(plan, audit.row)
        yield Task("audit", Path(paths.file("audit", audit=name)), probe=probe)
    if config.importance is not None:
        for file, probe in {file: layer.probe for layer in plan.layers for file in paths.importance(layer)}.items():
            yield Task("importance", Path(file), probe=probe)


def _row_probe(plan: Plan, row: str) -> str:
    return next((layer.probe for layer in plan.layers if layer.name == row), "")


GPUS = ("NVIDIA", "Tesla", "GeForce", "Quadro", "TITAN", "AMD Instinct", "AMD Radeon")
"""How torch's names of GPUs begin; an integrated one's stands at the end of its processor's."""


def used_gpu(origin: Mapping[str, Any]) -> bool:
    """Tell from a table's origin whether its job used a GPU: itself, or by the language model's server it started."""
    return origin["device"].startswith(GPUS) or bool(origin["notes"].get("server", {}).get("gpus"))

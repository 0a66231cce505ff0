"""Every job of a run by its rule, before the run and without Snakemake: what is to be made, and of how many items.

It repeats what the rules say of their files, so that progress can be told from outside and costs can be told before;
a test compares it with Snakemake's own count. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dnd.config import sweep
from dnd.config.evaluation import EvaluationSettings
from dnd.config.load import Config, config_file
from dnd.config.recipes import Recipe
from dnd.config.sweep import Layer
from dnd.probe import sources
from dnd.run.contents import load
from dnd.run.plan import Bundle, Pass, Plan, read_groups

BY_LAYER = ("clip-dissect", "compositional", "foreign", "invert", "milan", "network-dissection")
"""Rival methods with one job for each layer."""
ANNOTATED = ("compositional", "invert", "network-dissection")
"""Methods that look at annotations of the probe's images, the first and the last of them at masks."""


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
    config = load(values, " + ".join(map(str, files)))
    slugs = {layer: slug for layer, (slug, _) in sweep.known_layers(config).items()}
    return Plan(config, sweep.layers(config), slugs, read_groups(results(config) / "groups.tsv"))


def _joined(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings one in the other; of anything else the second wins."""
    found = dict(values)
    for key, value in others.items():
        before = found.get(key)
        found[key] = _joined(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return found


def results(config: Config) -> Path:
    """Return the folder of a run's results."""
    return Path("results", config.run)


def tasks(plan: Plan) -> list[Task]:
    """Return every job that ``snakemake`` does for a run from nothing, in the order of the stages."""
    folder = results(plan.config)
    last = [Task(rule, folder / name) for rule, name in LAST.items()]
    return [*_probes(plan), *_passes(plan), *_own(plan), *_rivals(plan), *_judging(plan), *last]


LAST = {"evaluation": "evaluation.parquet", "provenance": "provenance.json", "report": "report/index.html"}
"""Rule -> file, of jobs that a run has one of; the target ``all`` makes no file and does no work."""


def _probes(plan: Plan) -> Iterator[Task]:
    config, folder = plan.config, results(plan.config) / "probe"
    described = dict.fromkeys(layer.probe for layer in plan.layers)
    audits = dict.fromkeys(audit.probe for audit in config.audits.values() if audit.probe)
    held_out = config.evaluation.held_out
    needed = described | audits | ({held_out: None} if held_out and judged(plan) else {})
    for member in dict.fromkeys(one for name in needed for one in sources.rendered(name, config.probes)):
        yield Task("shapeworld_images", folder / member / "source", probe=member)
    for name in needed:
        yield Task("listing", folder / name / "listing.parquet", probe=name)
        for shard, part in _shards(plan, name):
            images = folder / name / f"images-{shard}.parquet"
            yield Task("probe", images, probe=name, part=part, counted=images)
        if name in described:
            yield Task("rejected", folder / name / "rejected.parquet")
    annotated = (layer.probe for layer in plan.layers if plan.config.recipes[layer.recipe].method in ANNOTATED)
    for name in dict.fromkeys(annotated):
        for shard, part in _shards(plan, name):
            yield Task("annotations", folder / name / f"annotations-{shard}.parquet", probe=name, part=part)


def _shards(plan: Plan, probe: str) -> Iterator[tuple[str, float]]:
    """Name of each shard of a probe, and the share of its images."""
    count = plan.config.probes[probe].shards
    return ((f"{i:05d}", 1 / count) for i in range(count))


def _passes(plan: Plan) -> Iterator[Task]:
    folder = results(plan.config)
    sizes = {(model, slug): count for (model, _), (slug, count) in sweep.known_layers(plan.config).items()}
    passes = dict.fromkeys((plan.pass_of(one), plan.group_of(plan.pass_of(one), one.slug)) for one in plan.layers)
    for one, group in passes:
        units = sum(sizes[one.model, slug] for slug in plan.hooked(one, group))
        for shard, part in _shards(plan, one.probe):
            images = folder / "probe" / one.probe / f"images-{shard}.parquet"
            output = _place(folder, one) / "parts" / str(group) / f"statistics-{shard}.parquet"
            yield Task("activations", output, units, one.probe, part, kept=one.k + one.controls, counted=images)
    for one, slug in dict.fromkeys((plan.pass_of(layer), layer.slug) for layer in plan.layers):
        output = _place(folder, one) / f"{slug}.parquet"
        yield Task("topk", output, sizes[one.model, slug], kept=one.k + one.controls, counted=output)


def _place(folder: Path, one: Pass) -> Path:
    return folder / "activations" / one.model / one.probe / f"{one.pooling}-{one.sign}-{one.k}-{one.controls}"


def _own(plan: Plan) -> Iterator[Task]:
    """The stages of our own method."""
    for bundle, layers in plan.bundles.items():
        recipe = plan.config.recipes[bundle.recipe]
        assert isinstance(recipe, Recipe)
        yield from _views(plan, layers, recipe)
        yield from _drawn(plan, bundle, sum(len(layer.units) for layer in layers), recipe)
        stages = ["scores"] if recipe.stopping is None else ["stopping", "scores"]
        yield from (task for stage in stages for layer in layers for task in _unit_shards(plan, layer, stage))


def _views(plan: Plan, layers: Sequence[Layer], recipe: Recipe) -> Iterator[Task]:
    stages = ["exemplars", "captions"]
    if recipe.concepts.look_alikes and not recipe.concepts.known_answers:
        stages.append("look_alikes")
    return (task for stage in stages for layer in layers for task in _unit_shards(plan, layer, stage))


def _drawn(plan: Plan, bundle: Bundle, units: int, recipe: Recipe) -> Iterator[Task]:
    folder, place = results(plan.config), Path(bundle.model, bundle.probe, bundle.recipe, bundle.bundle)
    for stage in ["concepts"] if recipe.refinement is None else ["concepts", "refinement"]:
        output = (folder / stage / place).with_name(f"{place.name}.parquet")
        yield Task(stage, output, units, recipe=bundle.recipe, counted=output)
    if recipe.generator is not None and recipe.stopping is None:
        parts = plan.config.shards.images
        for part in range(parts):
            output = folder / "images" / place / f"{part:03d}.parquet"
            yield Task("images", output, units / parts, recipe=bundle.recipe, counted=output)


def _unit_shards(plan: Plan, layer: Layer, stage: str) -> Iterator[Task]:
    if plan.serving(stage, layer) != layer:  # another layer's shards are the same
        return
    folder = results(plan.config) / layer.name / layer.slug / stage.replace("_", "-")
    for name, spelt in plan.unit_shards(layer).items():
        output = folder / f"{name}.parquet"
        yield Task(stage, output, len(sweep.units(spelt)), layer.probe, recipe=layer.recipe, counted=output)


def _rivals(plan: Plan) -> Iterator[Task]:
    """The other methods, and what is written of the labels of all."""
    recipes, folder = plan.config.recipes, results(plan.config)
    compared: dict[Path, tuple[Layer, set[int]]] = {}  # by masks; some layers share it
    for layer in plan.layers:
        recipe = recipes[layer.recipe]
        if recipe.method in ANNOTATED and recipe.method != "invert":
            name = f"{layer.slug}-overlaps.parquet"
            output = folder / "dissection" / layer.model / layer.probe / recipe.sign / name
            compared.setdefault(output, (layer, set()))[1].update(layer.units)
    for output, (layer, units) in compared.items():
        yield Task("dissection", output, len(units), layer.probe)
    for layer in plan.layers:
        place, method = folder / layer.name / layer.slug, recipes[layer.recipe].method
        if method in BY_LAYER:
            rule = method.replace("-", "_")
            yield Task(rule, place / f"{method}.parquet", len(layer.units), layer.probe, recipe=layer.recipe)
        elif method == "line":
            yield from _unit_shards(plan, layer, "line")
    for layer in plan.layers:
        output = folder / layer.name / layer.slug / "descriptions.parquet"
        yield Task("descriptions", output, len(layer.units), recipe=layer.recipe, counted=output)
        yield Task("report_layer", output.with_name("pages"), len(layer.units), recipe=layer.recipe)


def judged(plan: Plan) -> dict[tuple[str, str], list[Layer]]:
    """Return (model, slug) -> the layers of the sweep whose labels are judged together, beyond known answers."""
    found: dict[tuple[str, str], list[Layer]] = {}
    if plan.config.evaluation != EvaluationSettings():
        for layer in plan.layers:
            if not plan.config.recipes[layer.recipe].oracles:
                found.setdefault((layer.model, layer.slug), []).append(layer)
    return found


def _judging(plan: Plan) -> Iterator[Task]:
    config, folder = plan.config, results(plan.config)
    for (model, slug), layers in judged(plan).items():
        place, units = folder / "evaluation" / model / f"{slug}.parquet", sum(len(one.units) for one in layers)
        if config.evaluation.generator is not None:
            images = place.with_name(f"{slug}-images.parquet")
            yield Task("label_images", images, units, counted=images)
        yield Task("judgements", place, units, config.evaluation.held_out or "")
    for name, audit in config.audits.items():
        yield Task("audit", folder / "audits" / f"{name}.parquet", probe=audit.probe or _row_probe(plan, audit.row))
    if config.importance is not None:
        for model, probe, slug in dict.fromkeys((one.model, one.probe, one.slug) for one in plan.layers):
            yield Task("importance", folder / "importance" / model / probe / f"{slug}.parquet", probe=probe)


def _row_probe(plan: Plan, row: str) -> str:
    return next((layer.probe for layer in plan.layers if layer.name == row), "")


GPUS = ("NVIDIA", "Tesla", "GeForce", "Quadro", "TITAN", "AMD Instinct", "AMD Radeon")
"""How torch's names of GPUs begin; an integrated one's stands at the end of its processor's."""


def used_gpu(origin: Mapping[str, Any]) -> bool:
    """Tell from a table's origin whether its job used a GPU: itself, or by the language model's server it started."""
    return origin["device"].startswith(GPUS) or bool(origin["notes"].get("server", {}).get("gpus"))

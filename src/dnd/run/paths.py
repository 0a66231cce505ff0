"""Where the files of a run lie: the only place that spells their paths. Rules, tasks, costs and studies ask it.

No torch here: rules import it. Paths are relative to the folder that a run is started in, as Snakemake has them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from glob import escape
from pathlib import Path

from dnd.config.evaluation import EvaluationSettings
from dnd.config.recipes import Recipe
from dnd.config.sweep import MODULES, Layer
from dnd.run.plan import Bundle, Pass, Plan

PASS = "{model}/{probe}/{pooling}-{sign}-{k}-{controls}"
LAYER = "{name}/{slug}"
BUNDLE = "{model}/{probe}/{recipe}/{bundle}"

PATTERNS = {
    "groups": "groups.tsv",
    "status": "status.html",
    "servers": "logs/servers",
    "modules": MODULES,
    # a probe and its shards
    "renders": "probe/{probe}/source",
    "listing": "probe/{probe}/listing.parquet",
    "unlisted": "probe/{probe}/unlisted.parquet",
    "rejected": "probe/{probe}/rejected.parquet",
    "shuffled": "probe/{probe}/shuffled.parquet",
    "probe": "probe/{probe}/images-{shard}.parquet",
    "rejected_of_shard": "probe/{probe}/rejected-{shard}.parquet",
    "annotations": "probe/{probe}/annotations-{shard}.parquet",
    # a pass of a network over a probe
    "topk_of_shard": f"activations/{PASS}/parts/{{group}}/topk-{{shard}}.parquet",
    "statistics": f"activations/{PASS}/parts/{{group}}/statistics-{{shard}}.parquet",
    "controls": f"activations/{PASS}/parts/{{group}}/controls-{{shard}}.parquet",
    "topk": f"activations/{PASS}/{{slug}}.parquet",
    # a layer's shards of units
    "exemplars": f"{LAYER}/exemplars/{{units}}.parquet",
    "captions": f"{LAYER}/captions/{{units}}.parquet",
    "look_alikes": f"{LAYER}/look-alikes/{{units}}.parquet",
    "scores": f"{LAYER}/scores/{{units}}.parquet",
    "line": f"{LAYER}/line/{{units}}.parquet",
    "rounds_of_line": f"{LAYER}/line/{{units}}-rounds.parquet",
    # a bundle of layers
    "concepts": f"concepts/{BUNDLE}.parquet",
    "answers": f"concepts/{BUNDLE}-answers.parquet",
    "refinement": f"refinement/{BUNDLE}.parquet",
    "rounds": f"refinement/{BUNDLE}-rounds.parquet",
    "images": f"images/{BUNDLE}/{{part}}.parquet",
    # a layer
    "clip_dissect": f"{LAYER}/clip-dissect.parquet",
    "compositional": f"{LAYER}/compositional.parquet",
    "foreign": f"{LAYER}/foreign.parquet",
    "invert": f"{LAYER}/invert.parquet",
    "milan": f"{LAYER}/milan.parquet",
    "network_dissection": f"{LAYER}/network-dissection.parquet",
    "categories": f"{LAYER}/network-dissection-categories.parquet",
    "descriptions": f"{LAYER}/descriptions.parquet",
    "csv": f"{LAYER}/descriptions.csv",
    "facets": f"{LAYER}/facets.parquet",
    "scales": f"{LAYER}/scales.parquet",
    "explains": f"{LAYER}/explains.parquet",
    "pages": f"{LAYER}/pages",
    # a layer of a network, whatever describes it
    "patterns": "dissection/{model}/{probe}/{sign}/{slug}-patterns.parquet",
    "overlaps": "dissection/{model}/{probe}/{sign}/{slug}-overlaps.parquet",
    "label_images": "evaluation/{model}/{slug}-images.parquet",
    "judgements": "evaluation/{model}/{slug}.parquet",
    "importance": "importance/{model}/{probe}/{slug}.parquet",
    "audit": "audits/{audit}.parquet",
    "chart": "audits/{audit}.svg",
    # the run
    "evaluation": "evaluation.parquet",
    "comparisons": "comparisons.parquet",
    "report": "report",
    "page": "report/index.html",
    "provenance": "provenance.json",
}
"""Kind of file -> its path below the results folder, with wildcards. A stage's table bears the rule's name."""

WILDCARDS = dict.fromkeys(("name", "slug", "model", "probe", "recipe", "audit"), "[^/]+") | {
    "pooling": "mean|max|cls",
    "sign": "positive|negative",
    "k": r"\d+",
    "controls": r"\d+",
    "shard": r"\d{5}",
    "units": r"\d+-\d+",
    "group": r"\d+",
    "bundle": r"\d+-\d+",
    "part": r"\d{3}",
}
"""Wildcard -> the form of its values."""
_WILDCARD = re.compile(r"\{(\w+)\}")

OUTPUTS = {
    **{"shapeworld_images": "renders", "activations": "statistics", "dissection": "overlaps"},
    **{"report_layer": "pages", "report": "page"},
}
"""Rule -> the kind of its output, where that is not called after the rule."""


def job(rule: str) -> str:
    """Return what tells the jobs of a rule apart, by their wildcards; the only job of a rule needs nothing.

    It is part of the name of a log. Folders part the names of a bundle's, which may be as long as a file's name can be.
    """
    wildcards = _WILDCARD.findall(PATTERNS.get(OUTPUTS.get(rule, rule), ""))
    return ("/" if "bundle" in wildcards else "-").join(f"{{{name}}}" for name in wildcards)


@lru_cache
def _form(pattern: str) -> re.Pattern[str]:
    """The form of the paths of a pattern, with a group for each wildcard."""
    texts = _WILDCARD.split(pattern)  # every second one is a wildcard's name
    parts = (f"(?P<{text}>{WILDCARDS[text]})" if i % 2 else re.escape(text) for i, text in enumerate(texts))
    return re.compile("".join(parts))


class Paths:
    """The files of a run.

    Parameters
    ----------
    plan : whose layers, bundles and shards of units they belong to.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.results = str(plan.config.results)

    def pattern(self, kind: str) -> str:
        """Return the path of a kind of file, with wildcards."""
        return f"{self.results}/{PATTERNS[kind]}"

    def file(self, kind: str, **wildcards: object) -> str:
        """Return the path of a file by the values of its wildcards; values of others are left out."""
        return self.pattern(kind).format(**wildcards)

    def log(self, rule: str, suffix: str = "") -> str:
        """Return the path of the logs of a rule's jobs, with wildcards."""
        return f"{self.results}/logs/{rule}{job(rule) and '/'}{job(rule)}{suffix}.log"

    def benchmark(self, rule: str) -> str:
        """Return the path of the tables of time and memory of a rule's jobs, with wildcards."""
        return f"{self.results}/benchmarks/{rule}{job(rule) and '/'}{job(rule)}.tsv"

    def log_of(self, rule: str, output: str | Path) -> Path:
        """Return the log of the job of a rule that makes a file, as :func:`dnd.run.tasks.tasks` names it."""
        wildcards = _form(self.pattern(OUTPUTS.get(rule, rule))).fullmatch(str(output))
        if wildcards is None:
            raise ValueError(f"{output} is no file of rule {rule}")
        return Path(self.log(rule).format(**wildcards.groupdict()))

    @staticmethod
    def existing(pattern: str, **wildcards: object) -> list[Path]:
        """Return the files of a pattern that there are, sorted, by the values of some of its wildcards."""

        def glob(wildcard: re.Match[str]) -> str:
            return escape(str(wildcards.get(wildcard[1], ""))) or "*"

        def fits(file: Path) -> bool:
            values = _form(pattern).fullmatch(str(file))
            return values is not None and all(values[name] == str(value) for name, value in wildcards.items())

        return sorted(file for file in Path().glob(_WILDCARD.sub(glob, pattern)) if fits(file))

    def of_probe(self, kind: str, probe: str) -> list[str]:
        """Return the files of a kind of every shard of a probe."""
        count = self._plan.config.probes[probe].shards
        return [self.file(kind, probe=probe, shard=f"{shard:05d}") for shard in range(count)]

    def of_pass(self, kind: str, place: Pass, group: int) -> list[str]:
        """Return the files of a kind of every probe shard of a group's pass."""
        count = self._plan.config.probes[place.probe].shards
        return [self.file(kind, **place._asdict(), group=group, shard=f"{shard:05d}") for shard in range(count)]

    def topk(self, layer: Layer) -> str:
        """Return the merged activations of a layer."""
        return self.file("topk", **self._plan.pass_of(layer)._asdict(), slug=layer.slug)

    def of_layer(self, kind: str, layer: Layer) -> str:
        """Return the file of a kind of a layer."""
        return self.file(kind, name=layer.name, slug=layer.slug)

    def shard(self, stage: str, layer: Layer, units: str) -> str:
        """Return the table of a stage for a shard of a layer's units; it may lie with another layer that shares it."""
        place = self._plan.serving(stage, layer)
        return self.file(stage, name=place.name, slug=place.slug, units=units)

    def shards(self, stage: str, layer: Layer) -> list[str]:
        """Return the tables of a stage for all units of a layer."""
        return [self.shard(stage, layer, units) for units in self._plan.unit_shards(layer)]

    def of_bundle(self, kind: str, bundle: Bundle) -> str:
        """Return the file of a kind of a bundle."""
        return self.file(kind, **bundle._asdict())

    def refined(self, bundle: Bundle) -> list[str]:
        """Return the candidates of a bundle with better ones that were looked for; none where none are."""
        return [self.of_bundle("refinement", bundle)] if self._plan.recipe_of(bundle).refinement else []

    def candidates(self, bundle: Bundle) -> str:
        """Return the candidate concepts of a bundle that are drawn and scored."""
        return (self.refined(bundle) or [self.of_bundle("concepts", bundle)])[0]

    def images_of_bundle(self, bundle: Bundle) -> list[str]:
        """Return the pictures of a bundle; none where its recipe has no generator."""
        if self._plan.recipe_of(bundle).generator is None:
            return []
        parts = range(self._plan.config.shards.images)
        return [self.file("images", **bundle._asdict(), part=f"{part:03d}") for part in parts]

    def images(self, layer: Layer) -> list[str]:
        """Return the pictures of a layer's bundle, its candidates among them; none of another method's."""
        return self.images_of_bundle(self._plan.bundle_of(layer)) if self._plan.is_ours(layer) else []

    def scores(self, layer: Layer) -> list[str]:
        """Return the tables of scored candidates of a layer, whatever the method."""
        method = self._plan.config.recipes[layer.recipe].method
        if method in ("dnd", "line"):
            return self.shards("scores" if method == "dnd" else method, layer)
        return [self.of_layer(method.replace("-", "_"), layer)]

    def scales(self, layer: Layer) -> list[str]:
        """Return the fitted scales of a layer's embedder; none where they are given, or no picture tells them."""
        recipe = self._plan.config.recipes[layer.recipe]
        return [self.of_layer("scales", layer)] if isinstance(recipe, Recipe) and recipe.fits_scales else []

    def explains(self, layer: Layer) -> list[str]:
        """Return the table of what a layer's labels explain; none where no embedder can tell what shows a label."""
        embedder = getattr(self._plan.config.recipes[layer.recipe], "embedder", None)
        told = embedder is not None and (embedder.scale is not None or self.scales(layer))
        return [self.of_layer("explains", layer)] if told else []

    def look_alikes(self, bundle: Bundle) -> list[str]:
        """Return the look-alikes of every layer of a bundle, where its recipe shows them."""
        asked = self._plan.recipe_of(bundle).concepts
        if not asked.look_alikes or asked.known_answers:
            return []
        return [path for layer in self._plan.bundles[bundle] for path in self.shards("look_alikes", layer)]

    def judgements(self) -> list[str]:
        """Return the tables of metrics beyond known answers, one for each layer of a network; often none."""
        if self._plan.config.evaluation == EvaluationSettings():
            return []
        return [self.file("judgements", model=model, slug=slug) for model, slug in self._plan.judged]

    def importance(self, layer: Layer) -> list[str]:
        """Return the table of what a layer's units add to the network's answers, where it is asked for."""
        asked = self._plan.config.importance is not None
        return [self.file("importance", model=layer.model, probe=layer.probe, slug=layer.slug)] if asked else []

    def beyond_labels(self) -> list[str]:
        """Return the results of causal checks that the configuration asks for."""
        audits = [self.file(kind, audit=audit) for audit in self._plan.config.audits for kind in ("audit", "chart")]
        return list(dict.fromkeys([*audits, *(path for layer in self._plan.layers for path in self.importance(layer))]))

    def everything(self) -> list[str]:
        """Return all that a configuration asks for."""
        layers = self._plan.layers
        described = [self.of_layer(kind, layer) for layer in layers for kind in ("descriptions", "csv")]
        rejected = [self.file("rejected", probe=probe) for probe in sorted({layer.probe for layer in layers})]
        whole = [self.file(kind) for kind in ("evaluation", "comparisons", "page", "provenance")]
        return [*described, *rejected, *whole, *self.beyond_labels()]

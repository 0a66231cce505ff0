"""How many items the jobs of a run have to work on: what their time grows with, and the size of their files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dnd.config import shipped
from dnd.config.recipes import Recipe
from dnd.config.rivals import LineRecipe
from dnd.io import tables
from dnd.probe import sources
from dnd.run.cost.rates import Assumptions
from dnd.run.paths import Paths
from dnd.run.plan import Plan
from dnd.run.tasks import Task

NOUNS = {
    **dict.fromkeys(("shapeworld_images", "listing", "probe", "annotations", "activations", "dissection"), "images"),
    **dict.fromkeys(
        ("topk", "descriptions", "report_layer", "milan", "invert", "compositional", "network_dissection"), "units"
    ),
    **dict.fromkeys(("images", "label_images"), "drawing steps"),
    **dict.fromkeys(("concepts", "line"), "questions"),
    **dict.fromkeys(
        ("scores", "scales", "explains", "clip_dissect", "linear_explanations", "audit", "importance"), "pictures seen"
    ),
    **{"exemplars": "exemplars", "captions": "views", "judgements": "labels", "foreign": "labels"},
}
"""Rule -> what the items are that its jobs' time grows with; of other rules each job is alike."""


SCALED = 128
"""Concepts whose pictures an embedder's scale is fitted to: ``dnd.selection.scales.MOST``, which brings torch."""


class Amounts:
    """Items of jobs.

    Parameters
    ----------
    assume : what the configuration does not tell.
    """

    def __init__(self, plan: Plan, assume: Assumptions) -> None:
        self.config, self.paths, self.assume = plan.config, Paths(plan), assume
        self.images = cache(self._images)

    def _images(self, name: str) -> float:
        """Images of a probe: as listed by an earlier run, as its settings or its files say, or as assumed."""
        listing = Path(self.paths.file("listing", probe=name))
        if listing.exists():
            return tables.count(listing)
        settings = self.config.probes[name]
        if settings.members:
            count = sum(self.images(member) for member in settings.members)
        elif settings.source == "shapeworld":
            count = settings.images
        elif settings.source in ("folder", "manifest"):
            count = len(sources.source_of(name, settings).files())
        else:
            count = settings.sample or settings.limit or self.assume.probe_images
        count = min(count, settings.limit or count, settings.sample or count)
        return count / (int(settings.part.partition("/")[2]) if settings.part else 1)

    def items(self, task: Task) -> float:
        """Return what the time of a job grows with, as ``NOUNS`` names it."""
        evaluation = self.config.evaluation
        recipe = self.config.recipes[task.recipe] if task.recipe else None
        match task.rule:
            case "audit":
                audit = self.config.audits[Path(task.output).stem]
                return self.images(task.probe) * (2 + audit.controls)
            case "importance":
                assert self.config.importance is not None
                return self.config.importance.images * self.config.importance.steps
            case "label_images":
                assert evaluation.generator is not None
                return task.units * evaluation.generator.images * evaluation.generator.steps
            case "clip_dissect" | "linear_explanations" | "explains":
                return self.images(task.probe)
        if NOUNS.get(task.rule) == "images":
            return self.images(task.probe) * task.part
        if isinstance(recipe, LineRecipe):
            return task.units * recipe.rounds
        return self._items_of_recipe(task, recipe) if isinstance(recipe, Recipe) else task.units

    def _items_of_recipe(self, task: Task, recipe: Recipe) -> float:
        """Items of the stages of our own method."""
        match task.rule:
            case "exemplars":
                return task.units * recipe.exemplars.keep * self.assume.exemplars
            case "captions":
                shown = task.units * recipe.exemplars.keep * self.assume.exemplars
                return 0 if recipe.captions.oracle else shown * self.assume.views
            case "concepts":
                return task.units * questions(recipe) * self.assume.questions
            case "images":
                assert recipe.generator is not None
                return self.drawn(task) * recipe.generator.steps
            case "scales":
                assert recipe.generator is not None
                return min(self.drawn(task), SCALED * recipe.generator.images)
            case "scores":
                if recipe.generator is None:
                    return 0
                borrowed = recipe.scores.borrow if recipe.scores.reads_probe else 0
                seen = task.units * (self.assume.candidates + borrowed) * recipe.generator.images
                return seen + (self.images(task.probe) if recipe.scores.reads_probe else 0)
        return task.units

    def drawn(self, task: Task) -> float:
        """Return how many images a job draws for candidates."""
        recipe = self.config.recipes[task.recipe]
        assert isinstance(recipe, Recipe) and recipe.generator is not None
        return task.units * self.assume.candidates * self.assume.concepts * recipe.generator.images

    def volume(self, task: Task) -> float:
        """Return what the size of a job's files grows with: mostly its items, but steps or layers leave no files."""
        if task.kept:
            return task.units * task.kept
        return self.drawn(task) if task.rule == "images" else self.items(task)

    def size(self, task: Task, rate: float) -> float:
        """Return the bytes of a job's files; images of the user's are taken to be as large as is assumed."""
        if task.rule == "probe" and self.config.probes[task.probe].source != "shapeworld":
            return self.items(task) * self.assume.image_bytes
        return self.volume(task) * rate

    def tokens(self, task: Task) -> tuple[float, float]:
        """Return the tokens of a job's questions and of their answers; four characters of a prompt's file are one."""
        recipe = self.config.recipes[task.recipe] if task.recipe else None
        asked = self.items(task)
        if isinstance(recipe, LineRecipe):
            prompt = _tokens_of(recipe.prompt)
        elif isinstance(recipe, Recipe) and task.rule == "concepts":
            exemplar = self.assume.picture_tokens if recipe.concepts.show_images else self.assume.caption_tokens
            prompt = _tokens_of(recipe.concepts.prompt) + exemplar * recipe.exemplars.keep
        else:
            return 0, 0
        return asked * prompt, asked * self.assume.answer_tokens


def questions(recipe: Recipe) -> int:
    """Return how many questions a recipe provides for about a unit."""
    concepts = recipe.concepts
    if concepts.known_answers:
        return 0
    groups = concepts.clusters * concepts.cluster_samples if concepts.clusters > 1 else 0
    return concepts.samples + len(concepts.prompts) * concepts.further_samples + groups


def _tokens_of(prompt: Path) -> float:
    return len(shipped.path(prompt).read_text(encoding="utf-8")) / 4

"""One unit at a time as the released driver of Describe-and-Dissect works, by this project's models and settings.

What is like the driver: the target and the embedder are loaded from their files for every unit, the target three times;
maps, views and generated images pass the target one by one; every image is drawn by a call of its own; questions are
asked one after another, one to shorten each caption among them; nothing is kept for another unit. The captioner and the
generator stay loaded, as there. Source: ``describe_neurons.py``, ``DnD_models.py``, ``utils.py``.

What is spared it: the probe's evidence for candidates, which is this project's own. Its shortened captions are thrown
away, since the embedded language model was not taught to shorten: candidates are ours.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import pyarrow as pa

from benchmarks.world import ROOT, World
from dnd.backends.captioner import TransformersCaptioner
from dnd.backends.chat import ChatClient
from dnd.backends.embedder import TransformersEmbedder
from dnd.backends.generator import DiffusersGenerator
from dnd.backends.messages import Answer, Request
from dnd.backends.server import Endpoint
from dnd.candidates import captions, concepts, prompts
from dnd.config.stages import ScoreSettings
from dnd.io import schemas, tables
from dnd.io.rows import Concept
from dnd.io.store import Store
from dnd.probe import pack
from dnd.selection import drawn as drawn_concepts
from dnd.selection import images, scores
from dnd.target import activations, exemplars

PASS = 200
"""Images of the probe that it looks at together."""


class Driver:
    """Describes units of the first layer, one call for each; candidates are those that the world knows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.captioner = TransformersCaptioner(world.recipe.captions)
        self.captioner.size.items = world.recipe.exemplars.keep  # a unit's images in one batch
        self.generator = DiffusersGenerator(world.recipe.generator)
        self.generator.size.items = 1

    def look_at_probe(self) -> float:
        """Return the seconds of the pass over the probe that it makes for each layer."""
        begun, world, recipe = time.perf_counter(), self.world, self.world.recipe
        controls = pack.controls(world.probe, recipe.controls)
        for shard in world.probe:
            activations.run(
                world.target(), {"l": world.layer}, shard, controls, pooling=recipe.pooling, k=recipe.kept, batch=PASS
            )
        return time.perf_counter() - begun

    def describe(self, unit: int) -> pa.Table:
        """Return the SCORES of a unit."""
        world, recipe = self.world, self.world.recipe
        look = partial(exemplars.run, pooling=recipe.pooling, settings=recipe.exemplars, batch=1)
        target = world.target()
        shown = look(target, world.layer, world.top([unit]), world.probe)
        target = world.target()  # once for the maps, once for the ranks
        with tempfile.TemporaryDirectory() as folder:
            lines = captions.run(
                self.captioner,
                shown.select(["image_id", "box"]),
                world.probe,
                recipe.captions,
                Store(f"{folder}/captions"),
            )
            found = self.candidates(unit, shown, lines)
            wanted = [row.concept for row in found]
            drawn = images.run(self.generator, wanted, recipe.generator, Store(f"{folder}/images"))
            path = Path(folder, "images.parquet")
            tables.write(path, drawn, schemas.IMAGES)
            target, embedder = world.target(), TransformersEmbedder(recipe.embedder)
            embedder.size.items = recipe.generator.images
            drawn_concepts.BATCH, batch = 1, drawn_concepts.BATCH
            try:
                return scores.run(
                    target,
                    world.layer,
                    embedder,
                    scores.DrawnShard(
                        found, [path], shown.select(["unit", "rank", "image_id", "box"]), world.topk, world.probe
                    ),
                    pooling=recipe.pooling_of_views,
                    weights=ScoreSettings(combination="topk-compare"),  # as released
                )
            finally:
                drawn_concepts.BATCH = batch

    def candidates(self, unit: int, shown: pa.Table, lines: pa.Table) -> list[Concept]:
        """Return the candidates of a unit, whose EXEMPLARS and CAPTIONS are given."""
        return self.world.concepts([unit])


class AskingDriver(Driver):
    """Asks a language model for the candidates of a unit."""

    def __init__(self, world: World, server: Endpoint) -> None:
        super().__init__(world)
        self.client = ChatClient(server, world.llm.model, "released", title="")
        self.shorten = partial(prompts.messages, prompts.read_prompt(ROOT / "config/prompts/compat-simplify.yaml"))

    def candidates(self, unit: int, shown: pa.Table, lines: pa.Table) -> list[Concept]:
        """Ask, after a question for each caption."""
        units = concepts.unit_captions("released", self.world.layer, shown, lines)
        concepts.simplified(units, self._ask, self.world.plain, self.shorten)
        return tables.rows_of(concepts.propose(units, self._ask, self.world.plain)[0], Concept)

    def _ask(self, asked: list[Request]) -> list[Answer]:
        return [self.client.ask([one], 1, None)[0] for one in asked]

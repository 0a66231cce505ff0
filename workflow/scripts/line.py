"""In: control activations, target, generator, prompt. Out: SCORES and LINE_ROUNDS of a unit shard."""

from functools import partial
from pathlib import Path

import pyarrow.compute as pc

from dnd import images, jobs, schemas, tables, target_sources, trials
from dnd.backends import generator
from dnd.backends.llm import session
from dnd.baselines import line
from dnd.methods import LineRecipe
from dnd.reading import Reader
from dnd.settings import LlmSettings
from dnd.store import Store
from dnd.subjects import TargetSettings
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, wildcards, config = snakemake.params, snakemake.wildcards, snakemake.config
# not from the parameters: what says where or how fast changes no result
settings = LineRecipe(**config["recipes"][params.recipe])
llm = settings.llm or LlmSettings(**config["llm"])
own = pc.field("unit").isin(list(units(params.units)))
topk = tables.read(snakemake.input.topk, schemas.TOPK, ["unit", "idle", "controls"], own)
searches = trials.searches(wildcards.name, wildcards.slug, topk.to_pylist())
section = f"recipes.{params.recipe}.generator"
draw = partial(
    images.run,
    generator.load(settings.generator, section),
    settings=settings.generator,
    store=Store(config["store"] + "/images"),
    order=snakemake.output.scores,
    section=section,
)
target = target_sources.load(TargetSettings(**params.target), sign=settings.sign)
read = Reader(target, params.layer, [one.unit for one in searches], settings.pooling, draw, "line")
with session(llm, Store(config["store"] + "/answers"), Path(snakemake.log.server), job.note) as ask:
    scores, rounds = line.run(searches, ask, read, settings)
tables.write(snakemake.output.scores, scores, schemas.SCORES, origin=job.origin())
tables.write(snakemake.output.rounds, rounds, schemas.LINE_ROUNDS, origin=job.origin())

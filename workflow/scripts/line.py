"""In: control activations, target, generator, prompt. Out: SCORES and LINE_ROUNDS of a unit shard."""

from functools import partial
from pathlib import Path

import pyarrow.compute as pc

from dnd.backends import generator
from dnd.backends.llm import session
from dnd.candidates import search
from dnd.config.backends import LlmSettings
from dnd.config.rivals import LineRecipe
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.rivals import line
from dnd.run import job as jobs
from dnd.selection import images
from dnd.target import sources
from dnd.target.generated import Reader

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, wildcards, config = snakemake.params, snakemake.wildcards, snakemake.config
# not from the parameters: what says where or how fast changes no result
settings = LineRecipe(**config["recipes"][params.recipe])
llm = settings.llm or LlmSettings(**config["llm"])
own = pc.field("unit").isin(list(units(params.units)))
topk = tables.read(snakemake.input.topk, schemas.TOPK, ["unit", "idle", "controls"], own)
searches = search.searches(wildcards.name, wildcards.slug, topk.to_pylist())
section = f"recipes.{params.recipe}.generator"
draw = partial(
    images.run,
    generator.load(settings.generator, section),
    settings=settings.generator,
    store=Store(config["store"] + "/images"),
    order=snakemake.output.scores,
    section=section,
)
target = sources.load(TargetSettings(**params.target), sign=settings.sign)
read = Reader(target, params.layer, [one.unit for one in searches], settings.pooling, draw, "line")
with session(llm, Store(config["store"] + "/answers"), Path(snakemake.log.server), job.note) as ask:
    scores, rounds = line.run(searches, ask, read, settings)
tables.write(snakemake.output.scores, scores, schemas.SCORES, origin=job.origin())
tables.write(snakemake.output.rounds, rounds, schemas.LINE_ROUNDS, origin=job.origin())

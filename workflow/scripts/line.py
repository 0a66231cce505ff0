"""In: control activations, target, generator, prompt. Out: SCORES and LINE_ROUNDS of a unit shard."""

from pathlib import Path

import pyarrow.compute as pc

from dnd.backends.llm import session
from dnd.candidates import search
from dnd.config.backends import LlmSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.io.rows import Controls
from dnd.io.store import Store
from dnd.rivals import line
from dnd.run import job as jobs
from dnd.selection import images
from dnd.target import sources
from dnd.target.generated import Reader

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, wildcards, config, recipe = snakemake.params, snakemake.wildcards, snakemake.config, job.recipe(snakemake)
own = pc.field("unit").isin(list(units(params.units)))
topk = tables.read(snakemake.input.topk, schemas.TOPK, ["unit", "idle", "controls"], own)
searches = search.searches(wildcards.name, wildcards.slug, tables.rows_of(topk, Controls))
draw = images.drawer(recipe.generator, config["store"], snakemake.output.scores, params.recipe)
target = sources.load(TargetSettings(**params.target), sign=recipe.sign)
read = Reader(target, params.layer, [search.unit for search in searches], recipe.pooling, draw, "line")
answered, llm = Store(f"{config['store']}/answers"), recipe.llm or LlmSettings(**config["llm"])
with session(llm, answered, Path(snakemake.log.server), job.note) as ask:
    scores, rounds = line.run(searches, ask, read, recipe)
tables.write(snakemake.output.scores, scores, schemas.SCORES, origin=job.origin())
tables.write(snakemake.output.rounds, rounds, schemas.LINE_ROUNDS, origin=job.origin())

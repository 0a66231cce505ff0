"""In: control activations, target, generator, prompt. Out: SCORES and LINE_ROUNDS of a unit shard."""

from dnd.config.backends import LlmSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.rivals import line
from dnd.run import job as jobs
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, config, recipe, output = snakemake.params, snakemake.config, job.recipe(snakemake), snakemake.output
target = sources.load(TargetSettings(**params.target), sign=recipe.sign)
shard = (snakemake.wildcards.name, snakemake.wildcards.slug, units(params.units))
place = {"store": config["store"], "output": output.scores, "log_path": snakemake.log.server, "note": job.note}
models = {"recipe_name": params.recipe, "llm": recipe.llm or LlmSettings(**config["llm"])}
scores, rounds = line.of_shard(target, params.layer, recipe, snakemake.input.topk, shard, **models, **place)
tables.write(output.scores, scores, schemas.SCORES, origin=job.origin())
tables.write(output.rounds, rounds, schemas.LINE_ROUNDS, origin=job.origin())

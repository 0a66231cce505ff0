"""In: CONCEPTS, EXEMPLARS and CAPTIONS of a bundle, control activations. Out: CONCEPTS with more, REFINEMENT_ROUNDS."""

from pathlib import Path

from dnd.backends.llm import session
from dnd.candidates import refinement, shards
from dnd.config.backends import LlmSettings
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs
from dnd.selection import images
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given, config, recipe = snakemake.params, snakemake.input, snakemake.config, job.recipe(snakemake)
drawing = recipe.generator.model_copy(update={"images": recipe.refinement.images})
section = f"recipes.{snakemake.wildcards.recipe}.generator"
draw = images.drawer(drawing, config["store"], snakemake.output.concepts, section)
target = sources.load(TargetSettings(**params.target), sign=params.sign)
refiner = refinement.Refiner(target, recipe, draw, config["store"])
first, further, rounds = tables.read(given.concepts, schemas.CONCEPTS), [], []
topk = dict(zip(params.topk, given.topk, strict=True))
llm = recipe.refinement.llm or LlmSettings(**config["llm"])
with session(llm, Store(f"{config['store']}/answers"), Path(snakemake.log.server), job.note) as ask:
    for (name, slug, layer, units), *files in zip(params.shards, given.exemplars, given.captions, strict=True):
        named = shards.read_concepts(given.concepts, name, slug, units)
        found = refiner.of_shard(shards.read(name, slug, *files), layer, named, topk[slug], ask)
        further += found[0]
        rounds += found[1]
origin, rounds = job.origin(), tables.table(rounds, schemas.REFINEMENT_ROUNDS)
tables.write(snakemake.output.rounds, rounds, schemas.REFINEMENT_ROUNDS, origin=origin)
joined = refinement.joined(first, further)
tables.write(snakemake.output.concepts, joined, schemas.CONCEPTS, row_group_size=4096, origin=origin)

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
draw = images.drawer(drawing, config["store"], snakemake.output.concepts, snakemake.wildcards.recipe)
target = sources.load(TargetSettings(**params.target), sign=params.sign)
refiner = refinement.Refiner(target, recipe, draw, config["store"])
topk, files = dict(zip(params.topk, given.topk, strict=True)), zip(given.exemplars, given.captions, strict=True)
views = [shards.read(name, slug, *pair) for (name, slug, *_), pair in zip(params.shards, files, strict=True)]
asked = [(view, layer, units, topk[slug]) for view, (_, slug, layer, units) in zip(views, params.shards, strict=True)]
llm = recipe.refinement.llm or LlmSettings(**config["llm"])
with session(llm, Store(f"{config['store']}/answers"), Path(snakemake.log.server), job.note) as ask:
    concepts, rounds = refiner.of_bundle(given.concepts, asked, ask)
origin = job.origin()
tables.write(snakemake.output.rounds, rounds, schemas.REFINEMENT_ROUNDS, origin=origin)
tables.write(snakemake.output.concepts, concepts, schemas.CONCEPTS, row_group_size=4096, origin=origin)

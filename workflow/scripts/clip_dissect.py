"""In: TOPK of a layer, the probe, a list of concepts, an embedder. Out: SCORES of its units, by CLIP-Dissect."""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import clip_dissect
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, recipe = snakemake.input, job.recipe(snakemake)
embedders = clip_dissect.embedders(recipe, snakemake.config["store"])
found = clip_dissect.run(recipe, *embedders, given.topk, given.probe, units(snakemake.params.units))
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

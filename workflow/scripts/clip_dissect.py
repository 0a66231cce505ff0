"""In: TOPK of a layer, the probe, a list of concepts, an embedder. Out: SCORES of its units, by CLIP-Dissect."""

from typing import TYPE_CHECKING

from dnd.config.rivals import ClipDissectRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import clip_dissect, embedded
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, recipe = snakemake.input, job.recipe(snakemake, ClipDissectRecipe)
embedders = embedded.embedders(recipe, snakemake.config["store"])
found = clip_dissect.run(recipe, *embedders, given.topk, given.probe, units(snakemake.params.units))
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

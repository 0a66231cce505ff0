"""In: TOPK of a layer, the probe, a list of concepts, an embedder. Out: SCORES of its units, by Linear Explanations."""

from typing import TYPE_CHECKING

from dnd.config.rivals import LinearExplanationsRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import embedded, linear_explanations
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, recipe = snakemake.input, job.recipe(snakemake, LinearExplanationsRecipe)
embedders = embedded.embedders(recipe, snakemake.config["store"])
scores = linear_explanations.run(recipe, *embedders, given.topk, given.probe, units(snakemake.params.units))
tables.write(snakemake.output[0], scores, schemas.SCORES, origin=job.origin())

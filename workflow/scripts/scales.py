"""In: CONCEPTS and IMAGES of a recipe, an embedder. Out: SCALES of the embedder."""

from typing import TYPE_CHECKING

from dnd.candidates import shards
from dnd.config.recipes import Recipe
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.selection import scales

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, wildcards, recipe = snakemake.input, snakemake.wildcards, job.recipe(snakemake, Recipe)
assert recipe.embedder is not None
concepts = shards.vocabulary(given.concepts, wildcards.name, wildcards.slug)
fitted = scales.of_recipe(recipe.embedder, concepts, given.images, snakemake.config["store"])
tables.write(snakemake.output[0], fitted, schemas.SCALES, origin=job.origin())

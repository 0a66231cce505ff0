"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Compositional Explanations."""

from typing import TYPE_CHECKING

from dnd.config.rivals import CompositionalRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import compositional
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, asked = snakemake.input, units(snakemake.params.units)
found = compositional.run(job.recipe(snakemake, CompositionalRecipe), given.patterns, given.overlaps, given.topk, asked)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

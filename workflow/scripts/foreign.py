"""In: a table of labels from another tool, TOPK of a layer. Out: SCORES of the asked units."""

from typing import TYPE_CHECKING

from dnd.config.rivals import ForeignRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import foreign
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
found = foreign.run(job.recipe(snakemake, ForeignRecipe), params.layer, snakemake.input.topk, units(params.units))
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

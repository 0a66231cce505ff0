"""In: a table of labels from another tool, TOPK of a layer. Out: SCORES of the asked units."""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import foreign
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
found = foreign.run(job.recipe(snakemake), params.layer, snakemake.input.topk, units(params.units))
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

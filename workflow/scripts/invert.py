"""In: TOPK of a layer, the probe and its annotations. Out: SCORES of its units, by INVERT."""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import invert
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, asked = snakemake.input, units(snakemake.params.units)
found = invert.run(job.recipe(snakemake), given.annotations, given.topk, given.probe, asked)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

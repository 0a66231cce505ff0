"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Compositional Explanations."""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import compositional
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, asked = snakemake.input, units(snakemake.params.units)
found = compositional.run(job.recipe(snakemake), given.patterns, given.overlaps, given.topk, asked)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

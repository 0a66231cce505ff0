"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Network Dissection, and DISSECTION."""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import network_dissection
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, asked = snakemake.input, units(snakemake.params.units)
found, report = network_dissection.run(job.recipe(snakemake), given.patterns, given.overlaps, given.topk, asked)
tables.write(snakemake.output.scores, found, schemas.SCORES, origin=job.origin())
tables.write(snakemake.output.report, report, schemas.DISSECTION, origin=job.origin())

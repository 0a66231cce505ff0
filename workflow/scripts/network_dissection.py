"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Network Dissection, and DISSECTION."""

from dnd.config.rivals import NetworkDissectionRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import network_dissection
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
found, report = network_dissection.run(
    NetworkDissectionRecipe(**snakemake.params.recipe),
    tables.read(snakemake.input.patterns, schemas.PATTERNS),
    tables.read(snakemake.input.overlaps, schemas.OVERLAPS),
    topk=snakemake.input.topk,
    units=list(units(snakemake.params.units)),
)
tables.write(snakemake.output.scores, found, schemas.SCORES, origin=job.origin())
tables.write(snakemake.output.report, report, schemas.DISSECTION, origin=job.origin())

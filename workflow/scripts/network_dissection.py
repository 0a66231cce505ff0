"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Network Dissection, and DISSECTION."""

from dnd import jobs, tables
from dnd.baselines import network_dissection
from dnd.methods import NetworkDissectionRecipe
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
found, report = network_dissection.run(
    NetworkDissectionRecipe(**snakemake.params.recipe),
    tables.read(snakemake.input.patterns, tables.PATTERNS),
    tables.read(snakemake.input.overlaps, tables.OVERLAPS),
    topk=snakemake.input.topk,
    units=list(units(snakemake.params.units)),
)
tables.write(snakemake.output.scores, found, tables.SCORES, origin=job.origin())
tables.write(snakemake.output.report, report, tables.DISSECTION, origin=job.origin())

"""In: the probe, its ANNOTATIONS and a target. Out: PATTERNS of the probe and OVERLAPS of a layer's units."""

from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.rivals import dissection
from dnd.run import job as jobs
from dnd.target import sources

job, params = jobs.begin(snakemake.log[0], snakemake.threads), snakemake.params
target = sources.load(TargetSettings(**params.target), sign=params.sign)
files, asked = (snakemake.input.probe, snakemake.input.annotations), units(params.units)
patterns, overlaps = dissection.run(target, params.layer, *files, units=asked, quantiles=params.quantiles)
tables.write(snakemake.output.patterns, patterns, schemas.PATTERNS, row_group_size=65536, origin=job.origin())
tables.write(snakemake.output.overlaps, overlaps, schemas.OVERLAPS, row_group_size=1048576, origin=job.origin())

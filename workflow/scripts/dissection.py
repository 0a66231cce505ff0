"""In: the probe, its ANNOTATIONS and a target. Out: PATTERNS of the probe and OVERLAPS of a layer's units."""

from dnd import dissection, jobs, schemas, tables, target_sources
from dnd.subjects import TargetSettings
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
patterns, overlaps = dissection.run(
    target_sources.load(TargetSettings(**params.target), sign=params.sign),
    params.layer,
    snakemake.input.probe,
    snakemake.input.annotations,
    units=list(units(params.units)),
    quantiles=params.quantiles,
)
origin = job.origin()
tables.write(snakemake.output.patterns, patterns, schemas.PATTERNS, row_group_size=65536, origin=origin)
tables.write(snakemake.output.overlaps, overlaps, schemas.OVERLAPS, row_group_size=1048576, origin=origin)

"""In: TOPK of a layer, the probe, a describer. Out: SCORES of its units, by MILAN."""

from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.rivals import milan
from dnd.run import job as jobs
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given = snakemake.params, snakemake.input
target = sources.load(TargetSettings(**params.target), sign=params.sign)
found = milan.of_layer(target, params.layer, job.recipe(snakemake), given.topk, given.probe, units(params.units))
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

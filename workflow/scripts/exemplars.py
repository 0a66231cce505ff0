"""In: TOPK of a layer and the probe. Out: EXEMPLARS of a unit shard; idle units get none, unless asked for."""

from typing import TYPE_CHECKING

from dnd.config.stages import ExemplarSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.target import exemplars, sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given = snakemake.params, snakemake.input
target = sources.load(TargetSettings(**params.target), sign=params.sign)
how = {"pooling": params.pooling, "settings": ExemplarSettings(**params.exemplars)}
found = exemplars.of_units(target, params.layer, given.topk, units(params.units), given.probe, **how)
tables.write(snakemake.output[0], found, schemas.EXEMPLARS, origin=job.origin())

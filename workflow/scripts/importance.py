"""In: the probe. Out: IMPORTANCE of every unit of a layer."""

from typing import TYPE_CHECKING

from dnd.config.evaluation import ImportanceSettings
from dnd.config.targets import TargetSettings
from dnd.evaluation import importance
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.target import sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
target, settings = sources.load(TargetSettings(**params.target)), ImportanceSettings(**params.importance)
found = importance.run(target, params.layer, snakemake.input.probe, settings)
tables.write(snakemake.output[0], found, schemas.IMPORTANCE, origin=job.origin())

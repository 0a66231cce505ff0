"""In: the probe. Out: IMPORTANCE of every unit of a layer."""

from pathlib import Path

from dnd import importance, jobs, schemas, tables, target_sources
from dnd.judging import ImportanceSettings
from dnd.subjects import TargetSettings

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
found = importance.run(
    target_sources.load(TargetSettings(**params.target)),
    params.layer,
    [Path(shard) for shard in snakemake.input.probe],
    ImportanceSettings(**params.importance),
)
tables.write(snakemake.output[0], found, schemas.IMPORTANCE, origin=job.origin())

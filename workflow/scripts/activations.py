"""In: a probe shard. Out: its part of the top-k, the statistics and the control activations of every layer."""

from typing import TYPE_CHECKING

from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.probe import pack
from dnd.run import job as jobs
from dnd.target import activations, sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
topk, statistics, controls = activations.run(
    sources.load(TargetSettings(**params.target), sign=snakemake.wildcards.sign),
    params.layers,
    snakemake.input.shard,
    pack.read_controls(snakemake.input.shuffled, int(snakemake.wildcards.controls)),
    pooling=snakemake.wildcards.pooling,
    k=int(snakemake.wildcards.k),
    units=params.units,
)
origin = job.origin()
tables.write(snakemake.output.topk, topk, schemas.TOPK_PART, row_group_size=256, origin=origin)
tables.write(snakemake.output.statistics, statistics, schemas.STATISTICS_PART, row_group_size=65536, origin=origin)
tables.write(snakemake.output.controls, controls, schemas.CONTROLS_PART, origin=origin)

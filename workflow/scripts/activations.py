"""In: a probe shard. Out: its part of the top-k, the statistics and the control activations of every layer."""

from dnd import activations, jobs, probe, tables, targets
from dnd.settings import TargetSettings

jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
topk, statistics, controls = activations.run(
    targets.load(TargetSettings(**params.target)),
    params.layers,
    snakemake.input.shard,
    probe.controls(snakemake.input.shards, int(snakemake.wildcards.controls)),
    pooling=snakemake.wildcards.pooling,
    k=int(snakemake.wildcards.k),
)
tables.write(snakemake.output.topk, topk, tables.TOPK_PART, row_group_size=65536)
tables.write(snakemake.output.statistics, statistics, tables.STATISTICS_PART, row_group_size=65536)
tables.write(snakemake.output.controls, controls, tables.CONTROLS_PART)

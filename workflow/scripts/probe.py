"""In: a folder of images. Out: one PROBE shard, and the REJECTED images of that shard."""

from pathlib import Path

from dnd import jobs, probe, tables

jobs.begin(snakemake.log[0], snakemake.threads)
images, rejected = probe.pack(Path(snakemake.params.folder), int(snakemake.wildcards.shard), snakemake.params.shards)
tables.write(snakemake.output.images, images, tables.PROBE, row_group_size=64)
tables.write(snakemake.output.rejected, rejected, tables.REJECTED)

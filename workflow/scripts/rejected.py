"""In: the REJECTED parts of a probe's shards. Out: one table of them all."""

from dnd import jobs, probe, tables

jobs.begin(snakemake.log[0], snakemake.threads)
rejected = tables.read(snakemake.input.rejected, tables.REJECTED)
probe.require_images(snakemake.input.images, rejected)
tables.write(snakemake.output[0], rejected, tables.REJECTED)

"""In: a probe's shards, and the REJECTED images of its listing and of each shard. Out: all of these, and SHUFFLED."""

from dnd import jobs, probe, schemas, tables

jobs.begin(snakemake.log[0], snakemake.threads)
rejected = probe.rejected([snakemake.input.unlisted, *snakemake.input.rejected])
probe.require_images(snakemake.wildcards.probe, snakemake.input.images, rejected)
tables.write(snakemake.output.rejected, rejected, schemas.REJECTED)
tables.write(snakemake.output.shuffled, probe.shuffled(snakemake.input.images), schemas.SHUFFLED, row_group_size=65536)

"""In: a probe's shards, and the REJECTED images of its listing and of each shard. Out: all of these, and SHUFFLED."""

from typing import TYPE_CHECKING

from dnd.io import schemas, tables
from dnd.probe import pack
from dnd.run import job

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
rejected = pack.rejected([snakemake.input.unlisted, *snakemake.input.rejected])
pack.require_images(snakemake.wildcards.probe, snakemake.input.images, rejected)
tables.write(snakemake.output.rejected, rejected, schemas.REJECTED)
tables.write(snakemake.output.shuffled, pack.shuffled(snakemake.input.images), schemas.SHUFFLED, row_group_size=65536)

"""In: LISTING of a probe's images, and these. Out: one PROBE shard, and the REJECTED images of that shard."""

from typing import TYPE_CHECKING

from dnd.config.targets import ProbeSettings
from dnd.io import schemas, tables
from dnd.probe import pack
from dnd.probe import sources as probe_sources
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
name = snakemake.wildcards.probe
probes = {one: ProbeSettings(**settings) for one, settings in snakemake.params.probes.items()}
sources = probe_sources.opened(name, probes, snakemake.input.renders)
entries = pack.part(snakemake.input.listing, int(snakemake.wildcards.shard), snakemake.params.shards)
with tables.writing(snakemake.output.images, schemas.PROBE, lambda: pack.origin(job.origin(), sources)) as write:
    rejected = pack.pack(entries, pack.readers(sources), write)
tables.write(snakemake.output.rejected, rejected, schemas.REJECTED)

"""In: LISTING of a probe's images, and these. Out: one PROBE shard, and the REJECTED images of that shard."""

from dnd import jobs, probe, probe_sources, schemas, tables
from dnd.subjects import ProbeSettings

job = jobs.begin(snakemake.log[0], snakemake.threads)
name = snakemake.wildcards.probe
probes = {one: ProbeSettings(**settings) for one, settings in snakemake.params.probes.items()}
sources = probe_sources.opened(name, probes, snakemake.input.renders)
entries = probe.part(snakemake.input.listing, int(snakemake.wildcards.shard), snakemake.params.shards)
with tables.writing(snakemake.output.images, schemas.PROBE, lambda: probe.origin(job.origin(), sources)) as write:
    rejected = probe.pack(entries, probe.readers(sources), write)
tables.write(snakemake.output.rejected, rejected, schemas.REJECTED)

"""In: a probe shard. Out: its ANNOTATIONS."""

from dnd import annotations, jobs, schemas, tables
from dnd.subjects import ProbeSettings

job = jobs.begin(snakemake.log[0], snakemake.threads)
probes = {one: ProbeSettings(**settings) for one, settings in snakemake.params.probes.items()}
with tables.writing(snakemake.output[0], schemas.ANNOTATIONS, job.origin) as write:
    for rows in annotations.run(snakemake.wildcards.probe, probes, snakemake.input.shard):
        write(rows)

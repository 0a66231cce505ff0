"""In: a probe shard. Out: its ANNOTATIONS."""

from typing import TYPE_CHECKING

from dnd.config.targets import ProbeSettings
from dnd.io import schemas, tables
from dnd.probe import annotations
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
probes = {one: ProbeSettings(**settings) for one, settings in snakemake.params.probes.items()}
with tables.writing(snakemake.output[0], schemas.ANNOTATIONS, job.origin) as write:
    for rows in annotations.run(snakemake.wildcards.probe, probes, snakemake.input.shard):
        write(rows)

"""In: the images of a probe, wherever they are. Out: LISTING of those that are wanted, and REJECTED."""

from typing import TYPE_CHECKING

from dnd.config.targets import ProbeSettings
from dnd.io import schemas, tables
from dnd.probe import pack
from dnd.probe import sources as probe_sources
from dnd.run import job

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
name = snakemake.wildcards.probe
probes = {one: ProbeSettings(**settings) for one, settings in snakemake.params.probes.items()}
sources = probe_sources.opened(name, probes, snakemake.input.renders)
listing, rejected = pack.listing(name, probes, sources)
tables.write(snakemake.output.listing, listing, schemas.LISTING, row_group_size=65536)
tables.write(snakemake.output.rejected, rejected, schemas.REJECTED)

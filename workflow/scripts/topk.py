"""In: the parts of all probe shards. Out: one TOPK row per unit of a layer."""

from typing import TYPE_CHECKING

from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.target import topk

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given = snakemake.input
with tables.writing(snakemake.output[0], schemas.TOPK, job.origin) as write:
    parts = (given.topk, given.statistics, given.controls)
    for rows in topk.merge(*parts, slug=snakemake.wildcards.slug, k=int(snakemake.wildcards.k)):
        write(rows)

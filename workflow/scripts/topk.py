"""In: the parts of all probe shards. Out: one TOPK row per unit of a layer."""

from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.target import topk

job = jobs.begin(snakemake.log[0], snakemake.threads)
third = len(snakemake.input) // 3
parts = [snakemake.input[i * third : (i + 1) * third] for i in range(3)]
with tables.writing(snakemake.output[0], schemas.TOPK, job.origin) as write:
    for rows in topk.merge(*parts, slug=snakemake.wildcards.slug, k=int(snakemake.wildcards.k)):
        write(rows)

"""In: the parts of all probe shards. Out: one TOPK row per unit of a layer."""

from dnd import activations, jobs, tables

jobs.begin(snakemake.log[0], snakemake.threads)
third = len(snakemake.input) // 3
parts = [snakemake.input[i * third : (i + 1) * third] for i in range(3)]
merged = activations.merge(*parts, slug=snakemake.wildcards.slug, k=int(snakemake.wildcards.k))
tables.write(snakemake.output[0], merged, tables.TOPK, row_group_size=256)

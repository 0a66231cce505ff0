"""In: DESCRIPTIONS of every layer, known answers. Out: EVALUATION of the run."""

from dnd import evaluation, jobs, tables

jobs.begin(snakemake.log[0], snakemake.threads)
found = evaluation.run(
    list(zip(snakemake.params.names, snakemake.input.descriptions, strict=True)), snakemake.params.answers
)
tables.write(snakemake.output[0], found, tables.EVALUATION)

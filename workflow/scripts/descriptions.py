"""In: activations, exemplars, captions and scores of a layer. Out: its DESCRIPTIONS, as Parquet and CSV."""

from dnd import descriptions, jobs, tables
from dnd.sweep import units

jobs.begin(snakemake.log[0], snakemake.threads)
found = descriptions.run(
    snakemake.params.facts,
    units(snakemake.params.units),
    tables.read(snakemake.input.topk, tables.TOPK, ["unit", "idle"]),
    tables.read(snakemake.input.exemplars, tables.EXEMPLARS),
    tables.read(snakemake.input.captions, tables.CAPTIONS),
    tables.read(snakemake.input.scores, tables.SCORES),
)
tables.write(snakemake.output.parquet, found, tables.DESCRIPTIONS)
descriptions.write_csv(snakemake.output.csv, found)

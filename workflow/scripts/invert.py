"""In: TOPK of a layer, the probe and its annotations. Out: SCORES of its units, by INVERT."""

from pathlib import Path

from dnd import jobs, schemas, tables
from dnd.baselines import invert
from dnd.methods import InvertRecipe
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
found = invert.run(
    InvertRecipe(**snakemake.params.recipe),
    tables.read(snakemake.input.annotations, schemas.ANNOTATIONS, ["image_id", "concept"]),
    topk=Path(snakemake.input.topk),
    shards=[Path(shard) for shard in snakemake.input.probe],
    units=units(snakemake.params.units),
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

"""In: TOPK of a layer, the probe and its annotations. Out: SCORES of its units, by INVERT."""

from pathlib import Path

from dnd.config.rivals import InvertRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import invert
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
found = invert.run(
    InvertRecipe(**snakemake.params.recipe),
    tables.read(snakemake.input.annotations, schemas.ANNOTATIONS, ["image_id", "concept"]),
    topk=Path(snakemake.input.topk),
    shards=[Path(shard) for shard in snakemake.input.probe],
    units=units(snakemake.params.units),
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

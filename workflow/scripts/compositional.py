"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Compositional Explanations."""

from dnd.config.rivals import CompositionalRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import compositional
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
found = compositional.run(
    CompositionalRecipe(**snakemake.params.recipe),
    tables.read(snakemake.input.patterns, schemas.PATTERNS),
    tables.read(snakemake.input.overlaps, schemas.OVERLAPS),
    topk=snakemake.input.topk,
    units=list(units(snakemake.params.units)),
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

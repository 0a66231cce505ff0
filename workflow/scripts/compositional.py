"""In: PATTERNS and OVERLAPS of a layer, and its TOPK. Out: SCORES by Compositional Explanations."""

from dnd import jobs, schemas, tables
from dnd.baselines import compositional
from dnd.methods import CompositionalRecipe
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
found = compositional.run(
    CompositionalRecipe(**snakemake.params.recipe),
    tables.read(snakemake.input.patterns, schemas.PATTERNS),
    tables.read(snakemake.input.overlaps, schemas.OVERLAPS),
    topk=snakemake.input.topk,
    units=list(units(snakemake.params.units)),
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

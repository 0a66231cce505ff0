"""In: TOPK of a layer, a list of concepts. Out: SCORES of its units: a random concept for each."""

from pathlib import Path

from dnd import jobs, tables
from dnd.baselines import concept_sets, inputs, random_concepts
from dnd.methods import RandomRecipe
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
recipe = RandomRecipe(**params.recipe)
found = random_concepts.run(
    concept_sets.read(recipe.concepts),
    recipe.seed,
    name=snakemake.wildcards.name,
    layer=params.layer,
    live=inputs.live_units(Path(snakemake.input.topk)),
    units=units(params.units),
)
tables.write(snakemake.output[0], found, tables.SCORES, origin=job.origin())

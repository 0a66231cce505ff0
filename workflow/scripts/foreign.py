"""In: a table of labels from another tool, TOPK of a layer. Out: SCORES of the asked units."""

from dnd import jobs, schemas, tables
from dnd.baselines import foreign, inputs
from dnd.methods import ForeignRecipe
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
found = foreign.run(
    ForeignRecipe(**params.recipe),
    layer=params.layer,
    live=inputs.live_units(snakemake.input.topk),
    units=units(params.units),
    there=tables.count(snakemake.input.topk),
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

"""In: a table of labels from another tool, TOPK of a layer. Out: SCORES of the asked units."""

from dnd.config.rivals import ForeignRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import foreign, inputs
from dnd.run import job as jobs

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

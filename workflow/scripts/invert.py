"""In: TOPK of a layer, the probe and its annotations. Out: SCORES of its units, by INVERT."""

from typing import TYPE_CHECKING

from dnd.config.rivals import InvertRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.rivals import invert
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, asked = snakemake.input, units(snakemake.params.units)
found = invert.run(job.recipe(snakemake, InvertRecipe), given.annotations, given.topk, given.probe, asked)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

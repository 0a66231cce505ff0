"""In: EXEMPLARS of a unit shard, TOPK of its layer and the probe. Out: LOOK_ALIKES."""

from typing import TYPE_CHECKING

from dnd.candidates import look_alikes
from dnd.config.recipes import Recipe
from dnd.config.scenes import streams_from
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, params = snakemake.input, snakemake.params
exemplars = tables.read(given.exemplars, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box"])
recipe, store = job.recipe(snakemake, Recipe), snakemake.config["store"]
place = (given.topk, units(params.units), given.probe)
found = look_alikes.of_units(exemplars, *place, recipe, store, streams_from(params.streams))
tables.write(snakemake.output[0], found, schemas.LOOK_ALIKES, origin=job.origin())

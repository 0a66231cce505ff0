"""In: EXEMPLARS of a unit shard and the probe. Out: CAPTIONS of the distinct ones."""

from typing import TYPE_CHECKING

from dnd.candidates import captions
from dnd.config.recipes import Recipe
from dnd.config.scenes import streams_from
from dnd.io import schemas, tables
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
exemplars = tables.read(snakemake.input.exemplars, schemas.EXEMPLARS, ["image_id", "box"])
recipe, store = job.recipe(snakemake, Recipe), snakemake.config["store"]
streams = streams_from(snakemake.params.streams)
found = captions.of_exemplars(exemplars, snakemake.input.probe, recipe, store, streams)
tables.write(snakemake.output[0], found, schemas.CAPTIONS, origin=job.origin())

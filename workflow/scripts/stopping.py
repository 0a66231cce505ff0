"""In: candidates, control activations, target, generator. Out: IMAGES and DRAWN of a unit shard."""

from dnd.candidates import shards
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.selection import stopping
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given, recipe = snakemake.params, snakemake.input, job.recipe(snakemake)
target = sources.load(TargetSettings(**params.target), sign=params.sign)
named = shards.read_concepts(given.concepts, snakemake.wildcards.name, snakemake.wildcards.slug, params.units)
place = (given.topk, snakemake.config["store"], snakemake.output.images, params.recipe)
drawn, asked = stopping.of_units(target, params.layer, recipe, named, *place)
origin, size = job.origin(), recipe.stopping.first
tables.write(snakemake.output.drawn, asked, schemas.DRAWN, origin=origin)
tables.write(snakemake.output.images, drawn, schemas.IMAGES, row_group_size=size, origin=origin)

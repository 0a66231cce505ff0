"""In: candidates, and where they are drawn images, exemplars, control activations. Out: SCORES of a unit shard."""

from typing import TYPE_CHECKING

from dnd.candidates import shards
from dnd.config.recipes import Recipe
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.selection import scores
from dnd.target import sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given, recipe = snakemake.params, snakemake.input, job.recipe(snakemake, Recipe)
named = shards.read_concepts(given.concepts, snakemake.wildcards.name, snakemake.wildcards.slug, params.units)
found = scores.by_votes(named)
if recipe.generator is not None:
    target = sources.load(TargetSettings(**params.target), sign=params.sign)
    exemplars = tables.read(given.exemplars, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box"])
    every = shards.vocabulary(given.concepts, snakemake.wildcards.name, snakemake.wildcards.slug)
    files = given.images, exemplars, given.topk, given.probe
    shard = scores.DrawnShard(named, *files, every, given.get("scales", []))
    found = scores.of_units(target, params.layer, recipe, shard, snakemake.config["store"])
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

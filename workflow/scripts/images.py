"""In: CONCEPTS of a recipe. Out: IMAGES of this part of the distinct concepts."""

from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.selection import images

job = jobs.begin(snakemake.log[0], snakemake.threads)
part, parts = int(snakemake.wildcards.part), snakemake.params.parts
settings = job.recipe(snakemake).generator
draw = images.drawer(settings, snakemake.config["store"], snakemake.output[0], snakemake.wildcards.recipe)
named = tables.read(snakemake.input.concepts, schemas.CONCEPTS, ["concept"])["concept"].to_pylist()
drawn = draw({concept for concept in named if images.part_of(concept, parts) == part})
tables.write(snakemake.output[0], drawn, schemas.IMAGES, row_group_size=settings.images, origin=job.origin())

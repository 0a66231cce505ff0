"""In: CONCEPTS of a recipe. Out: IMAGES of this part of the distinct concepts."""

from dnd.backends import generator
from dnd.config.backends import GeneratorSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs
from dnd.selection import images

job = jobs.begin(snakemake.log[0], snakemake.threads)
# not from the parameters, which leave out what changes no image
settings = GeneratorSettings(**snakemake.config["recipes"][snakemake.wildcards.recipe]["generator"])
concepts = set(tables.read(snakemake.input.concepts, schemas.CONCEPTS, ["concept"])["concept"].to_pylist())
part = int(snakemake.wildcards.part)
section = f"recipes.{snakemake.wildcards.recipe}.generator"
drawn = images.run(
    generator.load(settings, section),
    {concept for concept in concepts if images.part_of(concept, snakemake.params.parts) == part},
    settings,
    Store(snakemake.config["store"] + "/images"),
    order=snakemake.output[0],
    section=section,
)
tables.write(snakemake.output[0], drawn, schemas.IMAGES, row_group_size=settings.images, origin=job.origin())

"""In: CONCEPTS of a recipe. Out: IMAGES of this part of the distinct concepts."""

from dnd import images, jobs, tables
from dnd.backends.generator import StableDiffusionGenerator
from dnd.settings import GeneratorSettings
from dnd.store import Store

jobs.begin(snakemake.log[0], snakemake.threads)
settings = GeneratorSettings(**snakemake.params.generator)
concepts = set(tables.read(snakemake.input.concepts, tables.CONCEPTS, ["concept"])["concept"].to_pylist())
part = int(snakemake.wildcards.part)
drawn = images.run(
    StableDiffusionGenerator(settings),
    {concept for concept in concepts if images.part_of(concept, snakemake.params.parts) == part},
    settings,
    Store(snakemake.config["store"] + "/images"),
    order=snakemake.output[0],
)
tables.write(snakemake.output[0], drawn, tables.IMAGES, row_group_size=settings.images)

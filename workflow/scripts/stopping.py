"""In: candidates, control activations, target, generator. Out: IMAGES and DRAWN of a unit shard."""

from functools import partial

import pyarrow.compute as pc

from dnd.backends import generator
from dnd.config.backends import GeneratorSettings
from dnd.config.stages import StoppingSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs
from dnd.selection import images, stopping
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, wildcards, config = snakemake.params, snakemake.wildcards, snakemake.config
# not from the parameters, which leave out what changes no image
drawing = GeneratorSettings(**config["recipes"][params.recipe]["generator"])
settings = StoppingSettings(**params.stopping)
own = pc.field("unit").isin(list(units(params.units)))
place = (pc.field("name") == wildcards.name) & (pc.field("slug") == wildcards.slug)
section = f"recipes.{params.recipe}.generator"
drawn, asked = stopping.run(
    sources.load(TargetSettings(**params.target), sign=params.sign),
    params.layer,
    partial(
        images.draw,
        generator.load(drawing, section),
        settings=drawing,
        store=Store(config["store"] + "/images"),
        order=snakemake.output.images,
        section=section,
    ),
    concepts=tables.read(snakemake.input.concepts, schemas.CONCEPTS, ["unit", "concept"], place & own).to_pylist(),
    topk=tables.read(snakemake.input.topk, schemas.TOPK, ["unit", "controls"], own).to_pylist(),
    pooling=params.pooling,
    settings=settings,
    most=drawing.images,
)
origin = job.origin()
tables.write(snakemake.output.drawn, asked, schemas.DRAWN, origin=origin)
tables.write(snakemake.output.images, drawn, schemas.IMAGES, row_group_size=settings.first, origin=origin)

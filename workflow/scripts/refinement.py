"""In: CONCEPTS, EXEMPLARS and CAPTIONS of a bundle, control activations. Out: CONCEPTS with more, REFINEMENT_ROUNDS."""

from functools import partial
from pathlib import Path

import pyarrow.compute as pc

from dnd.backends import captioner, generator
from dnd.backends.llm import session
from dnd.candidates import captions, concepts, refinement, search
from dnd.config.backends import LlmSettings
from dnd.config.recipes import Recipe
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs
from dnd.selection import images
from dnd.target import generated, sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given, config = snakemake.params, snakemake.input, snakemake.config
# not from the parameters: what says where or how fast changes no result
recipe = Recipe(**config["recipes"][snakemake.wildcards.recipe])
settings, store = recipe.refinement, config["store"]
llm = settings.llm or LlmSettings(**config["llm"])
section = f"recipes.{snakemake.wildcards.recipe}.generator"
draw = partial(
    images.run,
    generator.load(recipe.generator, section),
    settings=recipe.generator.model_copy(update={"images": settings.images}),
    store=Store(f"{store}/images"),
    order=snakemake.output.concepts,
    section=section,
)
describe = None
if settings.failures:
    write = partial(
        captions.of_files, captioner.load(recipe.captions), settings=recipe.captions, store=Store(f"{store}/captions")
    )
    describe = refinement.Describer(draw, write)
target = sources.load(TargetSettings(**params.target), sign=params.sign)
first = tables.read(given.concepts, schemas.CONCEPTS)
shown = iter(list(zip(given.exemplars, given.captions, strict=True)))
further, rounds = [], []
with session(llm, Store(f"{store}/answers"), Path(snakemake.log.server), job.note) as ask:
    for (name, slug, layer, shards), topk in zip(params.layers, given.topk, strict=True):
        place = (pc.field("name") == name) & (pc.field("slug") == slug)
        for shard in shards:
            exemplars, texts = next(shown)
            named = first.filter(place & pc.field("unit").isin(list(units(shard)))).to_pylist()
            own = pc.field("unit").isin(sorted({row["unit"] for row in named}))
            controls = tables.read(topk, schemas.TOPK, ["unit", "idle", "controls"], own).to_pylist()
            searches = search.searches(name, slug, controls)
            best = tables.read(exemplars, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box", "activation"])
            lines = concepts.unit_captions(name, slug, best, tables.read(texts, schemas.CAPTIONS))
            found = refinement.run(
                searches,
                named,
                best,
                {one.unit: list(one.shown().values()) for one in lines},
                ask,
                generated.Reader(target, layer, [one.unit for one in searches], params.pooling, draw, "refinement"),
                describe,
                settings,
            )
            further += found[0]
            rounds += found[1]
origin, rounds = job.origin(), tables.table(rounds, schemas.REFINEMENT_ROUNDS)
tables.write(snakemake.output.rounds, rounds, schemas.REFINEMENT_ROUNDS, origin=origin)
tables.write(
    snakemake.output.concepts, refinement.joined(first, further), schemas.CONCEPTS, row_group_size=4096, origin=origin
)

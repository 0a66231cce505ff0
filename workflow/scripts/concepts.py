"""In: EXEMPLARS and CAPTIONS of a bundle's unit shards; the probe to show images, or known answers in place of asking.

Where the recipe wants them: LOOK_ALIKES with their CAPTIONS, and DESCRIPTIONS by another recipe. Out: CONCEPTS and
ANSWERS.
"""

from functools import partial
from importlib import import_module
from pathlib import Path

from dnd.backends import llm, views
from dnd.candidates import concepts
from dnd.config.backends import EmbedderSettings, LlmSettings
from dnd.config.stages import ConceptSettings
from dnd.io import pictures, schemas, tables
from dnd.io.files import scratch
from dnd.io.store import Store
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = ConceptSettings(**params.concepts)
asking = llm.session(
    LlmSettings(**snakemake.config["llm"]),  # where the server is changes no answer, so it is no parameter
    Store(snakemake.config["store"] + "/answers"),
    Path(snakemake.log.server),
    job.note,
)
layers = [
    (name, slug, tables.read(path, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box"]))
    for (name, slug, _), path in zip(params.layers, snakemake.input.exemplars, strict=True)
]
with asking as ask:
    if settings.show_images:
        with scratch(Path(snakemake.output.concepts).parent) as folder:
            places = {pictures.place(row) for _, _, exemplars in layers for row in exemplars.to_pylist()}
            names = views.write(places, snakemake.input.probe, folder, params.square)
            units = [unit for layer in layers for unit in concepts.unit_images(*layer, names)]
            found, answers = concepts.propose(units, ask, settings, partial(views.url, folder))
    else:
        captions = [tables.read(path, schemas.CAPTIONS) for path in snakemake.input.captions]
        others = [tables.read(path, schemas.LOOK_ALIKES) for path in snakemake.input.look_alikes] or [None] * len(
            layers
        )
        inputs = zip(layers, captions, others, strict=True)
        units = [unit for layer, *lines in inputs for unit in concepts.unit_captions(*layer, *lines)]
        if settings.known_answers:
            oracles = import_module("dnd.shapeworld.oracles")  # by name: a change of it runs no other recipe again
            known = oracles.labels(snakemake.input.answers[0])
            labels = [known.get((params.names[unit.slug], unit.unit)) for unit in units]
            plain = ConceptSettings(samples=settings.samples, prompt=settings.prompt, max_words=None)
            found, answers = oracles.candidates(units, labels, partial(concepts.propose, settings=plain))
        else:
            embed = None
            if params.embedder:
                from dnd.backends.embedder import embed_texts  # which brings torch, that most runs start without

                embed = partial(embed_texts, EmbedderSettings(**params.embedder))
            named = {}
            for (name, slug), path in zip(params.also, snakemake.input.also, strict=True):
                named |= concepts.best_of(name, slug, tables.read(path, schemas.DESCRIPTIONS, ["unit", "candidates"]))
            found, answers = concepts.propose(units, ask, settings, embed=embed, named=named)
origin = job.origin()
tables.write(snakemake.output.answers, answers, schemas.ANSWERS, origin=origin)
tables.write(snakemake.output.concepts, found, schemas.CONCEPTS, row_group_size=4096, origin=origin)

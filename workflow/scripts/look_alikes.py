"""In: EXEMPLARS of a unit shard, TOPK of its layer and the probe. Out: LOOK_ALIKES."""

from importlib import import_module

import pyarrow.compute as pc

from dnd.backends import captioner, embeddings
from dnd.candidates import captions, look_alikes
from dnd.config import sweep
from dnd.config.backends import CaptionSettings, EmbedderSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.probe import pack
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, params = snakemake.input, snakemake.params
# not from the parameters, which leave out where a server is
settings = CaptionSettings(**snakemake.config["recipes"][params.recipe]["captions"])


def write(images):
    """Return the CAPTIONS of images."""
    if settings.oracle:
        oracles = import_module("dnd.shapeworld.oracles")  # by name: a change of it runs no other recipe again
        return oracles.captions(images, params.streams)
    store = Store(snakemake.config["store"] + "/captions")
    return captions.run(captioner.load(settings), images, given.probe, settings, store, params.square)


units = pc.field("unit").isin(list(sweep.units(params.units)))
found = look_alikes.run(
    embeddings.StoredEmbedder(EmbedderSettings(**params.embedder), Store(snakemake.config["store"] + "/vectors")),
    write,
    exemplars=tables.read(given.exemplars, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box"]),
    topk=tables.read(given.topk, schemas.TOPK, ["unit", "controls"], units).to_pylist(),
    controls=pack.controls(given.probe, params.controls),
    shards=given.probe,
    count=params.wanted,
    square=params.square,
)
tables.write(snakemake.output[0], found, schemas.LOOK_ALIKES, origin=job.origin())

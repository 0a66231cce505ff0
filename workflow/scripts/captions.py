"""In: EXEMPLARS of a unit shard and the probe. Out: CAPTIONS of the distinct ones."""

from importlib import import_module

from dnd.backends import captioner
from dnd.candidates import captions
from dnd.config.backends import CaptionSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
# not from the parameters, which leave out where a server is
settings = CaptionSettings(**snakemake.config["recipes"][snakemake.params.recipe]["captions"])
exemplars = tables.read(snakemake.input.exemplars, schemas.EXEMPLARS, ["image_id", "box"])
if settings.oracle:
    oracles = import_module("dnd.shapeworld.oracles")  # by name: a change of it runs no other recipe again
    found = oracles.captions(exemplars, snakemake.params.streams)
else:
    found = captions.run(
        captioner.load(settings),
        exemplars,
        snakemake.input.probe,
        settings,
        Store(snakemake.config["store"] + "/captions"),
        snakemake.params.square,
    )
tables.write(snakemake.output[0], found, schemas.CAPTIONS, origin=job.origin())

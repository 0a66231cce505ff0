"""In: SCORES of a layer, its activations, the probe, an embedder. Out: EXPLAINS of its labels."""

from typing import TYPE_CHECKING

from dnd.config.backends import EmbedderSettings
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.selection import explains

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, params = snakemake.input, snakemake.params
scores = tables.read(given.scores, schemas.SCORES)
layer = given.topk, given.probe, EmbedderSettings(**params.embedder), given.get("scales", [])
measured = explains.of_layer(scores, params.ours, *layer, snakemake.config["store"])
tables.write(snakemake.output[0], measured, schemas.EXPLAINS, origin=job.origin())

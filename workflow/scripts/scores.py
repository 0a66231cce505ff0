"""In: candidates, and where they are drawn images, exemplars, control activations. Out: SCORES of a unit shard."""

import pyarrow.compute as pc

from dnd.backends import embeddings
from dnd.backends.embedder import TransformersTextEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.config.stages import ScoreSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs
from dnd.selection import scores
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, wildcards = snakemake.params, snakemake.wildcards
own = (
    (pc.field("name") == wildcards.name)
    & (pc.field("slug") == wildcards.slug)
    & pc.field("unit").isin(list(units(params.units)))
)
concepts = tables.read(snakemake.input.concepts, schemas.CONCEPTS, where=own).to_pylist()
if snakemake.input.get("images"):
    embedder, weights = EmbedderSettings(**params.embedder), ScoreSettings(**params.scores)
    found = scores.run(
        sources.load(TargetSettings(**params.target), sign=params.sign),
        params.layer,
        embeddings.StoredEmbedder(embedder, Store(snakemake.config["store"] + "/vectors")),
        concepts=concepts,
        images=snakemake.input.images,
        exemplars=tables.read(snakemake.input.exemplars, schemas.EXEMPLARS, ["unit", "rank", "image_id", "box"]),
        topk=snakemake.input.topk,
        probe_shards=snakemake.input.probe,
        pooling=params.pooling,
        weights=weights,
        square=params.square,
        counted=tables.read(drawn, schemas.DRAWN) if (drawn := snakemake.input.get("drawn")) else None,
        texts=TransformersTextEmbedder(embedder) if weights.reads_probe else None,
    )
else:
    found = scores.by_votes(concepts)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

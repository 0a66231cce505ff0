"""In: TOPK of a layer, the probe, a list of concepts, an embedder. Out: SCORES of its units, by CLIP-Dissect."""

from pathlib import Path

from dnd.backends import embeddings
from dnd.backends.embedder import TransformersTextEmbedder
from dnd.config.rivals import ClipDissectRecipe
from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.rivals import clip_dissect, concept_sets
from dnd.run import job as jobs

job = jobs.begin(snakemake.log[0], snakemake.threads)
recipe = ClipDissectRecipe(**snakemake.params.recipe)
found = clip_dissect.run(
    recipe,
    concept_sets.read(recipe.concepts),
    embeddings.StoredEmbedder(recipe.embedder, Store(snakemake.config["store"] + "/vectors")),
    TransformersTextEmbedder(recipe.embedder),
    topk=Path(snakemake.input.topk),
    shards=[Path(shard) for shard in snakemake.input.probe],
    units=units(snakemake.params.units),
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

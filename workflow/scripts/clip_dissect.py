"""In: TOPK of a layer, the probe, a list of concepts, an embedder. Out: SCORES of its units, by CLIP-Dissect."""

from pathlib import Path

from dnd import embeddings, jobs, schemas, tables
from dnd.backends.embedder import TransformersTextEmbedder
from dnd.baselines import clip_dissect, concept_sets
from dnd.methods import ClipDissectRecipe
from dnd.store import Store
from dnd.sweep import units

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

"""In: DESCRIPTIONS of a layer by every method, held-out images, drawn labels. Out: EVALUATION rows of its units."""

from functools import partial
from pathlib import Path

from dnd.backends import embeddings
from dnd.backends.embedder import TransformersTextEmbedder
from dnd.config.evaluation import EvaluationSettings
from dnd.config.targets import TargetSettings
from dnd.evaluation import judgements
from dnd.evaluation.sentences import SentenceEncoder
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.rivals import concept_sets
from dnd.run import job as jobs
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given = snakemake.params, snakemake.input
settings = EvaluationSettings(**params.evaluation)
described = [
    judgements.Described(row["name"], row["recipe"], judgements.labels_of(path), row["half"])
    for row, path in zip(params.rows, given.descriptions, strict=True)
]
store = Store(snakemake.config["store"] + "/vectors")
sentences = SentenceEncoder(settings.sentences) if settings.sentences else None
encoders = judgements.Encoders(
    embed=embeddings.StoredEmbedder(settings.embedder, store).embed if settings.embedder else None,
    texts=TransformersTextEmbedder(settings.embedder).embed_texts if settings.embedder else None,
    sentences=sentences and sentences.embed,
    tokens=sentences and sentences.tokens,
)
pictures = None
if settings.renderer:
    pictures = partial(judgements.renders, count=settings.images)
elif settings.generator:
    pictures = partial(judgements.drawn, given.images)
found = judgements.run(
    params.layer,
    described,
    settings=settings,
    encoders=encoders,
    concepts=concept_sets.read(settings.concepts) if settings.concepts else [],
    class_names=Path(given.classes[0]).read_text(encoding="utf-8").splitlines() if given.classes else [],
    target=sources.load(TargetSettings(**params.target)) if settings.held_out else None,
    shards=given.held_out,
    pictures_of=pictures,
)
tables.write(snakemake.output[0], found, schemas.EVALUATION, origin=job.origin())

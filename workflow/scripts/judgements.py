"""In: DESCRIPTIONS of a layer by every method, held-out images, drawn labels. Out: EVALUATION rows of its units."""

from pathlib import Path
from typing import TYPE_CHECKING

from dnd.config.evaluation import EvaluationSettings
from dnd.config.targets import TargetSettings
from dnd.evaluation import judgements
from dnd.io import schemas, tables
from dnd.rivals import concept_sets
from dnd.run import job as jobs
from dnd.target import sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
params, given, settings = snakemake.params, snakemake.input, EvaluationSettings(**snakemake.params.evaluation)
found = judgements.run(
    params.layer,
    [judgements.read(path, **row) for row, path in zip(params.rows, given.descriptions, strict=True)],
    settings=settings,
    encoders=judgements.load_encoders(settings, snakemake.config["store"]),
    concepts=concept_sets.read(settings.concepts) if settings.concepts else [],
    class_names=Path(given.classes[0]).read_text(encoding="utf-8").splitlines() if given.classes else [],
    target=sources.load(TargetSettings(**params.target)) if settings.held_out else None,
    shards=given.held_out,
    streams=params.streams,
    files=given.images,
)
tables.write(snakemake.output[0], found, schemas.EVALUATION, origin=job.origin())

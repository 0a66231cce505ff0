"""In: DESCRIPTIONS of every layer, known answers or class names, other metrics. Out: EVALUATION and COMPARISONS."""

from typing import TYPE_CHECKING

from dnd.config.evaluation import SentenceSettings
from dnd.evaluation import agreement, comparisons
from dnd.evaluation.sentences import SentenceEncoder
from dnd.io import schemas, tables
from dnd.rivals import concept_sets
from dnd.run import job

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
given, rows = snakemake.input, snakemake.params.rows
concepts = concept_sets.read(given.concepts[0]) if given.concepts else []
described = list(zip([row["name"] for row in rows], given.descriptions, strict=True))
probable = {row["name"] for row in rows if row["probable"]}
sentences = None
if snakemake.params.sentences and (snakemake.params.answers or snakemake.params.classes):
    sentences = SentenceEncoder(SentenceSettings(**snakemake.params.sentences)).embed
found = agreement.run(
    described, snakemake.params.answers, given.judged, concepts, probable, snakemake.params.classes, sentences
)
# rows that saw a part of a probe are there for their stability, and what stands in for a model is no method
models, probes = ({row["name"]: row[key] for row in rows if row["compared"]} for key in ("model", "probe"))
tables.write(snakemake.output.evaluation, found, schemas.EVALUATION)
tables.write(snakemake.output.comparisons, comparisons.run(found, models, probes), schemas.COMPARISONS)

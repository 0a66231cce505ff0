"""In: DESCRIPTIONS of a layer by every method. Out: IMAGES of their labels, by the generator of the evaluation."""

from typing import TYPE_CHECKING

from dnd.backends import generator
from dnd.config.evaluation import EvaluationSettings
from dnd.evaluation import judgements
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.rivals import concept_sets
from dnd.run import job as jobs
from dnd.selection import images

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
# not from the parameters, which leave out what changes no image
settings = EvaluationSettings(**snakemake.config["evaluation"])
described = [judgements.read(path, "", "") for path in snakemake.input.descriptions]
concepts = concept_sets.read(settings.concepts) if settings.concepts else []
section = "evaluation.generator"
assert settings.generator is not None
drawn = images.run(
    generator.load(settings.generator, section),
    judgements.distinct_labels(described, concepts),
    settings.generator,
    Store(snakemake.config["store"] + "/images"),
    order=snakemake.output[0],
    section=section,
)
tables.write(snakemake.output[0], drawn, schemas.IMAGES, row_group_size=settings.generator.images, origin=job.origin())

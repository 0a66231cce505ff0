"""In: EXEMPLARS and CAPTIONS of a bundle's unit shards. Out: CONCEPTS and ANSWERS of all its units."""

from functools import partial
from pathlib import Path

from dnd import concepts, jobs, tables
from dnd.backends import llm
from dnd.settings import ConceptSettings, LlmSettings
from dnd.store import Store

jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = LlmSettings(**snakemake.config["llm"])  # where the server is changes no answer, so it is no parameter
units = []
for (name, slug, _), exemplars, captions in zip(
    params.layers, snakemake.input.exemplars, snakemake.input.captions, strict=True
):
    units += concepts.unit_captions(
        name,
        slug,
        tables.read(exemplars, tables.EXEMPLARS, ["unit", "rank", "image_id", "box"]),
        tables.read(captions, tables.CAPTIONS),
    )
found, answers = concepts.propose(
    units,
    partial(
        llm.ask,
        settings=settings,
        store=Store(snakemake.config["store"] + "/answers"),
        log_path=Path(snakemake.log.server),
    ),
    ConceptSettings(**params.concepts),
)
tables.write(snakemake.output.answers, answers, tables.ANSWERS)
tables.write(snakemake.output.concepts, found, tables.CONCEPTS, row_group_size=4096)

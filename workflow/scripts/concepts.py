"""In: EXEMPLARS and CAPTIONS of a bundle's unit shards; the probe to show images, or known answers in place of asking.

Out: CONCEPTS and ANSWERS.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from dnd.backends import llm
from dnd.candidates import shards
from dnd.config.backends import LlmSettings
from dnd.config.recipes import Recipe
from dnd.io import schemas, tables
from dnd.io.store import Store
from dnd.run import job as jobs

if TYPE_CHECKING:
    from snakemake.script import snakemake

job = jobs.begin(snakemake.log[0], snakemake.threads)
given, params, config, recipe = snakemake.input, snakemake.params, snakemake.config, job.recipe(snakemake, Recipe)
files = zip(params.layers, given.exemplars, given.captions, strict=True)
seen = [shards.read(name, slug, *paths) for (name, slug, _), *paths in files]
known = shards.known_answers(given.answers[0], params.names) if given.answers else None
place = {"probe": given.probe, "folder": Path(snakemake.output.concepts).parent}
store = Store(f"{config['store']}/answers")
with llm.session(LlmSettings(**config["llm"]), store, Path(snakemake.log.server), job.note) as ask:
    found, answers = shards.concepts(seen, recipe, ask, **place, known=known)
origin = job.origin()
tables.write(snakemake.output.answers, answers, schemas.ANSWERS, origin=origin)
tables.write(snakemake.output.concepts, found, schemas.CONCEPTS, row_group_size=4096, origin=origin)

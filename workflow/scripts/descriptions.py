"""In: scores of a layer, its activations, what labels explain, exemplars and captions of our method, fitted weights.

Out: DESCRIPTIONS, Parquet and CSV, and FACETS.
"""

from typing import TYPE_CHECKING

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.run import job
from dnd.selection import descriptions, facets

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
given, params = snakemake.input, snakemake.params
scores = tables.read(given.scores, schemas.SCORES)
layer = (params.facts, units(params.units), given.topk, scores)
if given.get("exemplars"):
    shown = given.exemplars, given.captions
    described = descriptions.of_files(*layer, *shown, given.get("explains", []), params.least, given.get("verdict", []))
else:
    described = descriptions.of_rival(*layer, params.shown, given.get("explains", []))
tables.write(snakemake.output.parquet, described, schemas.DESCRIPTIONS)
descriptions.write_csv(snakemake.output.csv, described)
tables.write(snakemake.output.facets, facets.run(described, scores), schemas.FACETS)

"""In: scores of a layer, its activations, exemplars and captions of our method, fitted weights.

Out: DESCRIPTIONS, Parquet and CSV, and FACETS.
"""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.run import job
from dnd.selection import descriptions, facets

job.begin(snakemake.log[0], snakemake.threads)
given, params = snakemake.input, snakemake.params
scores = tables.read(given.scores, schemas.SCORES)
layer = (params.facts, units(params.units), given.topk, scores)
if given.get("exemplars"):
    found = descriptions.of_files(*layer, given.exemplars, given.captions, given.get("verdict"))
else:
    found = descriptions.of_rival(*layer, params.shown)
tables.write(snakemake.output.parquet, found, schemas.DESCRIPTIONS)
descriptions.write_csv(snakemake.output.csv, found)
tables.write(snakemake.output.facets, facets.run(found, scores), schemas.FACETS)

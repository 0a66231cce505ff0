"""In: scores of a layer, its activations, exemplars and captions of our method, fitted weights.

Out: DESCRIPTIONS, Parquet and CSV, and FACETS.
"""

from dnd.config.sweep import units
from dnd.io import schemas, tables
from dnd.run import job
from dnd.selection import descriptions, facets, verdict

job.begin(snakemake.log[0], snakemake.threads)
given, params = snakemake.input, snakemake.params
wanted, scores = units(params.units), tables.read(given.scores, schemas.SCORES)
if given.get("exemplars"):
    found = descriptions.run(
        params.facts,
        wanted,
        tables.read(given.topk, schemas.TOPK, ["unit", "idle"]),
        tables.read(given.exemplars, schemas.EXEMPLARS),
        tables.read(given.captions, schemas.CAPTIONS),
        scores,
        verdict.load(given.verdict[0]) if given.get("verdict") else None,
    )
else:
    topk = tables.read(given.topk, schemas.TOPK, ["unit", "idle", "image_ids", "activations"])
    found = descriptions.of_rival(params.facts, wanted, topk, scores, params.shown)
tables.write(snakemake.output.parquet, found, schemas.DESCRIPTIONS)
descriptions.write_csv(snakemake.output.csv, found)
tables.write(snakemake.output.facets, facets.run(found, scores), schemas.FACETS)

"""In: TOPK of a layer and the probe. Out: EXEMPLARS of a unit shard; idle units get none, unless asked for."""

import pyarrow.compute as pc

from dnd.config.stages import ExemplarSettings
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.run import job as jobs
from dnd.target import exemplars, sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = ExemplarSettings(**params.exemplars)
wanted = pc.field("unit").isin(list(units(params.units)))
if not settings.idle_units:
    wanted &= pc.field("idle").is_null()
rows = tables.read(snakemake.input.topk, schemas.TOPK, ["unit", "image_ids", "activations"], wanted).to_pylist()
found = exemplars.run(
    sources.load(TargetSettings(**params.target), sign=params.sign),
    params.layer,
    {row["unit"]: exemplars.spread(row["image_ids"], row["activations"], settings) for row in rows if row["image_ids"]},
    snakemake.input.probe,
    pooling=params.pooling,
    settings=settings,
)
tables.write(snakemake.output[0], found, schemas.EXEMPLARS, origin=job.origin())

"""In: TOPK of a layer and the probe. Out: EXEMPLARS of a unit shard; idle units get none, unless asked for."""

import pyarrow.compute as pc

from dnd import exemplars, jobs, schemas, tables, target_sources
from dnd.stages import ExemplarSettings
from dnd.subjects import TargetSettings
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = ExemplarSettings(**params.exemplars)
wanted = pc.field("unit").isin(list(units(params.units)))
if not settings.idle_units:
    wanted &= pc.field("idle").is_null()
rows = tables.read(snakemake.input.topk, schemas.TOPK, ["unit", "image_ids", "activations"], wanted).to_pylist()
found = exemplars.run(
    target_sources.load(TargetSettings(**params.target), sign=params.sign),
    params.layer,
    {row["unit"]: exemplars.spread(row["image_ids"], row["activations"], settings) for row in rows if row["image_ids"]},
    snakemake.input.probe,
    pooling=params.pooling,
    settings=settings,
)
tables.write(snakemake.output[0], found, schemas.EXEMPLARS, origin=job.origin())

"""In: TOPK of a layer and the probe. Out: EXEMPLARS of a unit shard; idle units get none."""

from dnd import exemplars, jobs, tables, targets
from dnd.settings import ExemplarSettings, TargetSettings
from dnd.sweep import units

jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
settings = ExemplarSettings(**params.exemplars)
wanted = set(units(params.units))
rows = tables.read(snakemake.input.topk, tables.TOPK, ["unit", "image_ids", "activations", "idle"]).to_pylist()
found = exemplars.run(
    targets.load(TargetSettings(**params.target)),
    params.layer,
    {
        row["unit"]: exemplars.spread(row["image_ids"], row["activations"], settings)
        for row in rows
        if row["unit"] in wanted and row["idle"] is None
    },
    snakemake.input.probe,
    pooling=params.pooling,
    settings=settings,
)
tables.write(snakemake.output[0], found, tables.EXEMPLARS)

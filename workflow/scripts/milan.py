"""In: TOPK of a layer, the probe, a describer. Out: SCORES of its units, by MILAN."""

from pathlib import Path

from dnd.config.rivals import MilanRecipe
from dnd.config.sweep import units
from dnd.config.targets import TargetSettings
from dnd.io import schemas, tables
from dnd.rivals import inputs, milan, milan_files, thresholds
from dnd.run import job as jobs
from dnd.target import sources

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
recipe = MilanRecipe(**params.recipe)
target = sources.load(TargetSettings(**params.target), sign=params.sign)
shards = [Path(shard) for shard in snakemake.input.probe]
asked = set(units(params.units))
best = inputs.best_images(Path(snakemake.input.topk), shards, recipe.images)
best = {unit: names for unit, (names, _) in best.items() if unit in asked and names}
levels = thresholds.thresholds(target, params.layer, shards, 1 - recipe.quantile, list(best)).tolist()
found = milan.run(
    target,
    params.layer,
    best,
    shards,
    dict(zip(best, levels, strict=True)),
    milan_files.load(recipe.describer),
    recipe,
)
tables.write(snakemake.output[0], found, schemas.SCORES, origin=job.origin())

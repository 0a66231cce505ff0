"""In: TOPK of a layer, the probe, a describer. Out: SCORES of its units, by MILAN."""

from pathlib import Path

from dnd import jobs, schemas, tables, target_sources, thresholds
from dnd.baselines import inputs, milan, milan_files
from dnd.methods import MilanRecipe
from dnd.subjects import TargetSettings
from dnd.sweep import units

job = jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
recipe = MilanRecipe(**params.recipe)
target = target_sources.load(TargetSettings(**params.target), sign=params.sign)
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

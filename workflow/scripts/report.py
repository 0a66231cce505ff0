"""In: the tables of a run. Out: one self-contained page."""

from pathlib import Path

from dnd import jobs, report

jobs.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
root = f"results/{params.run}/"
# a storage provider keeps copies of the planned files elsewhere
placed = {path[path.rindex(root) :]: path for path in map(str, snakemake.input) if root in path}
tables = ("facets", "exemplars", "scores", "probe", "images", "importance")
report.build(
    Path(snakemake.output[0]),
    params.run,
    [
        layer
        | {"descriptions": placed[layer["descriptions"]]}
        | {key: [placed[path] for path in layer[key]] for key in tables}
        for layer in params.layers
    ],
    Path(snakemake.input.evaluation),
    {model: Path(path) for model, path in params.answers.items()},
)

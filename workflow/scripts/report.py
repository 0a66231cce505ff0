"""In: the tables of a run. Out: one self-contained page."""

from pathlib import Path

from dnd import jobs, report

jobs.begin(snakemake.log[0], snakemake.threads)
report.build(
    Path(snakemake.output[0]),
    snakemake.params.run,
    snakemake.params.layers,
    Path(snakemake.input.evaluation),
    {model: Path(path) for model, path in snakemake.params.answers.items()},
)

"""In: the tables of a run. Out: how they came about, as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING

from dnd.config import load
from dnd.run import job, provenance

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
params = snakemake.params
found = provenance.record(
    load.load(snakemake.config),
    sweep=params.sweep,
    layers=params.layers,
    code=params.stages,
    factories=params.factories,
    made={stage: list(map(Path, snakemake.input.get(stage))) for stage in params.stages},
    files=list(map(Path, snakemake.input.get("files"))),
    workflow=Path(snakemake.scriptdir).resolve().parents[1],  # it is told as rules/../scripts
)
provenance.write(snakemake.output[0], found)

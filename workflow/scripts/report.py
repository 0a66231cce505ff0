"""In: the pages of every layer, and the evaluation. Out: the site of the run."""

from pathlib import Path
from typing import TYPE_CHECKING

from dnd.report import site
from dnd.run import job

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
pages = [Path(path) for path in snakemake.input.get("pages")]
site.build(Path(snakemake.output[0]), snakemake.params.run, pages, Path(snakemake.input.evaluation))

"""In: nothing. Out: a folder of PNG renders."""

from pathlib import Path

from dnd.run import job
from dnd.shapeworld.render import write_folder

job.begin(snakemake.log[0], snakemake.threads)
write_folder(Path(snakemake.output[0]), snakemake.params.seed, snakemake.params.images)

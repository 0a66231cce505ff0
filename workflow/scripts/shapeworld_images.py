"""In: nothing. Out: a folder of PNG renders."""

from pathlib import Path
from typing import TYPE_CHECKING

from dnd.config.scenes import SceneSettings
from dnd.run import job
from dnd.shapeworld.render import write_folder

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
scenes = snakemake.params.scenes and SceneSettings(**snakemake.params.scenes)
write_folder(Path(snakemake.output[0]), snakemake.params.seed, snakemake.params.images, scenes)

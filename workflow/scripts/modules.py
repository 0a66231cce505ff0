"""In: a target network. Out: the table of its modules."""

from pathlib import Path
from typing import TYPE_CHECKING

from dnd.config.targets import TargetSettings
from dnd.run import job
from dnd.target import inventory, sources

if TYPE_CHECKING:
    from snakemake.script import snakemake

job.begin(snakemake.log[0], snakemake.threads)
found = inventory.modules(sources.load(TargetSettings(**snakemake.params.target)))
inventory.write_modules(Path(snakemake.output[0]), found)

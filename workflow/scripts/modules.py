"""In: a target network. Out: the table of its modules."""

from pathlib import Path

from dnd import inventory, jobs, target_sources
from dnd.subjects import TargetSettings

jobs.begin(snakemake.log[0], snakemake.threads)
found = inventory.modules(target_sources.load(TargetSettings(**snakemake.params.target)))
inventory.write_modules(Path(snakemake.output[0]), found)

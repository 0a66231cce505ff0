"""In: a target network. Out: the table of its modules."""

from pathlib import Path

from dnd import inventory, jobs, targets
from dnd.settings import TargetSettings

jobs.begin(snakemake.log[0], snakemake.threads)
found = inventory.modules(targets.load(TargetSettings(**snakemake.params.target)))
inventory.write_modules(Path(snakemake.output[0]), found)

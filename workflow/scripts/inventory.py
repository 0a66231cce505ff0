"""In: the modules of every network of the sweep. Out: layers.tsv, with every layer that the sweep names."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnd.config.load import ConfigError
from dnd.target import inventory

if TYPE_CHECKING:
    from snakemake.script import snakemake

params = snakemake.params
places = {Path(path).stem: path for path in snakemake.input}
modules = {model: inventory.read_modules(Path(path)) for model, path in places.items()}
failed = False
try:
    changes = inventory.update(Path(params.table), [inventory.Wanted(*one) for one in params.wanted], modules)
    lines = [f"{params.table}: {change}" for change in changes or ["nothing to add"]]
    lines += [f"\n{model} ({path}):\n{inventory.listing(modules[model])}" for model, path in places.items()]
except ConfigError as error:
    failed = True
    lines = [str(error), f"what there is: {' '.join(snakemake.input)}"]
text = "\n".join(lines) + "\n"
Path(snakemake.log[0]).write_text(text)
sys.stderr.write(text)
sys.exit(failed)

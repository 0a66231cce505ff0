"""What the run is: its checked configuration, its plan, and where its files lie."""

import os
import sys
from itertools import pairwise
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# a head node needs no installed package to plan a run
sys.path.append(str(Path(workflow.source_path("../../src/dnd/__init__.py")).parents[1]))
try:
    from dnd.config import shipped
    from dnd.config.load import ConfigError, refuse_code
    from dnd.run import checks, leftovers
    from dnd.run.paths import PATTERNS, Paths
    from dnd.run.plan import Plan, read_groups
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{error}: `make vision` builds an environment that has it, .venv"
    ) from None

try:
    for file in workflow.overwrite_configfiles or ["config/config.yaml"]:
        refuse_code(file)
except ConfigError as error:
    raise WorkflowError(f"configuration:\n{error}") from None

# another file replaces this one; merging the two would mix their models
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


# jobs of a run whose plan held need not look at files again
look = checks.thoroughly if workflow.is_main_process else checks.quickly
settings, sweep_tables, mistakes, digests, doubts = look(config, workflow.configfiles)
GROUPS = settings.results / PATTERNS["groups"]
spoilt = leftovers.spoilt(str(settings.results)) if workflow.is_main_process else {}
try:
    earlier_groups = {} if GROUPS in spoilt else read_groups(GROUPS)
except ConfigError as error:
    mistakes.append(str(error))
# the inventory makes layers known, and models are fetched before it
if not any(
    asked in word for asked in ("inventory", "modules", "prefetch") for word in sys.argv
):
    mistakes += sweep_tables.unknown
mistakes += [
    f"{word}: no result is named so; a configuration stands behind --configfile"
    for before, word in pairwise(sys.argv)
    if workflow.is_main_process
    and word.endswith((".yaml", ".yml"))
    and "=" not in word
    and "profile" not in before
    and Path(word).absolute() not in workflow.configfiles
]
if mistakes:
    raise WorkflowError("\n".join(["configuration:", *mistakes]))
for doubt in doubts:
    logger.warning(doubt)
config.update(shipped.resolved(config))  # in place: scripts read it, too
# before Snakemake looks which files there are
for path, damage in spoilt.items():
    logger.warning(f"{path} is {damage}, as a power cut leaves files: made again")
    if not workflow.output_settings.dryrun:
        leftovers.remove_spoilt(path)

plan = Plan(
    settings,
    [] if sweep_tables.unknown else sweep_tables.layers,
    {layer: slug for layer, (slug, _) in sweep_tables.known.items()},
    earlier_groups,
)
paths = Paths(plan)
if GROUPS.exists():
    # so that it travels to pods, which plan again what they run
    workflow.configfiles.append(str(GROUPS))
# Where a store is changes no result, so that scripts find it here and not among their parameters.
config["store"] = os.environ.get("DND_STORE", str(settings.store))

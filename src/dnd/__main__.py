"""The command ``dnd``, or ``python -m dnd``: what there is to ask about runs. Snakemake does the work itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from dnd.io.version import VERSION

COMMANDS = {
    "new": ("dnd.run.new", "write a configuration for your network and images"),
    "cost": ("dnd.run.cost.estimate", "tell what a run will cost, before it starts"),
    "status": ("dnd.run.status.page", "tell how far a run is, while it goes on"),
    "serve": ("dnd.run.serve", "run a command beside its language models"),
    "figures": ("dnd.evaluation.summary", "tell how good a run's labels are, where answers are known"),
    "provenance": ("dnd.run.provenance", "tell how results came about, and repeat them"),
    "fit-verdict": ("dnd.run.calibrate", "fit when something is said of a unit, on known answers"),
    "config-docs": ("dnd.config.docs", "write the schema and the table of keys anew, for developers"),
}
"""Command -> the module whose ``main`` takes the arguments behind the command's name, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; return its exit status."""
    lines = (f"  {name:<13}{summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="dnd",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Describe the hidden units of vision networks. The work itself is Snakemake's: `snakemake --help`.",
        epilog="\n".join(["commands:", *lines, "", "`dnd COMMAND --help` tells what each takes, with an example."]),
    )
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="what the command takes")
    asked = parser.parse_args(arguments)
    status: int = import_module(COMMANDS[asked.command][0]).main(asked.arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())

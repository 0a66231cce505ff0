"""Run a command beside the language models of a configuration, so that its jobs need not start a server each.

``dnd serve config/evaluation/config.yaml -- snakemake ...`` starts one server for each model, tells the
command's jobs where they are, and ends them when the command ends. For one machine: the servers listen on loopback.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dnd.backends import llm
from dnd.config.backends import SERVERS, LlmSettings
from dnd.config.load import Config, ConfigError, config_file
from dnd.config.recipes import Recipe
from dnd.config.rivals import LineRecipe
from dnd.config.sweep import sweep_rows
from dnd.run.contents import load
from dnd.run.paths import PATTERNS


def models(config: Config) -> list[tuple[LlmSettings, list[str]]]:
    """Return the language models that the sweep asks, without those of external servers, and how to start each."""
    recipes = [config.recipes[name] for name in dict.fromkeys(row.recipe for row in sweep_rows(config))]
    asked = [recipe.llm or config.llm for recipe in recipes if isinstance(recipe, LineRecipe)]
    concepts = [recipe.concepts for recipe in recipes if isinstance(recipe, Recipe)]
    if concepts:
        asked.append(config.llm)
    pictures = llm.MOST_PICTURES * any(section.show_images for section in concepts)
    structured = any(section.structured for section in concepts)
    servers = {
        model.model: (
            model,
            llm.arguments_for(
                pictures=pictures if model == config.llm else 0, structured=structured and model == config.llm
            ),
        )
        for model in asked
        if model.base_url is None
    }
    return list(servers.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the servers, run the command, end the servers; return the command's exit code."""
    parser = argparse.ArgumentParser(
        prog="dnd serve",
        description=__doc__,
        epilog="example: dnd serve my/config.yaml -- snakemake --configfile my/config.yaml",
    )
    parser.add_argument("config", type=Path, help="configuration that the command works with")
    parser.add_argument("command", nargs="+", help="after `--`, such as snakemake with its options")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        config = load(config_file(chosen.config), chosen.config)
        wanted = models(config)
    except ConfigError as error:
        print(f"configuration:\n{error}", file=sys.stderr)
        return 2
    logs = config.results / PATTERNS["servers"]
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        places = {}
        for number, (model, needed) in enumerate(wanted):
            server = stack.enter_context(llm.endpoint(model, logs / f"{number}.log", needed))
            places[model.model] = [server.base_url, server.key]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command gets it, too, and ends in order
        return subprocess.run(chosen.command, env=os.environ | {SERVERS: json.dumps(places)}, check=False).returncode

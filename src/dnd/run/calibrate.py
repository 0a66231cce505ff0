"""Read the scores of a finished run over networks with known answers, and fit the verdict on them.

``dnd fit-verdict config/calibration/config.yaml config/verdict.json`` writes the file that ``scores.verdict`` names;
`make calibrate` makes the run, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from dnd.config.load import Config, ConfigError, config_file
from dnd.evaluation.fit_verdict import Case, cases, fit, report
from dnd.io import schemas, tables
from dnd.io.files import replaced
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from dnd.shapeworld import known_answers
from dnd.shapeworld.known_answers import KnownAnswersError


def read(config: Config, rows: str = "*") -> list[Case]:
    """Return the cases of a finished run, of the models that have known answers.

    Parameters
    ----------
    rows : of the sweep, as a pattern of their names.
    """
    known = {
        name: known_answers.load(model.known_answers)
        for name, model in config.models.items()
        if model.known_answers is not None
    }
    first: dict[tuple[str, ...], str] = {}  # two models may be one network, with other units
    network = {
        name: first.setdefault((model.source, model.factory, repr(model.arguments), repr(model.weights)), name)
        for name, model in config.models.items()
    }
    plan = plan_of(config)
    pattern = Paths(plan).pattern("scores")
    scored_cases: list[Case] = []
    for layer in plan.layers:
        answers = known.get(layer.model, {}).get(layer.layer, {})
        files = Paths.existing(pattern, name=layer.name, slug=layer.slug)
        if fnmatch(layer.name, rows) and answers and files:
            scored = tables.read(files, schemas.SCORES).drop_columns(["activations"]).to_pylist()
            scored_cases += cases(network[layer.model], layer.name, layer.layer, scored, answers)
    return scored_cases


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the weights of a recipe on a finished run over networks with known answers."""
    parser = argparse.ArgumentParser(
        prog="dnd fit-verdict",
        description=main.__doc__,
        epilog="example: dnd fit-verdict my/config.yaml my/verdict.json",
    )
    parser.add_argument("config", type=Path, help="configuration of the run, such as config/calibration/config.yaml")
    parser.add_argument("verdict", type=Path, help="file to write, such as config/verdict.json")
    parser.add_argument("--rows", default="*", help="rows of the sweep, as a pattern of their names")
    chosen = parser.parse_args(arguments)
    try:
        config = load(config_file(chosen.config), chosen.config)
        scored = read(config, chosen.rows)
    except (ConfigError, KnownAnswersError, OSError) as error:
        parser.error(str(error))
    if not scored:
        print(f"{config.results}: no scored candidates of rows {chosen.rows!r} with known answers", file=sys.stderr)
        return 2
    whose = {"networks": sorted({case.network for case in scored}), "units": len({case.unit for case in scored})}
    try:
        judge = fit(scored, whose | {"candidates": len(scored)})
    except ValueError as error:
        print(f"{config.results}: {error}", file=sys.stderr)
        return 2
    with replaced(chosen.verdict) as partial:
        partial.write_text(json.dumps(judge.model_dump(), indent=1) + "\n")
    print(f"{report(scored, judge)}\nwrote {chosen.verdict}, which says nothing below {judge.least_confidence:.3f}")
    return 0

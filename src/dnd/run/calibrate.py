"""Read the scores of a finished run over networks with known answers, and fit the verdict on them.

``dnd fit-verdict config/calibration/config.yaml config/verdict.json`` writes the file that ``scores.verdict`` names;
`make calibrate` makes the run, too. Beside the file lies a plot of its reliability, `config/verdict.png`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from dnd.config import known_answers
from dnd.config.known_answers import KnownAnswersError
from dnd.config.load import Config, ConfigError, config_file
from dnd.evaluation import naming
from dnd.evaluation.agreement import right
from dnd.evaluation.fit_verdict import Case, Scored, cases, fit, held_out, report
from dnd.evaluation.metrics.reliability import reliability
from dnd.evaluation.reliability_plot import draw
from dnd.io import schemas, tables
from dnd.io.documents import DocumentError
from dnd.io.files import replaced
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of


def read(config: Config, rows: str = "*") -> list[Case]:
    """Return the cases of a finished run, of the models that have known answers or class names.

    Parameters
    ----------
    rows : of the sweep, as a pattern of their names.
    """
    known = {
        name: known_answers.of_network(model.known_answers, model.class_names) for name, model in config.models.items()
    }
    sentences = sentences_of(config)
    first: dict[tuple[str, ...], str] = {}  # two models may be one network, with other units
    network = {
        name: first.setdefault((model.source, model.factory, repr(model.arguments), repr(model.weights)), name)
        for name, model in config.models.items()
    }
    plan = plan_of(config)
    pattern = Paths(plan).pattern("scores")
    scored_cases: list[Case] = []
    for layer in plan.layers:
        answers = known[layer.model].get(layer.layer, {})
        files = Paths.existing(pattern, name=layer.name, slug=layer.slug)
        if fnmatch(layer.name, rows) and answers and files:
            scored = tables.rows(files, schemas.SCORES, Scored)
            vectors = naming.embedded({row.concept for row in scored}, answers.values(), sentences)
            judge = partial(right, vectors=vectors)
            scored_cases += cases(network[layer.model], layer.name, layer.layer, scored, answers, judge)
    return scored_cases


def sentences_of(config: Config) -> naming.Encode | None:
    """Return what turns texts into unit vectors, where the evaluation has a text encoder."""
    if config.evaluation.sentences is None:
        return None
    from dnd.evaluation.sentences import SentenceEncoder  # which brings torch

    return SentenceEncoder(config.evaluation.sentences).embed


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
    except (ConfigError, KnownAnswersError, DocumentError, OSError) as error:
        parser.error(str(error))
    if not scored:
        print(
            f"{config.results}: no scored candidates of rows {chosen.rows!r} with known answers",
            file=sys.stderr,
        )
        return 2
    whose = {"networks": sorted({case.network for case in scored}), "units": len({case.unit for case in scored})}
    try:
        judge = fit(scored, whose | {"candidates": len(scored)})
    except ValueError as error:
        print(f"{config.results}: {error}", file=sys.stderr)
        return 2
    with replaced(chosen.verdict) as written:
        written.write_text(json.dumps(judge.model_dump(), indent=1) + "\n")
    plot = chosen.verdict.with_suffix(".png")
    won = held_out(scored)
    sure = [judge.confidence(odds, case.bimodality) for case, odds in won]
    draw(reliability(sure, [case.right for case, _ in won]), plot)
    print(f"{report(scored, judge)}\nwrote {chosen.verdict}, which says nothing below {judge.least_confidence:.3f}")
    print(f"wrote {plot}, the share of right labels at each confidence")
    return 0

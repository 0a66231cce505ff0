"""The site of a run: the page that shows it, a summary of every layer, and what the evaluation says of units."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dnd.evaluation.metrics.registry import METRICS
from dnd.evaluation.summary import KindFigures, figures
from dnd.io import schemas, tables
from dnd.io.files import sync_tree
from dnd.io.version import VERSION
from dnd.report import data_files, terms
from dnd.report.data_files import Index

APP = Path(__file__).parent / "app"
"""The front end, of which ``index.html`` goes to the top of the site."""
MOST_CONCEPTS, BINS = 12, 10
EXACT, ABSTAINED = "known_answer_exact", "abstained"
SILENT = ("dead", "constant")
"""Kinds of units of which it is right to say nothing."""
FACTS = {"name", "layer", "slug", "model", "probe", "recipe", "method"}


class UnitFigure(NamedTuple):
    """The value of a metric for a unit."""

    unit: int
    metric: str
    value: float | None


def build(out: Path, run: str, pages: Sequence[Path], evaluation: Path) -> None:
    """Write the site of a run.

    Parameters
    ----------
    out : folder of the site.
    pages : folder of every layer, in the order of the sweep: see :func:`dnd.layer.run`.
    evaluation : EVALUATION file of the run.
    """
    shutil.copytree(APP, out / "app", ignore=shutil.ignore_patterns("index.html"), dirs_exist_ok=True)
    shutil.copyfile(APP / "index.html", out / "index.html")
    measured = tables.read(evaluation, schemas.EVALUATION)
    by_layer: dict[tuple[str, str], list[KindFigures]] = {}
    for figure in figures(measured):
        by_layer.setdefault((figure.name, figure.layer), []).append(figure)
    layers = []
    for folder in pages:
        index = Index.model_validate(data_files.read(folder / "index.js"))
        _link(folder, out / "layers" / index.name / index.slug)
        layers.append(summary(index, by_layer.get((index.name, index.layer), [])))
        data_files.write(out, f"evaluation/{index.name}/{index.slug}", verdicts(index, measured))
    words = terms.load()
    facts = {"run": run, "version": VERSION, "citation": words.citation}
    data_files.write(out, "run", {**facts, "layers": layers, "terms": words.glossary})
    sync_tree(out)


def _link(folder: Path, to: Path) -> None:
    """Copy a folder's files; on one file system they share their bytes."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    hidden = shutil.ignore_patterns(".*")  # such as Snakemake's time stamp of the folder
    shutil.copytree(folder, to, copy_function=link, ignore=hidden)


def summary(index: Index, measured: Sequence[KindFigures]) -> dict[str, object]:
    """Return what the overview shows of a layer."""
    labelled = [row for row, label in enumerate(index.label) if label >= 0]
    used = Counter(index.labels[label] for label in index.label if label >= 0)
    silent = Counter(index.reasons[reason] for reason in index.abstained if reason >= 0)
    return {
        **index.model_dump(include=FACTS),
        "units": len(index.unit),
        "labelled": len(labelled),
        "abstained": dict(sorted(silent.items())),
        "polysemantic": sum(index.polysemantic),
        "explains": counts(index.explains[row] for row in labelled),
        "confidence": counts(index.confidence[row] for row in labelled),
        "concepts": sorted(used.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONCEPTS],
        "figures": [row for figure in measured for row in _rows(figure)],
        "important": index.importance is not None,
    }


def counts(values: Iterable[float | None]) -> list[int]:
    """Return how many values, most of them from 0 to 1, are in each tenth; no counts where none is known."""
    bins = Counter(min(max(int(BINS * value), 0), BINS - 1) for value in values if value is not None)
    return [bins[number] for number in range(BINS)] if bins else []


def _rows(figure: KindFigures) -> list[dict[str, object]]:
    """A figure's estimates of our own method in the registry's order, each with its baselines."""
    order = list(METRICS)
    names = sorted(figure.own, key=lambda name: order.index(name) if name in METRICS else len(order))
    rows: list[dict[str, object]] = []
    for name in names:
        estimate, metric = figure.own[name], METRICS.get(name)
        rows.append(
            {
                "metric": name,
                "title": metric.title if metric else name,
                "kind": figure.kind,
                "units": figure.units,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "note": "fails a sanity test" if metric and metric.doubtful else None,
                "baselines": {
                    method: metrics[name].value for method, metrics in figure.baselines.items() if name in metrics
                },
            }
        )
    return rows


def verdicts(index: Index, measured: pa.Table) -> dict[str, object]:
    """Return what the evaluation says of each row of a layer: whether it is right, and its value by every metric."""
    of_units = measured.filter(
        (pc.field("name") == index.name)
        & (pc.field("layer") == index.layer)
        & (pc.field("method") == index.recipe)
        & pc.field("unit").is_valid()
    )
    metrics: dict[str, list[float | None]] = {}
    rows = {unit: row for row, unit in enumerate(index.unit)}
    for figure in tables.rows_of(of_units, UnitFigure):
        values = metrics.setdefault(figure.metric, [None] * len(rows))
        values[rows[figure.unit]] = figure.value
    exact = metrics.pop(EXACT, [None] * len(rows))
    metrics.pop(ABSTAINED, None)
    return {"correct": [_correct(index, row, value) for row, value in enumerate(exact)], "metrics": metrics}


def _correct(index: Index, row: int, exact: float | None) -> int:
    """1 for a label that is right or a silence that is, 0 for another, -1 where that is not known."""
    if exact is not None:
        return int(exact == 1)
    kind = index.kinds[index.kind[row]] if index.kind[row] >= 0 else None
    return int(index.abstained[row] >= 0) if kind in SILENT else -1

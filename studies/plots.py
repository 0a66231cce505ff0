"""The plots of docs/evaluation.md, docs/ablation.md and docs/dials.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

# isort: split
from matplotlib import pyplot

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.evaluation import agreement as evaluation
from dnd.evaluation.baselines import BASELINES
from dnd.evaluation.metrics import registry

if TYPE_CHECKING:
    import pandas as pd

    from studies.ablation_docs import Effect
    from studies.results import Results

OURS, OTHERS, FLOOR = "#1b6ca8", "#8fb3cc", "#c9c9c9"
WORSE = "#b5482a"


def _saved(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


def _by_median(values: pd.DataFrame) -> pd.DataFrame:
    return values.loc[values.median(axis=1).sort_values().index]


def _colours(methods: Sequence[str]) -> list[str]:
    return [OURS if one == "dnd" else FLOOR if one in BASELINES else OTHERS for one in methods]


def _bars(axis: Any, values: pd.DataFrame, label: str) -> None:
    """Horizontal bars of medians, and a dot for each network."""
    values = _by_median(values)
    places = np.arange(len(values))
    axis.barh(places, values.median(axis=1), color=_colours(list(values.index)))
    for network in values.columns:
        axis.plot(values[network], places, "o", color="#333333", markersize=3)
    axis.set_yticks(places, values.index)
    axis.set_xlabel(label)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def exact(results: Results, layer: str, path: Path) -> None:
    """Draw the share of exact labels by method, for units with one concept and for those with two."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharex=True)
    for axis, (title, kinds) in zip(
        axes, {"one concept": CONCEPT_KINDS, "two concepts": ("polysemantic",)}.items(), strict=True
    ):
        _bars(axis, results.values(layer, evaluation.EXACT, kinds), f"share of exact labels, units with {title}")
        axis.set_xlim(0, 1)
    figure.tight_layout()
    _saved(figure, path)


def agreement(results: Results, layer: str, path: Path) -> None:
    """Draw F1 and IoU by method, for units with one concept."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharex=True)
    for axis, (title, metric) in zip(axes, {"F1": evaluation.F1, "IoU": evaluation.IOU}.items(), strict=True):
        _bars(axis, results.values(layer, metric, CONCEPT_KINDS), f"mean {title} with the true concept")
        axis.set_xlim(0, 1)
    figure.tight_layout()
    _saved(figure, path)


def metrics(results: Results, layer: str, names: Sequence[str], path: Path) -> None:
    """Draw every metric that needs no known answers, by method."""
    found = {name: values for name in names if len(values := results.values(layer, name, None))}
    figure, axes = pyplot.subplots(1, len(found), figsize=(3.6 * len(found), 4.2), squeeze=False)
    for axis, (name, values) in zip(axes[0], found.items(), strict=True):
        _bars(axis, values, registry.marked(name))
    figure.tight_layout()
    _saved(figure, path)


def dial(curves: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Draw how methods fare as something gets worse, a panel per metric: methods (rows) by positions (columns)."""
    figure, axes = pyplot.subplots(1, len(curves), figsize=(4.6 * len(curves), 3.6), squeeze=False)
    palette = pyplot.get_cmap("tab10")
    colours: dict[str, str | tuple[float, ...]] = {}
    for axis, (title, values) in zip(axes[0], curves.items(), strict=True):
        for method, row in zip(values.index, values.to_numpy(float), strict=True):
            colour = colours.setdefault(method, OURS if method == "dnd" else palette(1 + len(colours) % 9))
            wide, style = (2.4, "-") if method == "dnd" else (1.4, "--" if method.startswith("dnd-") else "-")
            axis.plot(range(len(row)), row, style, color=colour, linewidth=wide, marker="o", markersize=4, label=method)
        axis.set_xticks(range(len(values.columns)), values.columns)
        axis.set_ylabel(title)
        axis.set_ylim(min(0, np.nanmin(values.to_numpy(float))) - 0.03, 1.03)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(fontsize=8, frameon=False)
    figure.tight_layout()
    _saved(figure, path)


def differences(effects: Sequence[Effect], path: Path) -> None:
    """Draw what each variant changes in the share of exact labels, with 95 % intervals: the first one on top."""
    figure, axis = pyplot.subplots(figsize=(8, 1.2 + 0.22 * len(effects)))
    for place, one in enumerate(reversed(effects)):
        found = one.concept
        colour = {"helps": OURS, "hurts": WORSE}.get(one.verdict, FLOOR)
        axis.plot([found.low, found.high], [place, place], color=colour, linewidth=2)
        axis.plot(found.difference, place, "o", color=colour, markersize=5)
    axis.axvline(0, color="#333333", linewidth=0.8)
    axis.set_yticks(range(len(effects)), [one.name for one in reversed(effects)])
    axis.set_ylim(-0.7, len(effects) - 0.3)
    axis.set_xlabel("difference to dnd in the share of exact labels, units with one concept")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    _saved(figure, path)

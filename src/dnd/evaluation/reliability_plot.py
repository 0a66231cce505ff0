"""A plot of a verdict's reliability: how many labels are right at each confidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dnd.evaluation.metrics.reliability import BINS, Reliability
from dnd.evaluation.metrics.statistics import wilson
from dnd.io.files import replaced

POINTS, INTERVALS, DIAGONAL = "#1b6ca8", "#8fb3cc", "#c9c9c9"


def draw(diagrams: Mapping[str, Reliability], path: Path) -> None:
    """Draw the share of right labels at each confidence, with Wilson's 95 % intervals, above the number of units.

    Parameters
    ----------
    diagrams : title -> what is drawn below it.
    path : of a PNG file.
    """
    figure = Figure(figsize=(4.4 * len(diagrams), 5.2), layout="tight")
    axes = figure.subplots(2, len(diagrams), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    for (above, below), (title, known) in zip(axes.T, diagrams.items(), strict=True):
        _diagram(above, below, known)
        above.set_title(f"{title}: calibration error {known.error:.3f}", fontsize=10)
    axes[0][0].set_ylabel("share of right labels")
    axes[1][0].set_ylabel("units")
    with replaced(path) as written:
        figure.savefig(written, format="png", dpi=110, metadata={"Software": None})


def _diagram(above: Axes, below: Axes, known: Reliability) -> None:
    above.plot([0, 1], [0, 1], color=DIAGONAL, linewidth=1)
    filled = np.flatnonzero(known.counts)
    for place in filled:
        count = int(known.counts[place])
        interval = wilson(round(known.right[place] * count), count)
        above.plot([known.confidence[place]] * 2, interval, color=INTERVALS, linewidth=2)
    above.plot(known.confidence[filled], known.right[filled], "o", color=POINTS, markersize=5)
    below.bar((np.arange(BINS) + 0.5) / BINS, known.counts, width=0.9 / BINS, color=INTERVALS)
    below.set_xlabel("confidence")
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)

"""A bar chart of an audit: what silencing units does to the accuracy of each class, beside what other units do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

from dnd.evaluation import audits
from dnd.evaluation.audits import Audit

MOST = 40
"""Classes that are drawn: those that change most."""
WIDTH, LEFT, RIGHT, TOP, STEP = 780, 225, 24, 76, 22
"""In pixels: of the chart, up to where bars begin, right of them, above them, and for one class."""
LONGEST = 28
"""Characters of a class's name."""


def draw(audit: str, table: pa.Table) -> str:
    """Return the chart of an AUDITS table as SVG text, the same for the same table.

    Parameters
    ----------
    audit : its name, which is the chart's title.
    """
    audited: list[Audit] = []
    controls: dict[str | None, list[float]] = {}
    for row in audits.rows_of(table):
        if row.control is None:
            audited.append(row)
        else:
            controls.setdefault(row.class_, []).append(row.accuracy_change)
    means = {name: float(np.mean(changes)) for name, changes in controls.items()}
    shown = sorted(audited, key=lambda row: (row.class_ is not None, -abs(row.accuracy_change), row.class_ or ""))
    shown = shown[: MOST + 1]
    reach = _reach(shown, means)
    template = Environment(
        loader=PackageLoader("dnd.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("audit.svg.jinja")
    return template.render(
        title=f"{audit}: change of accuracy",
        subtitle=_subtitle(audited, len(shown)),
        width=WIDTH,
        left=LEFT,
        top=TOP,
        step=STEP,
        height=TOP + STEP * len(shown) + 36,
        sets=max(map(len, controls.values()), default=0),
        rows=shown,
        means=means,
        ticks=np.linspace(-reach, reach, 5).tolist(),
        x=partial(_x, reach),
        percent=_percent,
        shortened=lambda name: name if len(name) <= LONGEST else name[: LONGEST - 1] + "…",
    )


def _subtitle(audited: Sequence[Audit], shown: int) -> str:
    if not audited:
        return "no unit matches the query: nothing is silenced"
    units, images = len(audited[0].units), next(row.images for row in audited if row.class_ is None)
    noun = "unit" if units == 1 else "units"
    hidden = f"; the {shown - 1} of {len(audited) - 1} classes that change most" if shown < len(audited) else ""
    return f"{audited[0].name}, layer {audited[0].layer}: {units} {noun} silenced, {images} images{hidden}"


def _reach(shown: Sequence[Audit], means: Mapping[str | None, float]) -> float:
    """The largest change on the axis, a multiple of 10 %."""
    values = [value for row in shown for value in (row.accuracy_change, row.accuracy_low, row.accuracy_high)]
    values += [means[row.class_] for row in shown if row.class_ in means]
    return max(0.1, np.ceil(max(map(abs, values), default=0.1) * 10 - 1e-9) / 10)


def _x(reach: float, change: float) -> float:
    """Where a change lies in pixels."""
    return round(LEFT + (change + reach) / (2 * reach) * (WIDTH - LEFT - RIGHT), 1)


def _percent(share: float) -> str:
    points = round(share * 100)
    return f"{points:+d} %" if points else "0 %"

"""A bar chart of an audit: what silencing units does to the accuracy of each class, beside what other units do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

MOST = 40
"""Classes that are drawn: those that change most."""
WIDTH, LEFT, RIGHT, TOP, STEP = 780, 225, 24, 76, 22
"""In pixels: of the chart, up to where bars begin, right of them, above them, and for one class."""
LONGEST = 28
"""Characters of a class's name."""


def draw(audit: str, rows: pa.Table) -> str:
    """Return the chart of an AUDITS table as SVG text, the same for the same table.

    Parameters
    ----------
    audit : its name, which is the chart's title.
    """
    own = [row for row in rows.to_pylist() if row["control"] is None]
    others: dict[str | None, list[float]] = {}
    for row in rows.to_pylist():
        if row["control"] is not None:
            others.setdefault(row["class"], []).append(row["accuracy_change"])
    shown = sorted(own, key=lambda row: (row["class"] is not None, -abs(row["accuracy_change"]), row["class"] or ""))
    shown = shown[: MOST + 1]
    reach = _reach(shown, others)
    template = Environment(
        loader=PackageLoader("dnd.evaluation", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("audit.svg.jinja")
    return template.render(
        title=f"{audit}: change of accuracy",
        subtitle=_subtitle(own, len(shown)),
        width=WIDTH,
        left=LEFT,
        height=TOP + STEP * len(shown) + 36,
        sets=max(map(len, others.values()), default=0),
        bars=[_bar(row, others.get(row["class"], []), TOP + STEP * i, reach) for i, row in enumerate(shown)],
        ticks=[
            {"x": _x(at, reach), "text": _percent(at), "zero": at == 0} for at in np.linspace(-reach, reach, 5).tolist()
        ],
    )


def _subtitle(own: list[dict[str, Any]], shown: int) -> str:
    if not own:
        return "no unit matches the query: nothing is silenced"
    units, images = len(own[0]["units"]), next(row["images"] for row in own if row["class"] is None)
    noun = "unit" if units == 1 else "units"
    hidden = f"; the {shown - 1} of {len(own) - 1} classes that change most" if shown < len(own) else ""
    return f"{own[0]['name']}, layer {own[0]['layer']}: {units} {noun} silenced, {images} images{hidden}"


def _reach(shown: list[dict[str, Any]], others: Mapping[str | None, list[float]]) -> float:
    """The largest change on the axis, a multiple of 10 %."""
    values = [row[key] for row in shown for key in ("accuracy_change", "accuracy_low", "accuracy_high")]
    values += [float(np.mean(others[row["class"]])) for row in shown if row["class"] in others]
    return max(0.1, np.ceil(max(map(abs, values), default=0.1) * 10 - 1e-9) / 10)


def _x(value: float, reach: float) -> float:
    return round(LEFT + (value + reach) / (2 * reach) * (WIDTH - LEFT - RIGHT), 1)


def _span(value: float, reach: float) -> dict[str, Any]:
    ends = sorted((_x(0, reach), _x(value, reach)))
    return {"x": ends[0], "length": round(ends[1] - ends[0], 1)}


def _bar(row: Mapping[str, Any], others: list[float], y: int, reach: float) -> dict[str, Any]:
    name = "all images" if row["class"] is None else row["class"]
    value, low, high = (row[f"accuracy_{key}"] for key in ("change", "low", "high"))
    control = None
    if others:
        mean = float(np.mean(others))
        control = _span(mean, reach) | {"text": f"{name}: {_percent(mean)} with other units"}
    return _span(value, reach) | {
        "name": name if len(name) <= LONGEST else name[: LONGEST - 1] + "…",
        "all": row["class"] is None,
        "y": y,
        "low": _x(low, reach),
        "high": _x(high, reach),
        "control": control,
        "text": f"{name}: {_percent(value)} ({_percent(low)} to {_percent(high)}), {row['correct_before']} to "
        f"{row['correct_after']} of {row['images']} images right",
    }


def _percent(share: float) -> str:
    points = round(share * 100)
    return f"{points:+d} %" if points else "0 %"

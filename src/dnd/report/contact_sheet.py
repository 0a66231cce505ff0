"""The labels that explain most of a layer's units with their exemplars on one sheet, for papers: PNG and PDF."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pyarrow.compute as pc
from matplotlib.figure import Figure

from dnd.io import schemas, tables
from dnd.io.files import unsynced
from dnd.io.rows import ListedExemplar
from dnd.report.thumbnails import Thumbnails
from dnd.report.units import cut, structs

SHOWN, COLUMNS, EXEMPLARS = 48, 4, 4
"""Units on a sheet and in a row of it, exemplars of each."""
SIDE, GAP, WIDE, HIGH, MARGIN = 80, 4, 360, 146, 14
"""In pixels: an exemplar, between exemplars, a unit with what parts it from the next, and around all."""
DPI = 160
GREY = "#555555"
LONGEST = 32
"""Characters of a label; a longer one ends in an ellipsis."""
STYLE: Any = {"pdf.fonttype": 42, "font.family": "DejaVu Sans", "font.size": 7.5, "text.parse_math": False}
BARE: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}
"""Kind of file -> what is left out of it: the same labels give the same bytes."""


class Labelled(NamedTuple):
    """What a sheet shows of a unit; exemplars are structs."""

    unit: int
    label: str
    explains: float | None
    exemplars: list[object]


def write(out: Path, facts: Mapping[str, str], descriptions: Path, probe: Thumbnails) -> bool:
    """Write ``contact-sheet.png`` and ``.pdf`` of a layer; return whether it has a labelled unit to show."""
    short = tables.read(descriptions, schemas.DESCRIPTIONS, ["unit", "explains"], pc.field("label").is_valid())
    chosen = short.sort_by([("explains", "descending"), ("unit", "ascending")])["unit"].slice(0, SHOWN)
    if not len(chosen):
        return False
    rows = tables.rows(descriptions, schemas.DESCRIPTIONS, Labelled, pc.field("unit").isin(chosen))
    rows.sort(key=lambda row: (row.explains is None, -(row.explains or 0.0), row.unit))
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it has a page to say of each font
    with matplotlib.rc_context(STYLE):
        figure = _drawn(facts, rows, probe)
        for kind, keys in BARE.items():
            with unsynced(out / f"contact-sheet.{kind}") as partial:
                figure.savefig(partial, format=kind, dpi=DPI, metadata=dict.fromkeys(keys))
    return True


def _drawn(facts: Mapping[str, str], rows: Sequence[Labelled], probe: Thumbnails) -> Figure:
    exemplars = [structs(row.exemplars[:EXEMPLARS], ListedExemplar) for row in rows]
    images = probe.of({exemplar.image_id for shown in exemplars for exemplar in shown})
    columns, lines = min(COLUMNS, len(rows)), -(-len(rows) // COLUMNS)
    width, height = MARGIN + WIDE * columns, 4 * MARGIN + HIGH * lines
    pixels = np.full((height, width, 3), 255, np.uint8)
    figure = Figure((width / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    title = printable(f"{facts['model']} · {facts['layer']} · {facts['recipe']}", LONGEST * columns)
    axes.text(MARGIN, 2 * MARGIN, title, va="center", color=GREY)
    for number, row in enumerate(rows):
        x, y = MARGIN + WIDE * (number % COLUMNS), 5 * MARGIN + HIGH * (number // COLUMNS)
        about = f"unit {row.unit}" + ("" if row.explains is None else f" · explains {row.explains:.2f}")
        axes.text(x, y, printable(row.label, LONGEST), weight="bold")
        axes.text(x, y + 2 * GAP + SIDE + MARGIN, about, size=6, color=GREY)
        for exemplar in exemplars[number]:
            square = pixels[y + 2 * GAP : y + 2 * GAP + SIDE, x : x + SIDE]
            square[:] = np.asarray(cut(*images[exemplar.image_id], exemplar.box, SIDE))
            x += SIDE + GAP
    axes.imshow(pixels, extent=(0, width, height, 0), aspect="auto", interpolation="nearest")
    return figure


def printable(text: str, longest: int) -> str:
    """Return a text in one short line, without what has no glyph of its own, such as marks of direction."""
    bare = (sign for sign in text if sign.isspace() or unicodedata.category(sign) not in ("Cc", "Cf", "Cs"))
    shown = " ".join("".join(bare).split())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"

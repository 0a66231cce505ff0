"""The evidence of some units of a layer: what the page shows of each, and the pictures for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from dnd.io import pictures, schemas, tables
from dnd.report import data_files
from dnd.report.sprites import Format, Sheet, cell, coloured, fitted, save
from dnd.report.thumbnails import Pixels, Place, Thumbnails, drawn

PER_BLOCK, PER_SHEET, BINS = 16, 64, 24
"""Units whose evidence is one file, units whose thumbnails are one sheet, bins of a histogram."""
THUMBS = Format(side=56, columns=4, quality=50)
EXEMPLARS = Format(side=112, columns=16, quality=35)
DRAWN = Format(side=64, columns=10, quality=28)
HEAT = Format(side=24, columns=16, quality=50, mode="RGBA")
COMPONENTS = ("score", "auc", "mad", "rank_score", "image_similarity")
PROBED = ("fit", "gap", "hard", "agreement", "votes")
MAP_COLUMNS = ["unit", "image_id", "heatmap", "heatmap_box"]
FACET_COLUMNS = ["unit", "label", "share", "exemplars"]
SCORE_COLUMNS = ["unit", "candidate", "concept", *PROBED, "parts", "activations"]
Row = Mapping[str, Any]
Span = tuple[float, float]


@dataclass(frozen=True)
class Tables:
    """The tables of a layer. Those of other methods have no exemplars of their own and no generated images.

    Attributes
    ----------
    topk : TOPK, for the histograms.
    origins : further tables, which tell only how they came about.
    """

    descriptions: Path
    topk: Path
    facets: Sequence[Path] = ()
    exemplars: Sequence[Path] = ()
    scores: Sequence[Path] = ()
    images: Sequence[Path] = ()
    probe: Sequence[Path] = ()
    importance: Sequence[Path] = ()
    origins: Sequence[Path] = ()

    SEVERAL: ClassVar = ("facets", "exemplars", "scores", "images", "probe", "importance", "origins")
    """Those that may be in several files, or in none."""


@dataclass(frozen=True)
class Evidence:
    """The rows of a unit in a layer's tables beside its row of DESCRIPTIONS.

    Attributes
    ----------
    maps : rows of EXEMPLARS.
    controls : activations of control images.
    """

    scores: Sequence[Row] = ()
    maps: Sequence[Row] = ()
    facets: Sequence[Row] = ()
    controls: Sequence[float] = ()


@dataclass(frozen=True)
class Part:
    """What one process makes: the units of a sheet of thumbnails.

    Attributes
    ----------
    number : of the part.
    units : first and last unit.
    places : concept -> where its generated images are.
    """

    number: int
    units: tuple[int, int]
    places: Mapping[str, Sequence[Place]]


def make(out: Path, key: str, given: Tables, probe: Thumbnails, reasons: Mapping[str, str], part: Part) -> Span | None:
    """Write the evidence of a part's units; return the smallest and largest activation in it.

    Parameters
    ----------
    out, key : the layer's folder, and what the site calls it.
    reasons : why a unit is without a label -> the same as a sentence.
    """
    where = (pc.field("unit") >= part.units[0]) & (pc.field("unit") <= part.units[1])
    rows = tables.read(given.descriptions, schemas.DESCRIPTIONS, where=where).to_pylist()
    _thumbs(out / f"thumbs/{part.number:05d}.webp", rows, probe)
    evidence = _evidence(given, where, [row["unit"] for row in rows])
    spans: list[Span] = []
    for first in range(0, len(rows), PER_BLOCK):
        own = rows[first : first + PER_BLOCK]
        block = _Block(probe, part.places, own)
        units = [block.unit(row, evidence[row["unit"]], reasons) for row in own]
        block.write(out, key, (part.number * PER_SHEET + first) // PER_BLOCK, units)
        spans += block.spans
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def _evidence(given: Tables, where: pc.Expression, units: Sequence[int]) -> dict[int, Evidence]:
    """Unit -> what the other tables hold of it."""
    scores = _by_unit(tables.read(given.scores, schemas.SCORES, SCORE_COLUMNS, where))
    maps = _by_unit(tables.read(given.exemplars, schemas.EXEMPLARS, MAP_COLUMNS, where))
    facets = _by_unit(tables.read(given.facets, schemas.FACETS, FACET_COLUMNS, where))
    controls = _by_unit(tables.read(given.topk, schemas.TOPK, ["unit", "controls"], where))
    return {
        unit: Evidence(
            scores.get(unit, ()),
            maps.get(unit, ()),
            facets.get(unit, ()),
            controls[unit][0]["controls"] if unit in controls else (),
        )
        for unit in units
    }


def _by_unit(rows: pa.Table) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["unit"], []).append(row)
    return found


def _thumbs(path: Path, rows: Sequence[Row], probe: Thumbnails) -> None:
    """Write the sheet of units' best exemplars, one row of cells a unit."""
    best = {
        place * THUMBS.columns + rank: one
        for place, row in enumerate(rows)
        for rank, one in enumerate(row["exemplars"][: THUMBS.columns])
    }
    found = probe.of({one["image_id"] for one in best.values()})
    cells = {number: np.asarray(cut(*found[one["image_id"]], one["box"], THUMBS.side)) for number, one in best.items()}
    if cells:
        save(path, cells, THUMBS, THUMBS.columns, PER_SHEET)


def cut(pixels: Pixels, size: tuple[int, int], box: Sequence[int] | None, side: int) -> Image.Image:
    """Return a square of a thumbnail around a box of the original, or its middle, in a cell of another size."""
    x, y, width, height = fitted(size, pixels.shape[0])
    image = Image.fromarray(np.asarray(pixels)).crop((x, y, x + width, y + height))
    return image.crop(squared(pictures.rescaled(box or (0, 0, *size), size, image.size), image.size)).resize(
        (side, side), Image.Resampling.LANCZOS
    )


def squared(box: Sequence[int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the smallest square around a box that an image of some size holds; else the largest about its middle."""
    side = min(max(box[2] - box[0], box[3] - box[1]), *size)
    x, y = (
        min(max(round((low + high - side) / 2), 0), most - side)
        for low, high, most in ((box[0], box[2], size[0]), (box[1], box[3], size[1]))
    )
    return x, y, x + side, y + side


class _Block:
    """Some units whose evidence is one file, and the pictures that they share.

    Attributes
    ----------
    spans : smallest and largest activation of each unit that has any.
    """

    def __init__(self, probe: Thumbnails, places: Mapping[str, Sequence[Place]], rows: Sequence[Row]) -> None:
        concepts = {one["concept"] for row in rows for one in row["candidates"]}
        groups = {place for concept in concepts for place in places.get(concept, ())}
        self.spans: list[Span] = []
        self._probe = probe.of({one["image_id"] for row in rows for one in row["exemplars"]})
        self._drawn = drawn(groups, concepts)
        self._sheets = {"exemplars": Sheet(EXEMPLARS), "heat": Sheet(HEAT), "drawn": Sheet(DRAWN)}

    def write(self, out: Path, key: str, number: int, units: Sequence[Row]) -> None:
        """Write the file and its sheets."""
        place = f"units/{number:05d}"
        for kind, sheet in self._sheets.items():
            sheet.write(out / f"{place}-{kind}.webp")
        facts = {kind: sheet.facts for kind, sheet in self._sheets.items()}
        data_files.write(out, f"{key}/{place}", {"units": units, **facts}, place)

    def unit(self, row: Row, known: Evidence, reasons: Mapping[str, str]) -> Row:
        """Return what the page shows of a unit."""
        scores = {one["concept"]: one for one in known.scores}
        numbered = {one["candidate"]: one for one in known.scores}
        candidates = [
            self._candidate(one, row["label"], scores.get(one["concept"]), numbered) for one in row["candidates"]
        ]
        values = [one["activation"] for one in row["exemplars"]]
        values += [value for one in candidates for _, value in one["drawn"]]
        bars = histogram(known.controls, values)
        values += (bars["low"], bars["high"]) if bars else ()
        if values := [value for value in values if np.isfinite(value)]:
            self.spans.append((min(values), max(values)))
        reason = row["abstained"]
        return {
            "unit": row["unit"],
            "exemplars": self._exemplars(row, known.maps),
            "candidates": candidates,
            "facets": [{key: one[key] for key in ("label", "share", "exemplars")} for one in known.facets],
            "histogram": bars,
            "reason": reason and reasons.get(reason, f"No label is given: {reason}."),
            "labels": row["labels"],
        }

    def _exemplars(self, row: Row, maps: Sequence[Row]) -> list[Row]:
        heat = {one["image_id"]: one for one in maps if one["heatmap"] is not None}
        found: list[Row] = []
        for one, caption in zip(row["exemplars"], row["captions"], strict=True):
            pixels, size = self._probe[one["image_id"]]
            shown = heat.get(one["image_id"])
            found.append(
                {
                    "id": one["image_id"],
                    "size": size,
                    "box": one["box"],
                    "activation": one["activation"],
                    "caption": caption,
                    "cell": self._sheets["exemplars"].place(one["image_id"], partial(np.asarray, pixels)),
                    "heat": shown and self._heat(shown["heatmap"]),
                    "heat_box": shown and (shown["heatmap_box"] or [0, 0, *size]),
                }
            )
        return found

    def _heat(self, heatmap: bytes) -> int:
        return self._sheets["heat"].place(heatmap, lambda: coloured(heatmap, HEAT.side))

    def _candidate(self, one: Row, label: str | None, score: Row | None, numbered: Mapping[int, Row]) -> dict[str, Any]:
        extra = {name: score and score[name] for name in PROBED}
        return {
            "concept": one["concept"],
            **{name: one[name] for name in COMPONENTS},
            **extra,
            "source": one["source"],
            "drawn": self._best_first(score, numbered) if score else [],
            "chosen": one["concept"] == label,
        }

    def _best_first(self, score: Row, numbered: Mapping[int, Row]) -> list[tuple[int, float]]:
        """Cells of a candidate's generated images with their activations; alternatives show those of their parts."""
        parts = [numbered[part] for part in score["parts"]] if score["parts"] else [score]
        found = []
        for part in parts:
            samples = self._drawn.get(part["concept"], {})
            for (sample, image), value in zip(samples.items(), part["activations"] or (), strict=False):
                found.append((self._drawing(part["concept"], sample, image), value))
        return sorted(found, key=lambda one: -one[1])

    def _drawing(self, concept: str, sample: int, image: bytes) -> int:
        return self._sheets["drawn"].place((concept, sample), lambda: cell(pictures.decode(image), DRAWN.side))


def histogram(controls: Sequence[float], others: Sequence[float]) -> dict[str, Any] | None:
    """Return the histogram of control images' activations, on an axis that others' fit on; None without any."""
    values, marks = (np.asarray(one, np.float64) for one in (controls, others))
    values, marks = values[np.isfinite(values)], marks[np.isfinite(marks)]
    if not len(values):
        return None
    ends = np.concatenate([values, marks])
    counts, edges = np.histogram(values, BINS, (ends.min(), ends.max()))
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}

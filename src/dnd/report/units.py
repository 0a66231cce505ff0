"""The evidence of some units of a layer: what the page shows of each, and the pictures for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import pyarrow.compute as pc
from PIL import Image

from dnd.io import pictures, schemas, tables
from dnd.io.rows import Exemplar, Facet, ListedCandidate, ListedExemplar, Score
from dnd.report import data_files
from dnd.report.sprites import Format, Sheet, cell, coloured, fitted, save
from dnd.report.thumbnails import Pixels, Place, Thumbnails, drawn

PER_BLOCK, PER_SHEET, BINS = 16, 64, 24
"""Units whose evidence is one file, units whose thumbnails are one sheet, bins of a histogram."""
THUMBS = Format(side=56, columns=4, quality=50)
EXEMPLARS = Format(side=112, columns=16, quality=35)
DRAWN = Format(side=64, columns=10, quality=28)
HEAT = Format(side=24, columns=16, quality=50, mode="RGBA")
COMPONENTS = ("score", "auc", "mad", "rank_score", "image_similarity", "correlation", "precision", "drawn")
Span = tuple[float, float]


class Described(NamedTuple):
    """What the page reads of a unit's description."""

    unit: int
    label: str | None
    labels: list[str]
    abstained: str | None
    candidates: list[ListedCandidate]
    exemplars: list[ListedExemplar]
    captions: list[str | None]


R = TypeVar("R", Exemplar, Facet, Score)
T = TypeVar("T")


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


class Evidence(NamedTuple):
    """The rows of a unit in a layer's tables beside its description."""

    scores: Sequence[Score]
    maps: Sequence[Exemplar]
    facets: Sequence[Facet]
    controls: Sequence[float]


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
    rows = described(given.descriptions, where)
    _thumbs(out / f"thumbs/{part.number:05d}.webp", rows, probe)
    evidence = _evidence(given, where, [row.unit for row in rows])
    spans: list[Span] = []
    for first in range(0, len(rows), PER_BLOCK):
        together = rows[first : first + PER_BLOCK]
        block = _Block(probe, part.places, together)
        units = [block.unit(row, evidence[row.unit], reasons) for row in together]
        block.write(out, key, (part.number * PER_SHEET + first) // PER_BLOCK, units)
        spans += block.spans
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def described(descriptions: Path, where: pc.Expression) -> list[Described]:
    """Return some units' rows of a table of DESCRIPTIONS."""
    return [
        row._replace(
            candidates=structs(row.candidates, ListedCandidate), exemplars=structs(row.exemplars, ListedExemplar)
        )
        for row in tables.rows(descriptions, schemas.DESCRIPTIONS, Described, where)
    ]


def structs(values: Iterable[object], kind: Callable[..., T]) -> list[T]:
    """Return the structs of a table's cell, which Arrow has as mappings, as named tuples."""
    return [kind(**value) for value in values if isinstance(value, Mapping)]


def _evidence(given: Tables, where: pc.Expression, units: Sequence[int]) -> dict[int, Evidence]:
    """Unit -> what the other tables hold of it."""
    scores = _by_unit(tables.rows(given.scores, schemas.SCORES, Score, where))
    maps = _by_unit(tables.rows(given.exemplars, schemas.EXEMPLARS, Exemplar, where))
    facets = _by_unit(tables.rows(given.facets, schemas.FACETS, Facet, where))
    pool = tables.read(given.topk, schemas.TOPK, ["unit", "controls"], where)
    controls = dict(zip(pool["unit"].to_pylist(), pool["controls"].to_pylist(), strict=True))
    return {
        unit: Evidence(scores.get(unit, []), maps.get(unit, []), facets.get(unit, []), controls.get(unit, []))
        for unit in units
    }


def _by_unit(rows: Iterable[R]) -> dict[int, list[R]]:
    by_unit: dict[int, list[R]] = {}
    for row in rows:
        by_unit.setdefault(row.unit, []).append(row)
    return by_unit


def _thumbs(path: Path, rows: Sequence[Described], probe: Thumbnails) -> None:
    """Write the sheet of units' best exemplars, one row of cells a unit."""
    best = {
        place * THUMBS.columns + rank: exemplar
        for place, row in enumerate(rows)
        for rank, exemplar in enumerate(row.exemplars[: THUMBS.columns])
    }
    images = probe.of({exemplar.image_id for exemplar in best.values()})
    cells = {
        number: np.asarray(cut(*images[exemplar.image_id], exemplar.box, THUMBS.side))
        for number, exemplar in best.items()
    }
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

    def __init__(self, probe: Thumbnails, places: Mapping[str, Sequence[Place]], rows: Sequence[Described]) -> None:
        concepts = {candidate.concept for row in rows for candidate in row.candidates}
        groups = {place for concept in concepts for place in places.get(concept, ())}
        self.spans: list[Span] = []
        self._probe = probe.of({exemplar.image_id for row in rows for exemplar in row.exemplars})
        self._drawn = drawn(groups, concepts)
        self._sheets = {"exemplars": Sheet(EXEMPLARS), "heat": Sheet(HEAT), "drawn": Sheet(DRAWN)}

    def write(self, out: Path, key: str, number: int, units: Sequence[Mapping[str, object]]) -> None:
        """Write the file and its sheets."""
        place = f"units/{number:05d}"
        for kind, sheet in self._sheets.items():
            sheet.write(out / f"{place}-{kind}.webp")
        facts = {kind: sheet.facts for kind, sheet in self._sheets.items()}
        data_files.write(out, f"{key}/{place}", {"units": units, **facts}, place)

    def unit(self, row: Described, known: Evidence, reasons: Mapping[str, str]) -> Mapping[str, object]:
        """Return what the page shows of a unit."""
        scores = {score.concept: score for score in known.scores}
        numbered = {score.candidate: score for score in known.scores}
        pictures_of = {
            candidate.concept: self._best_first(scores.get(candidate.concept), numbered) for candidate in row.candidates
        }
        values = [exemplar.activation for exemplar in row.exemplars]
        values += [value for candidate in row.candidates for _, value in pictures_of[candidate.concept]]
        bars = histogram(known.controls, values)
        values += bars[:2] if bars else ()
        if values := [value for value in values if np.isfinite(value)]:
            self.spans.append((min(values), max(values)))
        reason = row.abstained
        return {
            "unit": row.unit,
            "exemplars": self._exemplars(row, known.maps),
            "candidates": [
                {
                    "concept": candidate.concept,
                    **{name: getattr(candidate, name) for name in COMPONENTS},
                    "votes": getattr(scores.get(candidate.concept), "votes", None),
                    "source": candidate.source,
                    "pictures": pictures_of[candidate.concept],
                    "chosen": candidate.concept == row.label,
                }
                for candidate in row.candidates
            ],
            "facets": [{key: getattr(facet, key) for key in ("label", "share", "exemplars")} for facet in known.facets],
            "histogram": bars and dict(zip(("low", "high", "counts"), bars, strict=True)),
            "reason": reason and reasons.get(reason, f"No label is given: {reason}."),
            "labels": row.labels,
        }

    def _exemplars(self, row: Described, maps: Sequence[Exemplar]) -> list[Mapping[str, object]]:
        heat = {
            exemplar.image_id: (exemplar.heatmap, exemplar.heatmap_box)
            for exemplar in maps
            if exemplar.heatmap is not None
        }
        shown: list[Mapping[str, object]] = []
        for exemplar, caption in zip(row.exemplars, row.captions, strict=True):
            pixels, size = self._probe[exemplar.image_id]
            heatmap, heat_box = heat.get(exemplar.image_id, (None, None))
            shown.append(
                {
                    "id": exemplar.image_id,
                    "size": size,
                    "box": exemplar.box,
                    "activation": exemplar.activation,
                    "caption": caption,
                    "cell": self._sheets["exemplars"].place(exemplar.image_id, partial(np.asarray, pixels)),
                    "heat": heatmap and self._sheets["heat"].place(heatmap, partial(coloured, heatmap, HEAT.side)),
                    "heat_box": heatmap and (heat_box or [0, 0, *size]),
                }
            )
        return shown

    def _best_first(self, score: Score | None, numbered: Mapping[int, Score]) -> list[tuple[int, float]]:
        """Cells of a candidate's generated images with their activations; alternatives show those of their parts."""
        if score is None:
            return []
        cells = []
        for part in [numbered[number] for number in score.parts] if score.parts else [score]:
            samples = self._drawn.get(part.concept, {})
            for (sample, image), value in zip(samples.items(), part.activations or (), strict=False):
                cells.append((self._drawing(part.concept, sample, image), value))
        return sorted(cells, key=lambda item: -item[1])

    def _drawing(self, concept: str, sample: int, image: bytes) -> int:
        return self._sheets["drawn"].place((concept, sample), lambda: cell(pictures.decode(image), DRAWN.side))


def histogram(controls: Sequence[float], others: Sequence[float]) -> tuple[float, float, list[int]] | None:
    """Return the lowest and highest edge and the counts of a histogram of control images' activations.

    It has ``BINS`` bins of the same width, on an axis that others' activations fit on; None without any.
    """
    values, marks = (np.asarray(numbers, np.float64) for numbers in (controls, others))
    values, marks = values[np.isfinite(values)], marks[np.isfinite(marks)]
    if not len(values):
        return None
    ends = np.concatenate([values, marks])
    counts, edges = np.histogram(values, BINS, (ends.min(), ends.max()))
    return float(edges[0]), float(edges[-1]), counts.tolist()

"""The page of a run: every unit with its evidence, in one file that needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from dnd import known_answers, pictures, schemas, tables
from dnd.atomic import replaced
from dnd.figures import Figure, figures
from dnd.known_answers import Answer

log = logging.getLogger(__name__)
WHOLE, CUTOUT, DRAWN, HEAT = 144, 96, 96, 32
"""Longest sides in pixels of the page's whole images, cut-outs, generated images and heat maps."""
QUALITY = 75
HEAVY = 60e6
"""Bytes from which a page is slow to open, so that the log should say so."""
RAMP = np.array([(0, 0, 0), (96, 16, 84), (214, 54, 48), (252, 150, 30), (252, 240, 150)], float)
"""Colours of a heat map from its minimum to its maximum."""


@dataclass(frozen=True)
class ExemplarView:
    """One exemplar on the page.

    Attributes
    ----------
    size : width and height of the original image; ``box`` and ``heat_box`` are in its pixels.
    whole : WebP of the whole image.
    cutout : WebP of the part inside the box; None where the whole image shows it as sharply.
    heat : WebP of the heat map, coloured and translucent; None without a map.
    """

    image_id: str
    size: tuple[int, int]
    box: tuple[int, int, int, int] | None
    activation: float
    caption: str
    whole: bytes
    cutout: bytes | None = None
    heat: bytes | None = None
    heat_box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class CandidateView:
    """One candidate concept on the page; ``images`` are its generated images with activations, best first."""

    concept: str
    score: float
    auc: float | None
    mad: float | None
    rank_score: float | None
    image_similarity: float | None
    source: str
    votes: int | None = None
    images: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True)
class UnitView:
    """One unit on the page; ``correct`` is None where there is nothing to be right about.

    ``facets`` are the several things it responds to, each with its share of the exemplars' activation, largest first.
    ``importance`` is the mean size of its attribution to the network's answers, None where that was not measured.
    """

    unit: int
    label: str | None
    abstained: str | None
    confidence: float
    exemplars: tuple[ExemplarView, ...] = ()
    candidates: tuple[CandidateView, ...] = ()
    kind: str | None = None
    truth: str | None = None
    correct: bool | None = None
    importance: float | None = None
    facets: tuple[tuple[str, float], ...] = ()

    @property
    def span(self) -> tuple[float, float]:
        """Smallest and largest activation among exemplars and generated images."""
        values = [one.activation for one in self.exemplars]
        values += [value for one in self.candidates for _, value in one.images]
        return (min(values), max(values)) if values else (0.0, 0.0)


@dataclass(frozen=True)
class LayerReport:
    """One layer of the sweep on the page."""

    name: str
    layer: str
    slug: str
    model: str
    probe: str
    recipe: str
    units: tuple[UnitView, ...]


class Album:
    """Pictures of a page, each kept once however often it is shown."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}

    def __call__(self, picture: bytes) -> int:
        """Return a picture's number in the page."""
        return self._places.setdefault(picture, len(self._places))

    @property
    def json(self) -> Markup:
        """The pictures as a JSON list of base64 strings, which hold nothing that HTML could misread."""
        coded = (f'"{base64.b64encode(picture).decode("ascii")}"' for picture in self._places)
        return Markup("[" + ",".join(coded) + "]")


def ticks(values: Iterable[float], span: tuple[float, float], top: int, bottom: int) -> str:
    """Return an SVG path with one vertical stroke a value on an axis of 0-100 over ``span``."""
    low, high = span
    width = (high - low) or 1.0
    return "".join(f"M{100 * (value - low) / width:.1f} {top}V{bottom}" for value in values)


def render(run: str, layers: Sequence[LayerReport], evaluation: pa.Table | None) -> str:
    """Return the page as HTML. All text is escaped; scripts and styles run by their hash only."""
    environment = Environment(
        loader=PackageLoader("dnd"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_source(environment, name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html.jinja").render(
        run=run,
        layers=layers,
        figures=_by_layer(layers, evaluation),
        album=Album(),
        ticks=ticks,
        weighed=any(unit.importance is not None for layer in layers for unit in layer.units),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].replace("\r\n", "\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _by_layer(layers: Sequence[LayerReport], evaluation: pa.Table | None) -> dict[tuple[str, str], list[Figure]]:
    """(name, layer) -> its figures, in the order of the sweep."""
    found: dict[tuple[str, str], list[Figure]] = {(one.name, one.layer): [] for one in layers}
    for one in figures(evaluation) if evaluation is not None else []:
        found.setdefault((one.name, one.layer), []).append(one)
    return {place: rows for place, rows in found.items() if rows}


def webp(image: Image.Image, longest: int) -> bytes:
    """Return an image as WebP, shrunk so that its longest side fits."""
    image = image.copy()
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()


def coloured(heatmap: bytes) -> bytes:
    """Return a grey heat map as WebP, from clear (its minimum) to bright and covering (its maximum)."""
    grey = Image.open(io.BytesIO(heatmap)).convert("L")
    grey.thumbnail((HEAT, HEAT), Image.Resampling.BILINEAR)
    level = np.asarray(grey, float) / 255
    stops = np.linspace(0, 1, len(RAMP))
    colour = np.stack([np.interp(level, stops, RAMP[:, i]) for i in range(3)] + [230 * level**0.7], 2)
    buffer = io.BytesIO()
    Image.fromarray(np.rint(colour).astype(np.uint8)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


class _Pictures:
    """Thumbnails of probe images and generated images, each made once."""

    def __init__(self, shards: Sequence[Path], wanted: set[str]) -> None:
        rows = pictures.rows(shards, wanted)
        self._originals = {row["image_id"]: pictures.decode(row["image"]) for row in rows}
        self._made: dict[tuple[str, tuple[int, ...] | None], bytes] = {}

    def size(self, image_id: str) -> tuple[int, int]:
        return self._originals[image_id].size

    def whole(self, image_id: str) -> bytes:
        return self._thumbnail(image_id, None, WHOLE)

    def cutout(self, image_id: str, box: tuple[int, int, int, int] | None) -> bytes | None:
        if box is None or max(self.size(image_id)) <= WHOLE:
            return None
        return self._thumbnail(image_id, box, CUTOUT)

    def _thumbnail(self, image_id: str, box: tuple[int, int, int, int] | None, longest: int) -> bytes:
        if (image_id, box) not in self._made:
            image = self._originals[image_id]
            self._made[image_id, box] = webp(image.crop(box) if box else image, longest)
        return self._made[image_id, box]


def build(
    out: Path,
    run: str,
    layers: Sequence[Mapping[str, Any]],
    evaluation: Path | None,
    known: Mapping[str, Path],
) -> None:
    """Read the tables of a run and write its page, in one step.

    Parameters
    ----------
    out : the page.
    layers : of each layer ``name``, ``layer``, ``slug``, the file ``descriptions`` and the files
        ``facets``, ``exemplars``, ``scores``, ``probe``, ``images`` and ``importance``.
    evaluation : EVALUATION file of the run.
    known : model -> file of known answers.
    """
    table = tables.read(evaluation, schemas.EVALUATION) if evaluation is not None else None
    answers = {model: known_answers.load(path) for model, path in known.items()}
    verdicts = _verdicts(table)
    page = render(run, [_layer(one, answers, verdicts) for one in layers], table)
    if len(page) > HEAVY:
        log.warning("%s has %.0f MB: browsers will open it slowly", out, len(page) / 1e6)
    with replaced(out) as partial:
        partial.write_text(page, encoding="utf-8")


def _verdicts(evaluation: pa.Table | None) -> dict[tuple[str, str, str, int], bool]:
    """(name, layer, method, unit) -> whether its label is exact."""
    if evaluation is None:
        return {}
    exact = evaluation.filter(pc.field("metric") == "known_answer_exact")
    return {
        (row["name"], row["layer"], row["method"], row["unit"]): row["value"] == 1
        for row in exact.to_pylist()
        if row["unit"] is not None
    }


def _layer(
    place: Mapping[str, Any],
    answers: Mapping[str, Mapping[str, Mapping[int, Answer]]],
    verdicts: Mapping[tuple[str, str, str, int], bool],
) -> LayerReport:
    described = tables.read(place["descriptions"], schemas.DESCRIPTIONS).to_pylist()
    shown: dict[int, list[Mapping[str, Any]]] = {}
    for row in tables.read(place["exemplars"], schemas.EXEMPLARS).to_pylist():
        shown.setdefault(row["unit"], []).append(row)
    scores = {(row["unit"], row["concept"]): row for row in tables.read(place["scores"], schemas.SCORES).to_pylist()}
    wanted = {one["image_id"] for row in described for one in row["exemplars"]}
    thumbnails = _Pictures(place["probe"], wanted)
    drawn = _drawn(place["images"], {one["concept"] for row in described for one in row["candidates"]})
    facts = {key: described[0][key] if described else "" for key in ("model", "probe", "recipe")}
    known = answers.get(facts["model"], {}).get(place["layer"], {})
    facets: dict[int, list[tuple[str, float]]] = {}
    for row in tables.read(place["facets"], schemas.FACETS, ["unit", "label", "share"]).to_pylist():
        facets.setdefault(row["unit"], []).append((row["label"], row["share"]))
    weights = tables.read(place["importance"], schemas.IMPORTANCE, ["unit", "absolute"])
    matter = dict(zip(weights["unit"].to_pylist(), weights["absolute"].to_pylist(), strict=True))
    units = []
    for row in described:
        unit = row["unit"]
        answer = known.get(unit)
        correct = verdicts.get((place["name"], place["layer"], facts["recipe"], unit))
        if correct is None and answer is not None and answer.kind in ("dead", "constant"):
            correct = row["abstained"] is not None
        units.append(
            UnitView(
                unit=unit,
                label=row["label"],
                abstained=row["abstained"],
                confidence=row["confidence"] or 0.0,
                exemplars=_exemplars(row, shown.get(unit, []), thumbnails),
                candidates=tuple(
                    _candidate(one, scores.get((unit, one["concept"])), drawn) for one in row["candidates"]
                ),
                kind=answer.kind if answer else None,
                truth=answer.label if answer and answer.words else None,
                correct=correct,
                importance=matter.get(unit),
                facets=tuple(facets.get(unit, ())),
            )
        )
    return LayerReport(place["name"], place["layer"], place["slug"], **facts, units=tuple(units))


def _exemplars(
    row: Mapping[str, Any], shown: Iterable[Mapping[str, Any]], pictures: _Pictures
) -> tuple[ExemplarView, ...]:
    maps = {one["image_id"]: one for one in shown}
    views = []
    for one, caption in zip(row["exemplars"], row["captions"], strict=True):
        name, box = one["image_id"], tuple(one["box"]) if one["box"] else None
        found = maps.get(name, {})
        heat, heat_box = found.get("heatmap"), found.get("heatmap_box")
        views.append(
            ExemplarView(
                image_id=name,
                size=pictures.size(name),
                box=box,
                activation=one["activation"],
                caption=caption or "",  # rivals have none
                whole=pictures.whole(name),
                cutout=pictures.cutout(name, box),
                heat=coloured(heat) if heat else None,
                heat_box=tuple(heat_box) if heat_box else None,
            )
        )
    return tuple(views)


def _drawn(files: Sequence[Path], concepts: set[str]) -> dict[str, list[bytes]]:
    """Concept -> thumbnails of its usable images, which the scores' activations belong to, in order of sample."""
    chosen = pc.field("concept").isin(pa.array(sorted(concepts), pa.string())) & pc.field("problem").is_null()
    rows = tables.read(files, schemas.IMAGES, ["concept", "sample", "image"], chosen).to_pylist()
    distinct = {(row["concept"], row["sample"]): row["image"] for row in rows}  # unit shards may share some
    found: dict[str, list[bytes]] = {}
    for concept, sample in sorted(distinct):
        image = Image.open(io.BytesIO(distinct[concept, sample])).convert("RGB")
        found.setdefault(concept, []).append(webp(image, DRAWN))
    return found


def _candidate(
    one: Mapping[str, Any], score: Mapping[str, Any] | None, drawn: Mapping[str, Sequence[bytes]]
) -> CandidateView:
    activations = (score["activations"] if score else None) or []  # none where nothing is drawn
    images = zip(drawn.get(one["concept"], ()), activations, strict=False)
    return CandidateView(
        **one,
        votes=score["votes"] if score else None,
        images=tuple(sorted(images, key=lambda image: -image[1])),
    )

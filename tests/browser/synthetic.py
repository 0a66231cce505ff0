"""A small run's tables, made by hand, with one unit of every sort and untrusted texts: what the site is tested on."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from dnd.io import schemas, tables
from dnd.shapeworld.grammar import phrase

PROBE, EXEMPLARS, DRAWN, CONTROLS = 40, 10, 5, 40
UNITS = 72  # more than a sheet of 64
SIZES = [(96, 64), (64, 96), (80, 80)]
WORDS = [("red",), ("blue", "star"), ("striped", "circle"), ("green", "ring"), ("snow",), ("dotted",), ("square",)]
LABELS = [phrase(words) for words in WORDS]
IDLE = {5: "dead", 13: "constant", 23: "dead", 41: "dead"}
WITHHELD = {7: "chance", 25: "chance", 31: "little", 43: "chance"}
JOINED = (11, 29, 47)
SHORT = 3  # a unit with two exemplars
HOSTILE = [
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "javascript:alert(1)",
    "<img src=x onerror=alert(1)>",
    "</script><svg onload=alert(1)>",
    "\u202egnirts desrever\u202c end",
    "zero\u200bwidth\u200djoined\ufeff",
    "שלום red عالم",
    "=HYPERLINK(alert)",
    "\r=1+1",
    "\n@SUM(1)",
    "-2+3",
    "line\u2028separator\u2029 & {{constructor}} `${alert(1)}`",
    "a very long label " + "that does not end and has no reason to " * 8,
    "unbroken" * 40,
]


def png(image: Image.Image) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def picture(seed: int, size: tuple[int, int]) -> bytes:
    """Draw a bright disc on a dim ground."""
    rng = np.random.default_rng([1, seed])
    image = Image.new("RGB", size, tuple(map(int, rng.integers(0, 90, 3))))
    place = (size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4)
    ImageDraw.Draw(image).ellipse(place, tuple(map(int, rng.integers(120, 256, 3))))
    return png(image)


def probe_row(i: int) -> dict[str, object]:
    """Return an image of the probe; the name of the last is hostile as well."""
    size = SIZES[i % len(SIZES)]
    data = picture(i, size)
    name = f"photos/{i:04d}.png" if i < PROBE - 1 else 'photos/" onload="alert(1)<script>.png'
    digest = hashlib.sha256(data).hexdigest()
    return {"image_id": name, "digest": digest, "width": size[0], "height": size[1], "label": None, "image": data}


class LayerTables:
    """The rows of one layer's tables, unit by unit.

    Parameters
    ----------
    recipe : that of the layer; a rival's has no captions, boxes or generated images.
    labels : of its units, in turn; None for one of which nothing is said.
    """

    def __init__(self, probe: list[dict[str, object]], layer: str, recipe: str, rival: bool = False) -> None:
        self.probe, self.rival = probe, rival
        self.facts = {"model": "conceptnet", "layer": layer, "probe": "photos", "recipe": recipe}
        self.rows: dict[str, list[dict[str, object]]] = {
            name: [] for name in ("descriptions", "facets", "exemplars", "captions", "scores", "topk", "importance")
        }

    def add(
        self,
        unit: int,
        label: str | None,
        idle: str | None,
        explains: float,
        caption: str = "a {} thing",
        confidence: float | None = None,
    ) -> None:
        """Add a unit; of one that is neither labelled nor idle, the best candidate is withheld."""
        rng = np.random.default_rng([2, unit])
        shown = [] if idle else self._exemplars(unit, rng)
        captions = [None if self.rival else caption.format(label or "vague") + f", {row['rank']}" for row in shown]
        others = [text for text in (*LABELS, "something else") if text != label]
        concepts = [] if idle else [label or others[1], others[unit % len(LABELS)], "various objects"]
        scores = [self._score(unit, i, concept, rng) for i, concept in enumerate(dict.fromkeys(concepts))]
        parts = label.split(" or ") if label and " or " in label else [label]
        self.rows["topk"].append(self._topk(unit, idle, shown, rng))
        self.rows["scores"] += scores
        self.rows["importance"].append(
            {"unit": unit, "attribution": float(rng.normal()), "absolute": float(rng.uniform(0, 2)), "std": 0.1,
             "images": PROBE, "note": None}
        )  # fmt: skip
        self.rows["exemplars"] += shown
        self.rows["captions"] += [
            {"image_id": row["image_id"], "box": row["box"], "caption": text}
            for row, text in zip(shown, captions, strict=True)
            if text is not None
        ]
        if label:
            self.rows["facets"] += [
                {"unit": unit, "facet": i, "label": part, "exemplars": list(range(i, len(shown), len(parts))),
                 "share": 1 / len(parts)}
                for i, part in enumerate(parts)
            ]  # fmt: skip
        self.rows["descriptions"].append(
            self.facts
            | {
                "unit": unit,
                "label": label,
                "labels": parts if label else [],
                "confidence": confidence,
                "abstained": None if label else idle or WITHHELD[unit],
                "explains": None if idle else explains,
                "explains_low": None if idle else explains - 0.08,
                "explains_high": None if idle else explains + 0.03,
                "bimodality": None if idle else 0.5 + unit % 24 / 50,
                "score": scores[0]["score"] if scores else None,
                "candidates": [{field.name: row[field.name] for field in schemas.CANDIDATE} for row in scores],
                "exemplars": [{field.name: row[field.name] for field in schemas.EXEMPLAR} for row in shown],
                "captions": captions,
            }
        )

    def _exemplars(self, unit: int, rng: np.random.Generator) -> list[dict[str, object]]:
        chosen = [(unit * 7 + i) % PROBE for i in range(2 if unit == SHORT else EXEMPLARS)]
        rows = []
        for rank, i in enumerate(chosen):
            image = self.probe[i]
            wide, high = image["width"], image["height"]
            heat = Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8))
            box = None if self.rival or rank % 3 == 2 else [wide // 4, high // 4, wide * 3 // 4, high * 3 // 4]
            rows.append(
                {
                    "unit": unit,
                    "rank": rank,
                    "image_id": image["image_id"],
                    "box": box,
                    "activation": 4.0 - 0.3 * rank,
                    "heatmap": None if self.rival else png(heat),
                    "heatmap_box": None if self.rival else [0, 0, wide, high],
                }
            )
        return rows

    def _score(self, unit: int, number: int, concept: str, rng: np.random.Generator) -> dict[str, object]:
        empty = dict.fromkeys(
            ("auc", "mad", "rank_score", "image_similarity", "correlation", "precision", "drawn", "bimodality")
        )
        found = {} if self.rival else {
            "auc": 0.97 - 0.2 * number, "mad": 2.5 - number, "rank_score": 5.0 + 40 * number,
            "image_similarity": 0.8 - 0.1 * number, "correlation": 0.6 - 0.2 * number, "precision": 0.5,
            "drawn": 0.7 - 0.5 * number, "bimodality": 0.95,
        }  # fmt: skip
        drawn = [] if self.rival else rng.permutation(np.linspace(0.5, 3.5, DRAWN) - 0.4 * number)
        return {
            "unit": unit,
            "candidate": number,
            "concept": concept,
            "source": "clip" if self.rival else "captions",
            "votes": 0 if self.rival else 3 - number,
            "score": -0.5 - 0.7 * number - unit / 1000,
            "parts": None,
            "shares": None,
            "activations": drawn,
            **empty,
            **found,
        }

    def _topk(self, unit: int, idle: str | None, shown: list, rng: np.random.Generator) -> dict[str, object]:
        controls = np.zeros(CONTROLS) if idle else np.sort(rng.exponential(0.6, CONTROLS))
        return {
            "unit": unit,
            "image_ids": [row["image_id"] for row in shown],
            "activations": [row["activation"] for row in shown],
            "mean": controls.mean(),
            "std": controls.std(),
            "fraction_zero": float((controls == 0).mean()),
            "nonfinite": 0,
            "idle": idle,
            "low": controls.min(),
            "high": controls.max(),
            "quantiles": np.quantile(controls, np.linspace(0, 1, 10)),
            "controls": controls,
        }

    def write(self, folder: Path) -> dict[str, Path]:
        """Write the tables; a rival has fewer."""
        kinds = {
            "descriptions": schemas.DESCRIPTIONS, "scores": schemas.SCORES, "topk": schemas.TOPK,
            "importance": schemas.IMPORTANCE,
        }  # fmt: skip
        if not self.rival:
            kinds |= {"facets": schemas.FACETS, "exemplars": schemas.EXEMPLARS, "captions": schemas.CAPTIONS}
        else:
            kinds |= {"facets": schemas.FACETS}
        paths = {name: folder / f"{name}.parquet" for name in kinds}
        for name, schema in kinds.items():
            rows = self.rows[name]
            if name == "captions":
                rows = list({json.dumps(row, sort_keys=True): row for row in rows}.values())
            tables.write(paths[name], tables.table(rows, schema), schema)
        return paths


def label_of(unit: int, shift: int) -> str | None:
    """Return a unit's label; ``shift`` deals the labels out anew."""
    if unit in WITHHELD:
        return None
    if unit in JOINED:
        return f"{LABELS[0]} or {LABELS[1]}"
    return LABELS[(unit + shift) % len(LABELS)]


def layers(probe: list[dict[str, object]], shift: int) -> dict[tuple[str, str], LayerTables]:
    """Return the run's layers by name and slug: ours, a rival on the same units, hostile texts, and a silent layer."""
    ours = LayerTables(probe, "concepts", "dnd")
    rival = LayerTables(probe, "concepts", "clip-dissect", rival=True)
    for unit in range(UNITS):
        explains = 0.05 + 0.9 * (unit * 37 % UNITS) / (UNITS - 1)
        explains = 0.06 if WITHHELD.get(unit) == "little" else explains
        ours.add(unit, None if unit in IDLE else label_of(unit, shift), IDLE.get(unit), explains)
        changed = shift + (unit % 4 == 1)
        rival.add(unit, None if unit in IDLE else label_of(unit + 1 if unit in WITHHELD else unit, changed),
                  IDLE.get(unit), 1 - explains)  # fmt: skip
    hostile = LayerTables(probe, "blocks.1/odd name", "dnd")
    for unit, text in enumerate(HOSTILE):
        shown = text.replace("{", "{{").replace("}", "}}")
        hostile.add(unit, text, None, 0.95 - unit / 20, caption=shown, confidence=0.9 - unit / 20)
    silent = LayerTables(probe, "silent", "dnd")
    for unit in range(4):
        silent.add(unit, None, "dead", 0.0)
    return {
        ("ours", "concepts"): ours,
        ("rival", "concepts"): rival,
        ("hostile", "blocks.1-odd-name"): hostile,
        ("ours", "silent"): silent,
    }


def images(concepts: set[str]) -> list[dict[str, object]]:
    """Draw every concept."""
    return [
        {
            "concept": concept,
            "sample": sample,
            "seed": sample,
            "key": "",
            "image": picture(1000 + 10 * number + sample, (64, 64)),
            "problem": None,
        }
        for number, concept in enumerate(sorted(concepts))
        for sample in range(DRAWN)
    ]


def known_answers() -> list[dict[str, object]]:
    """Return what the units of layer ``concepts`` were planted with."""
    rows = []
    for unit in range(UNITS):
        if unit in IDLE:
            kind, words = "dead", []
        elif unit in JOINED:
            kind, words = "polysemantic", [list(WORDS[0]), list(WORDS[1])]
        else:
            own = WORDS[(unit + (unit % 6 == 0)) % len(WORDS)]
            kind, words = ("single" if len(own) == 1 else "conjunction"), [list(own)]
        label = " or ".join(phrase(one) for one in words) if words else kind
        rows.append({"unit": unit, "kind": kind, "words": words, "label": label})
    return rows


def write_run(folder: Path, shift: int = 0) -> dict[tuple[str, str], dict[str, Path]]:
    """Write a run's tables; return the files of each layer.

    Parameters
    ----------
    shift : deals the labels out anew, for a run that differs.
    """
    probe = [probe_row(i) for i in range(PROBE)]
    tables.write(folder / "probe.parquet", tables.table(probe, schemas.PROBE), schemas.PROBE)
    found = layers(probe, shift)
    concepts = {row["concept"] for layer in found.values() for row in layer.rows["scores"]}
    tables.write(folder / "images.parquet", tables.table(images(concepts), schemas.IMAGES), schemas.IMAGES)
    (folder / "known.json").write_text(json.dumps({"concepts": known_answers()}))
    return {place: layer.write(folder / "/".join(place)) for place, layer in found.items()}

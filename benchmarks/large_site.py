"""Tables of made-up layers and their sites, for ``benchmarks/browser.py``: one of very many units, one of real photos.

The first has texts as varied as those of a real run, and few pictures, which the browser loads only where it looks. The
second has ten exemplars and five times ten generated images a unit, all different, cut from photos.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import skimage
from PIL import Image

from dnd.io import schemas, tables
from dnd.report import layer, site
from dnd.report.units import PER_BLOCK, Tables
from dnd.selection.scores import PROBED

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")
EXEMPLARS, CANDIDATES, DRAWN, CONTROLS = 10, 5, 10, 256
FACTS = {"model": "made-up", "layer": "layer", "probe": "photos", "recipe": "dnd"}
CHUNK = 1024  # as `dnd.io.tables.write` makes them
UNPROBED = dict.fromkeys(PROBED)


class Vocabulary:
    """Words of which few are frequent, as in a language."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        syllables = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "ar", "en", "ist")]
        self.words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(5000)]

    def phrases(self, rng: np.random.Generator, count: int, words: int) -> list[str]:
        """Return so many texts of so many words."""
        places = np.minimum(rng.zipf(1.3, (count, words)) - 1, len(self.words) - 1)
        return [" ".join(self.words[place] for place in row) for row in places]


def photo(rng: np.random.Generator, sources: list[Image.Image], side: int) -> bytes:
    """Cut a square from a photo, turn its colours a little, and encode it."""
    source = sources[rng.integers(len(sources))]
    size = int(rng.integers(min(source.size) // 3, min(source.size)))
    x, y = (int(rng.integers(edge - size + 1)) for edge in source.size)
    pixels = np.asarray(source.crop((x, y, x + size, y + size)).resize((side, side)), float)
    buffer = io.BytesIO()
    tinted = np.clip(pixels * rng.uniform(0.7, 1.2, 3), 0, 255).astype(np.uint8)
    Image.fromarray(tinted).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def heat(rng: np.random.Generator) -> bytes:
    """A grey map of 7 x 7 positions."""
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (7, 7), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_layer(folder: Path, units: int, images: int, drawn: int) -> Tables:
    """Write a layer's tables.

    Parameters
    ----------
    images : of the probe; the units of a block share ten where there are fewer than they need.
    drawn : generated images of a candidate.
    """
    rng, words = np.random.default_rng(1), Vocabulary()
    folder.mkdir(parents=True, exist_ok=True)
    sources = [Image.open(Path(skimage.data.__file__).parent / name).convert("RGB") for name in PHOTOS]
    names = [f"{i:06d}.jpg" for i in range(images)]
    probe = [
        {"image_id": name, "digest": "", "width": 512, "height": 512, "label": None, "image": photo(rng, sources, 512)}
        for name in names
    ]
    tables.write(folder / "probe.parquet", tables.table(probe, schemas.PROBE), schemas.PROBE)
    labels = words.phrases(rng, max(units // 4, 20), 3)
    paths = {name: folder / f"{name}.parquet" for name in ("descriptions", "scores", "exemplars", "topk", "images")}
    with (
        tables.writing(paths["descriptions"], schemas.DESCRIPTIONS) as add_descriptions,
        tables.writing(paths["scores"], schemas.SCORES) as add_scores,
        tables.writing(paths["exemplars"], schemas.EXEMPLARS) as add_exemplars,
        tables.writing(paths["topk"], schemas.TOPK) as add_topk,
        tables.writing(paths["images"], schemas.IMAGES) as add_images,
    ):
        for chunk in _chunks(units):
            exemplars = [_exemplars(unit, names, rng, drawn > 0) for unit in chunk]
            captions = words.phrases(rng, len(chunk) * EXEMPLARS, 9)
            scores = [_scores(unit, labels, drawn, rng) for unit in chunk]
            add_descriptions(
                tables.table(
                    (
                        _description(unit, shown, captions[i * EXEMPLARS : (i + 1) * EXEMPLARS], own, rng)
                        for i, (unit, shown, own) in enumerate(zip(chunk, exemplars, scores, strict=True))
                    ),
                    schemas.DESCRIPTIONS,
                )
            )
            add_scores(tables.table((row for own in scores for row in own), schemas.SCORES))
            add_exemplars(tables.table((row for shown in exemplars for row in shown), schemas.EXEMPLARS))
            add_topk(_topk(chunk, rng))
            if drawn:
                add_images(tables.table(_images({row["concept"] for own in scores for row in own}, rng, sources),
                                        schemas.IMAGES))  # fmt: skip
    return Tables(
        paths["descriptions"],
        paths["topk"],
        exemplars=[paths["exemplars"]],
        scores=[paths["scores"]],
        images=[paths["images"]] if drawn else [],
        probe=[folder / "probe.parquet"],
    )


def _chunks(units: int) -> Iterator[range]:
    for first in range(0, units, CHUNK):
        yield range(first, min(first + CHUNK, units))


def _exemplars(unit: int, names: list[str], rng: np.random.Generator, maps: bool) -> list[dict[str, object]]:
    first = unit * EXEMPLARS if maps else unit // PER_BLOCK * EXEMPLARS
    return [
        {
            "unit": unit,
            "rank": rank,
            "image_id": names[(first + rank) % len(names)],
            "box": [64, 64, 320, 320] if rank % 2 else None,
            "activation": 8.0 - 0.5 * rank,
            "heatmap": heat(rng) if maps else None,
            "heatmap_box": [0, 0, 512, 512] if maps else None,
        }
        for rank in range(EXEMPLARS)
    ]


def _scores(unit: int, labels: list[str], drawn: int, rng: np.random.Generator) -> list[dict[str, object]]:
    if unit % 10 == 9:  # dead
        return []
    chosen = rng.choice(len(labels), CANDIDATES, replace=False)
    concepts = [f"{labels[place]} {unit}" if drawn else labels[place] for place in chosen]
    return [
        UNPROBED
        | {
            "unit": unit,
            "candidate": number,
            "concept": concept,
            "source": "captions",
            "votes": 1,
            "score": 3.0 - number / 2,
            "auc": float(rng.uniform()),
            "mad": float(rng.normal()),
            "rank_score": 20.0,
            "image_similarity": 0.5,
            "activations": rng.normal(4, 1, drawn),
        }
        for number, concept in enumerate(concepts)
    ]


def _description(
    unit: int, shown: list[dict], captions: list[str], scores: list[dict], rng: np.random.Generator
) -> dict[str, object]:
    dead, unclear = not scores, unit % 10 == 8
    label = None if dead or unclear else scores[0]["concept"]
    return FACTS | {
        "unit": unit,
        "label": label,
        "labels": [label] if label else [],
        "confidence": 0.0 if dead else float(rng.uniform()),
        "abstained": "dead" if dead else "unclear" if unclear else None,
        "score": None if dead else scores[0]["score"],
        "candidates": [{field.name: row[field.name] for field in schemas.CANDIDATE} for row in scores],
        "exemplars": [] if dead else [{field.name: row[field.name] for field in schemas.EXEMPLAR} for row in shown],
        "captions": [] if dead else captions,
    }


def _topk(units: range, rng: np.random.Generator) -> pa.Table:
    return tables.table(
        (
            {
                "unit": unit,
                "image_ids": [],
                "activations": [],
                "mean": 1.0,
                "std": 1.0,
                "fraction_zero": 0.1,
                "nonfinite": 0,
                "idle": "dead" if unit % 10 == 9 else None,
                "low": 0.0,
                "high": 9.0,
                "quantiles": [],
                "controls": rng.exponential(1.0, CONTROLS),
            }
            for unit in units
        ),
        schemas.TOPK,
    )


def _images(concepts: set[str], rng: np.random.Generator, sources: list[Image.Image]) -> Iterator[dict[str, object]]:
    for concept in sorted(concepts):
        for sample in range(DRAWN):
            image = photo(rng, sources, 512)
            yield {"concept": concept, "sample": sample, "seed": 0, "key": "", "image": image, "problem": None}


def build(folder: Path, units: int, images: int, drawn: int, threads: int) -> float:
    """Write a layer's tables and its site at ``report``; return how many seconds the layer's pages took."""
    given = write_layer(folder / "tables", units, images, drawn)
    facts = FACTS | {"name": "made-up", "slug": "layer", "method": "dnd"}
    pages = folder / "pages"
    begun = time.monotonic()
    layer.run(pages, facts, given, {}, threads=threads)
    seconds = time.monotonic() - begun
    evaluation = folder / "evaluation.parquet"
    tables.write(evaluation, schemas.EVALUATION.empty_table(), schemas.EVALUATION)
    site.build(folder / "report", "made-up", [pages], evaluation)
    return seconds


def main() -> None:
    """Print one line of JSON: seconds and bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--rich", type=int, default=64, help="units with all pictures (default: 64)")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    large = build(given.folder / "large", given.units, EXEMPLARS, 0, given.threads)
    build(given.folder / "rich", given.rich, given.rich * EXEMPLARS, DRAWN, given.threads)
    size = sum(
        path.stat().st_size for path in (given.folder / "rich/pages").rglob("*.*") if path.stem != "contact-sheet"
    )
    print(json.dumps({"units": given.units, "pages_seconds": round(large, 1), "bytes_per_unit": size // given.rich}))


if __name__ == "__main__":
    main()

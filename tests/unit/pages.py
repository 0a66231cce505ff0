"""A run's tables made by hand, and the site of them, for the tests of the site."""

import hashlib
import io
import json

import numpy as np
from handmade import UNPROBED
from PIL import Image

from dnd.evaluation import agreement
from dnd.io import schemas, tables
from dnd.report import layer as pages_of_layer
from dnd.report import site
from dnd.report.units import Tables
from dnd.shapeworld import render, world
from dnd.shapeworld.grammar import parse, phrase

PROBE = 120
GENERATED = 10
EXPLAINED = ("explains", "explains_low", "explains_high", "bimodality")

LAYERS = {
    ("planted", "concepts"): [
        ("single", ("red",), ["red objects", "striped objects"]),
        ("conjunction", ("blue", "star"), ["snow backgrounds", "blue stars", "red objects"]),
        ("dead", None, []),
        ("random", None, ["various objects"]),
        ("single", ("red",), ["red objects or stars"]),
    ],
    ("classes", "fc"): [("class", ("green", "ring"), ["green rings"])],
}
"""Row and layer -> known answer, kind first, and labels of each of its units."""


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_run(folder, layers, abstaining=("dead", "constant"), probe=PROBE):
    """Write the tables of a run whose units see exactly their concepts; return its layers.

    Parameters
    ----------
    layers : (name, layer) -> (kind, words, candidates) of each unit; words None for a unit without a concept. What a
        unit's best candidate joins by `or` are its facets, of equal shares.
    """
    drawn = [render.draw(4, i) for i in range(probe)]
    names = [f"shapes/{i:04d}.png" for i in range(probe)]
    rows = [
        {
            "image_id": name,
            "digest": hashlib.sha256(png(image)).hexdigest(),
            "width": 64,
            "height": 64,
            "label": None,
            "image": png(image),
        }
        for name, (_, image, _) in zip(names, drawn, strict=True)
    ]
    tables.write(folder / "probe.parquet", tables.table(rows, schemas.PROBE), schemas.PROBE)
    concepts = {text for units in layers.values() for _, _, texts in units for text in texts}
    images = []
    for concept in sorted(concepts):
        meaning = parse(concept)
        scenes = np.argwhere(meaning if meaning is not None else world.everything())
        for sample in range(GENERATED):
            rng = np.random.default_rng([9, sample, len(concept)])
            image, _ = render.render(world.scene_at(scenes[rng.integers(len(scenes))]), rng)
            images.append(
                {
                    "concept": concept,
                    "sample": sample,
                    "seed": sample,
                    "key": "",
                    "problem": None,
                    "image": png(image),
                }
            )
    tables.write(folder / "images.parquet", tables.table(images, schemas.IMAGES), schemas.IMAGES)
    places, known, paths = [], {}, []
    for (name, layer), units in layers.items():
        described, shown, scores, facets, topk = [], [], [], [], []
        known[layer] = []
        for unit, (kind, words, texts) in enumerate(units):
            rng = np.random.default_rng([5, unit])
            label = phrase(words) if words is not None else kind
            truth = [list(words)] if words is not None else []
            known[layer].append({"unit": unit, "kind": kind, "words": truth, "label": label})
            silent = kind if kind in abstaining else None
            holds = world.conjunction(words or ())
            best = sorted(range(probe), key=lambda i: (not holds[drawn[i][0].index], rng.random()))[:10]
            exemplars, captions = [], []
            for rank, i in enumerate(best if not silent else []):
                scene, _, mask = drawn[i]
                where = np.argwhere(mask)
                (y0, x0), (y1, x1) = where.min(0), where.max(0) + 1
                box = [int(x0), int(y0), int(x1), int(y1) - 8 * (rank % 3)] if rank % 2 else None
                activation = 4.0 - 0.2 * rank + float(rng.uniform(0, 0.1))
                heat = (mask[2::4, 2::4] * (150 + rng.integers(0, 105, (16, 16)))).astype(np.uint8)
                one = {"image_id": names[i], "box": box, "activation": activation}
                exemplars.append(one)
                captions.append(f"a {scene.colour} {scene.texture} {scene.shape} on {scene.background}")
                shown.append(
                    one
                    | {
                        "unit": unit,
                        "rank": rank,
                        "heatmap": png(heat),
                        "heatmap_box": [0, 0, 64, 64],
                    }
                )
            candidates = []
            for i, text in enumerate(() if silent else texts):
                activations = np.sort(rng.normal(3 - 0.8 * i, 0.6, GENERATED)).astype(np.float32)
                candidate = {
                    "concept": text,
                    "score": 2.4 - 0.5 * i,
                    "auc": 0.99 - 0.13 * i,
                    "mad": 3.0 - 0.9 * i,
                    "rank_score": 11.0 + 90 * i,
                    "image_similarity": 0.8 - 0.1 * i,
                    "correlation": 0.6 - 0.2 * i,
                    "precision": 0.5,
                    "drawn": 0.7 - 0.3 * i,
                    "source": "llm",
                }
                candidates.append(candidate)
                scores.append(
                    UNPROBED
                    | candidate
                    | {
                        "unit": unit,
                        "candidate": i,
                        "votes": max(1, 3 - i),
                        "activations": rng.permutation(activations),
                    }
                )
            topk.append(
                {"unit": unit, "image_ids": [], "activations": [], "mean": 0.0, "std": 1.0, "fraction_zero": 0.5}
                | {"nonfinite": 0, "idle": silent, "low": 0.0, "high": 4.0, "quantiles": []}
                | {"controls": [0.0] * 6 + [1.1, 2.1, float("nan"), 4.8]}
            )
            parts = texts[0].split(" or ") if texts and not silent else []
            facets += [
                {"unit": unit, "facet": i, "label": part, "exemplars": [i], "share": 1 / len(parts)}
                for i, part in enumerate(parts)
            ]
            described.append(
                {
                    "model": "conceptnet",
                    "layer": layer,
                    "probe": "shapes",
                    "recipe": "dnd",
                    "unit": unit,
                    "label": None if silent else texts[0],
                    "labels": [] if silent else list(texts[:3]),
                    "confidence": None,
                    **dict.fromkeys(EXPLAINED, None if silent else 0.4 + 0.05 * unit),
                    "abstained": silent,
                    "score": None if silent else candidates[0]["score"],
                    "candidates": candidates,
                    "exemplars": exemplars,
                    "captions": captions,
                }
            )
        own = folder / name
        parts = (
            ("descriptions", described, schemas.DESCRIPTIONS),
            ("exemplars", shown, schemas.EXEMPLARS),
            ("scores", scores, schemas.SCORES),
            ("facets", facets, schemas.FACETS),
            ("topk", topk, schemas.TOPK),
        )
        for part, content, schema in parts:
            tables.write(own / f"{part}.parquet", tables.table(content, schema), schema)
        paths.append((name, own / "descriptions.parquet"))
        given = Tables(
            own / "descriptions.parquet",
            own / "topk.parquet",
            **{part: [own / f"{part}.parquet"] for part in ("facets", "exemplars", "scores")},
            images=[folder / "images.parquet"],
            probe=[folder / "probe.parquet"],
        )
        facts = {"name": name, "layer": layer, "slug": layer, "model": "conceptnet", "probe": "shapes", "recipe": "dnd"}
        places.append((facts | {"method": "dnd"}, given))
    (folder / "units.json").write_text(json.dumps(known))
    measured = agreement.run(paths, {"conceptnet": folder / "units.json"})
    tables.write(folder / "evaluation.parquet", measured, schemas.EVALUATION)
    return places


def write_site(folder, places, threads=1):
    """Write the pages of every layer and the site; return the site's folder."""
    pages = []
    for facts, given in places:
        pages.append(folder / facts["name"] / "pages")
        pages_of_layer.run(pages[-1], facts, given, {"pooling": "max"}, folder / "units.json", threads)
    site.build(folder / "report", "demo", pages, folder / "evaluation.parquet")
    return folder / "report"

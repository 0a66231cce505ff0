"""A run's tables made by hand, and a page taken apart, for the tests of the page."""

import hashlib
import io
import json
from html.parser import HTMLParser

import numpy as np
from handmade import UNPROBED
from PIL import Image

from dnd import evaluation, schemas, tables
from dnd.shapeworld import render, world
from dnd.shapeworld.grammar import parse, phrase

PROBE = 120
GENERATED = 10


class Element:
    """An element of a parsed page."""

    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.pieces = tag, dict(attributes), []

    def __getitem__(self, name):
        return self.attributes.get(name)

    @property
    def text(self):
        return "".join(self.pieces)

    @property
    def words(self):
        """The text as people see it: pieces apart, spaces single."""
        return " ".join(" ".join(self.pieces).split())


class Page(HTMLParser):
    """Every element of a page, each with the text inside it."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append(Element(tag, attributes))
        if tag not in {"meta", "link", "img", "input"}:
            self._open.append(self.elements[-1])

    def handle_startendtag(self, tag, attributes):
        self.elements.append(Element(tag, attributes))

    def handle_endtag(self, tag):
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, text):
        for one in self._open:
            one.pieces.append(text)

    def all(self, tag=None, kind=None):
        return [
            one
            for one in self.elements
            if (tag is None or one.tag == tag) and (kind is None or kind in (one["class"] or "").split())
        ]


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_run(folder, layers, abstaining=("dead", "constant"), probe=PROBE):
    """Write the tables of a run whose units see exactly their concepts; return what ``build`` needs.

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
        described, shown, scores, facets = [], [], [], []
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
                    "source": "llm",
                }
                candidates.append(candidate)
                scores.append(
                    candidate
                    | {
                        "unit": unit,
                        "candidate": i,
                        "votes": max(1, 3 - i),
                        "activations": rng.permutation(activations),
                        **UNPROBED,
                    }
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
                    "confidence": 0.0 if silent else float(rng.uniform(0.4, 1)),
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
        )
        for part, content, schema in parts:
            tables.write(own / f"{part}.parquet", tables.table(content, schema), schema)
        paths.append((name, own / "descriptions.parquet"))
        place = {"name": name, "layer": layer, "slug": layer}
        place["descriptions"] = own / "descriptions.parquet"
        place |= {part: [own / f"{part}.parquet"] for part in ("facets", "exemplars", "scores")}
        place |= {"probe": [folder / "probe.parquet"], "images": [folder / "images.parquet"], "importance": []}
        places.append(place)
    (folder / "units.json").write_text(json.dumps(known))
    answers = {"conceptnet": folder / "units.json"}
    measured = folder / "evaluation.parquet"
    tables.write(measured, evaluation.run(paths, answers), schemas.EVALUATION)
    return places, measured, answers

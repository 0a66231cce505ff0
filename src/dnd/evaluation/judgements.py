"""What descriptions of a layer are worth beyond known answers: held-out images, new pictures, class names, stability.

All rows of the sweep that describe one layer of one network are judged together: the network sees the held-out images
and each distinct label's pictures once, whatever the number of methods. Every metric is a table over labels and units,
from which each method, and each baseline, takes what its labels get.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from tqdm import tqdm

from dnd.backends.batches import BatchSize, prepared
from dnd.candidates import look_alikes
from dnd.config.evaluation import EvaluationSettings
from dnd.evaluation.baselines import baseline_labels
from dnd.evaluation.metrics import contrast, semantics, simulation, stability, text
from dnd.io import pictures, schemas, tables
from dnd.io.store import key
from dnd.io.streams import ahead, chunks
from dnd.selection import cosy
from dnd.target.network import Target, responses

log = logging.getLogger(__name__)
BATCH = 32
LABELS = 32
"""Labels whose pictures are in memory at once."""
CHUNK = 256
"""Images that are looked at together; as many again are decoded ahead."""
EXEMPLARS = 10
"""Held-out images that excite a unit most, by which its clarity is told and its label explained."""
LOOK_ALIKES = 50
RENDERS = 7
"""Stream of exact renders of labels."""
OF_UNIT = "exemplars"
"""What stands as the method of metrics that depend on the unit and on no label."""

Values = npt.NDArray[np.float32]
Table = Callable[[str, int], float]
"""A metric: label and unit -> value."""
Embed = Callable[[Sequence[Image.Image]], Values]
Texts = Callable[[Sequence[str]], Values]
Tokens = Callable[[Sequence[str]], Sequence[text.Tokens]]


@dataclass(frozen=True)
class Described:
    """The labels that one row of the sweep gave to the layer.

    Attributes
    ----------
    name, method : of the sweep's row, and its recipe.
    labels : unit -> label, None where it abstained.
    half : what the row shares with the one that saw the other half of its probe; None where there is none.
    """

    name: str
    method: str
    labels: Mapping[int, str | None]
    half: str | None = None


@dataclass(frozen=True)
class HeldOut:
    """Held-out images as the network and the embedder see them.

    Attributes
    ----------
    activations : float32 [images, units].
    vectors : unit vectors float32 [images, d].
    """

    activations: Values
    vectors: Values

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """Which units [units] vary over the images: nothing can be said of others."""
        return np.ptp(self.activations, axis=0) > 0

    def best(self, unit: int) -> npt.NDArray[np.intp]:
        """Return the positions of the images that excite a unit most; ties by position."""
        return np.argsort(-self.activations[:, unit], kind="stable")[:EXEMPLARS]


def held_out(target: Target, layer: str, embed: Embed, shards: Sequence[Path], pooling: str) -> HeldOut:
    """Look at every held-out image once."""
    rows, size = pictures.rows(shards, columns=["image_id", "image"]), BatchSize(BATCH, "judgements")
    seen, vectors = [], []
    with tqdm(total=tables.count(list(shards)), desc="held-out images", unit="image", mininterval=5) as bar:
        decoded = prepared(lambda row: pictures.decode(row["image"]), rows, BATCH)
        for pixels in ahead(chunks(decoded, CHUNK)):
            seen.append(responses(target, layer, pixels, pooling, size))
            vectors.append(embed(pixels))
            bar.update(len(pixels))
    return HeldOut(np.concatenate(seen), np.concatenate(vectors))


def drawn(files: Sequence[Path], labels: Iterable[str]) -> Iterable[tuple[str, list[Image.Image]]]:
    """Yield each label with its usable pictures, of IMAGES files."""
    found: dict[str, list[tuple[int, bytes]]] = {label: [] for label in labels}
    columns = ["concept", "sample", "image", "problem"]
    for group in tables.row_groups(files, schemas.IMAGES, columns, ("concept", set(found))):
        for row in group.to_pylist():
            if row["problem"] is None:
                found[row["concept"]].append((row["sample"], row["image"]))
    for label, own in found.items():
        yield label, [Image.open(io.BytesIO(image)).convert("RGB") for _, image in sorted(own)]


@dataclass
class Judge:
    """Collects the metrics of a layer.

    Attributes
    ----------
    labels : every label that is judged, sorted.
    tables : metric -> its value of a label for a unit.
    nothing : metric -> what an abstention is worth: as much as a label that says nothing.
    """

    labels: Sequence[str]
    tables: dict[str, Table] = field(default_factory=dict)
    nothing: dict[str, float] = field(default_factory=dict)

    def add(self, metric: str, table: Table, nothing: float) -> None:
        """Take in a metric."""
        self.tables[metric], self.nothing[metric] = table, nothing

    def matrix(self, metric: str, values: npt.NDArray[Any], nothing: float) -> None:
        """Take in a metric as an array [labels, units]."""
        places = {label: i for i, label in enumerate(self.labels)}
        self.add(metric, lambda label, unit: float(values[places[label], unit]), nothing)


def add_simulation(judge: Judge, seen: HeldOut, vectors: Values, calibration: simulation.Calibration) -> None:
    """Pearson correlation of each label's probability and each unit's activation over the held-out images."""
    held = calibration.probabilities(seen.vectors @ vectors.T)
    judge.matrix("simulation_r", simulation.table(seen.activations, held).T, 0.0)


def add_cosy(judge: Judge, seen: HeldOut, responses: Mapping[str, Values]) -> None:
    """AUC and MAD of a label's pictures against the held-out images; a label without pictures says nothing.

    Parameters
    ----------
    responses : label -> activations float32 [pictures, units].
    """

    def table(metric: Callable[[Values, Values], float], nothing: float) -> Table:
        def value(label: str, unit: int) -> float:
            own = responses[label][:, unit] if label in responses else np.empty(0, np.float32)
            own = own[np.isfinite(own)]
            return metric(own, seen.activations[:, unit]) if len(own) else nothing

        return value

    judge.add("cosy_auc", table(cosy.auc, 0.5), 0.5)
    judge.add("cosy_mad", table(cosy.mad, 0.0), 0.0)


def add_contrast(judge: Judge, seen: HeldOut, vectors: Values) -> None:
    """Whether a label tells the unit's held-out exemplars from their look-alikes."""
    places = {label: i for i, label in enumerate(judge.labels)}
    cases: dict[int, tuple[Values, Values]] = {}

    def case(unit: int) -> tuple[Values, Values]:
        if unit not in cases:
            best = seen.best(unit)
            chosen = np.isin(np.arange(len(seen.vectors)), best)
            own = seen.vectors[best]
            others = look_alikes.nearest(own, seen.vectors, seen.activations[:, unit], LOOK_ALIKES, chosen)
            cases[unit] = own, seen.vectors[others]
        return cases[unit]

    def value(label: str, unit: int) -> float:
        return contrast.explained(vectors[places[label]], *case(unit))

    judge.add("exemplar_contrast", value, 0.5)


def of_units(seen: HeldOut) -> dict[str, dict[int, float]]:
    """Return metric -> unit -> value, of what the held-out exemplars say of the units themselves."""
    live = np.flatnonzero(seen.live).tolist()
    groups = [seen.vectors[seen.best(unit)] for unit in live]
    if not groups:
        return {}
    alike = semantics.redundancy(np.stack([one.mean(0) for one in groups]))
    return {
        "clarity": {unit: float(semantics.clarity(one)) for unit, one in zip(live, groups, strict=True)},
        "polysemanticity": {unit: semantics.polysemanticity(one) for unit, one in zip(live, groups, strict=True)},
        "redundancy": dict(zip(live, map(float, alike), strict=True)),
    }


def add_class_names(judge: Judge, names: Sequence[str], encoders: Mapping[str, Texts]) -> None:
    """Cosine of a label and the name of the class that the unit stands for.

    Parameters
    ----------
    names : of the layer's units, in order.
    encoders : metric -> texts to unit vectors [n, d].
    """
    for metric, encode in encoders.items():
        judge.matrix(metric, encode(judge.labels) @ encode(names).T, 0.0)


def add_bert_score(
    judge: Judge, names: Sequence[str], tokens: Callable[[Sequence[str]], Sequence[text.Tokens]]
) -> None:
    """BERTScore F1 of a label and the name of the class that the unit stands for, 0 for a random name."""
    labels, classes = tokens(judge.labels), tokens(names)
    zero = text.baseline(list(classes))
    values = [[text.rescaled(text.bert_score(one, name).f1, zero) for name in classes] for one in labels]
    judge.matrix("class_name_bertscore", np.array(values), 0.0)


def rows_of(
    judge: Judge, described: Described, labels: Mapping[str, Mapping[int, str | None]], live: Sequence[int], layer: str
) -> list[dict[str, Any]]:
    """Return the EVALUATION rows of one row of the sweep, its baselines included.

    Parameters
    ----------
    labels : method or baseline -> its label of every unit.
    live : units that can be judged.
    """
    found = []
    for method, own in labels.items():
        for metric, table in judge.tables.items():
            for unit in live:
                label = own[unit]
                value = judge.nothing[metric] if label is None else table(label, unit)
                found.append(_row(described.name, layer, unit, method, metric, value))
    return found


def _row(name: str, layer: str, unit: int, method: str, metric: str, value: float) -> dict[str, Any]:
    place = {"name": name, "layer": layer, "unit": unit, "kind": None, "method": method}
    return place | {"metric": metric, "value": value, "low": None, "high": None}


def stable(layer: str, described: Sequence[Described], sentences: Texts | None) -> list[dict[str, Any]]:
    """Return EVALUATION rows that compare the labels of rows that saw two halves of one probe, for the first of two."""
    halves: dict[tuple[str, str], list[Described]] = {}
    for one in described:
        if one.half is not None:
            halves.setdefault((one.method, one.half), []).append(one)
    found = []
    for pair in halves.values():
        if len(pair) != 2:
            continue
        first, second = pair
        units = sorted(set(first.labels) & set(second.labels))
        own, other = ([one.labels[unit] for unit in units] for one in pair)
        values = {"stability": [stability.same_label(a, b) for a, b in zip(own, other, strict=True)]}
        values["stability_iou"] = [stability.same_extension(a, b) for a, b in zip(own, other, strict=True)]
        values["stability_same_set"] = [stability.same_set(a, b) for a, b in zip(own, other, strict=True)]
        if sentences is not None:
            known = sorted({label for label in (*own, *other) if label is not None})
            vectors = dict(zip(known, sentences(known), strict=True)) if known else {}
            both = [[None if label is None else vectors[label] for label in labels] for labels in (own, other)]
            values["stability_similarity"] = [stability.similar_text(a, b) for a, b in zip(*both, strict=True)]
        found += [
            _row(first.name, layer, unit, first.method, metric, value)
            for metric, ones in values.items()
            for unit, value in zip(units, ones, strict=True)
            if value is not None
        ]
    return found


@dataclass(frozen=True)
class Encoders:
    """The models that judge, each None where it is not to be used.

    Attributes
    ----------
    embed : images to unit vectors float32 [n, d].
    texts : texts to unit vectors of the same space.
    sentences : texts to unit vectors of a text encoder.
    tokens : texts to their token vectors.
    """

    embed: Embed | None = None
    texts: Texts | None = None
    sentences: Texts | None = None
    tokens: Tokens | None = None


def labels_of(path: str | Path) -> dict[int, str | None]:
    """Return unit -> label of a DESCRIPTIONS file."""
    found = tables.read(path, schemas.DESCRIPTIONS, ["unit", "label"])
    return dict(zip(found["unit"].to_pylist(), found["label"].to_pylist(), strict=True))


def with_baselines(described: Described, concepts: Sequence[str]) -> dict[str, Mapping[int, str | None]]:
    """Return method or baseline -> unit -> label, of a row of the sweep."""
    return {described.method: described.labels, **baseline_labels(described.labels, concepts)}


def distinct_labels(described: Sequence[Described], concepts: Sequence[str]) -> list[str]:
    """Return every label that is judged, sorted; rows that saw a part of a probe are there for their stability."""
    labelled = [own for one in described if one.half is None for own in with_baselines(one, concepts).values()]
    return sorted({label for own in labelled for label in own.values() if label is not None})


def run(
    layer: str,
    described: Sequence[Described],
    *,
    settings: EvaluationSettings,
    encoders: Encoders,
    concepts: Sequence[str] = (),
    class_names: Sequence[str] = (),
    target: Target | None = None,
    shards: Sequence[Path] = (),
    pictures_of: Callable[[Sequence[str]], Iterable[tuple[str, list[Image.Image]]]] | None = None,
) -> pa.Table:
    """Return EVALUATION rows of units for all rows of the sweep that describe a layer, baselines included.

    Parameters
    ----------
    described : what each row said.
    concepts : for labels at random.
    class_names : of the layer's units, where they are classes.
    target, shards : the network and the probe of held-out images, where there is one.
    pictures_of : labels -> pictures of each, where labels are drawn.
    """
    labelled = [with_baselines(one, concepts) for one in described]
    labels = distinct_labels(described, concepts)
    judge = Judge(labels)
    units = sorted({unit for one in described for unit in one.labels})
    rows = stable(layer, described, encoders.sentences)
    if target is not None and encoders.embed is not None and encoders.texts is not None and labels:
        seen = held_out(target, layer, encoders.embed, shards, settings.pooling)
        units = [unit for unit in units if seen.live[unit]]
        vectors = encoders.texts(labels)
        add_simulation(judge, seen, vectors, simulation.Calibration(settings.scale, settings.bias))
        add_contrast(judge, seen, vectors)
        if pictures_of is not None:
            drawn = tqdm(pictures_of(labels), "drawn labels", len(labels), unit="label", mininterval=5)
            add_cosy(judge, seen, excited(target, layer, drawn, settings.pooling))
        for metric, values in of_units(seen).items():
            own = ((unit, value) for unit, value in values.items() if unit in units)
            rows += [_row(described[0].name, layer, unit, OF_UNIT, metric, value) for unit, value in own]
    if class_names and labels:
        named = {"class_name_similarity": encoders.sentences, "class_name_similarity_clip": encoders.texts}
        add_class_names(judge, class_names, {metric: encode for metric, encode in named.items() if encode})
        if encoders.tokens is not None:
            add_bert_score(judge, class_names, encoders.tokens)
    for one, methods in zip(described, labelled, strict=True):
        if one.half is None:  # rows that saw a part of a probe are there for their stability
            rows += rows_of(judge, one, methods, [unit for unit in units if unit in one.labels], layer)
    return tables.table(rows, schemas.EVALUATION)


def excited(
    target: Target, layer: str, drawn: Iterable[tuple[str, list[Image.Image]]], pooling: str
) -> dict[str, Values]:
    """Return label -> activations float32 [n, units] of its pictures, of labels that have any.

    Pictures of several labels fill the batches, since one that is not full takes as long.
    """
    size, found = BatchSize(BATCH, "judgements"), dict[str, Values]()
    for some in chunks(drawn, LABELS):
        owners = [label for label, own in some for _ in own]
        pixels = [image for _, own in some for image in own]
        values = responses(target, layer, pixels, pooling, size) if pixels else np.empty((0, 0), np.float32)
        found |= {label: values[[one == label for one in owners]] for label, own in some if own}
    return found


def renders(labels: Iterable[str], count: int) -> Iterable[tuple[str, list[Image.Image]]]:
    """Yield each label with exact renders of scenes that it denotes; none of a label outside the grammar."""
    from dnd.shapeworld import world
    from dnd.shapeworld.grammar import parse
    from dnd.shapeworld.render import render

    for label in labels:
        meaning = parse(label)
        scenes = np.argwhere(np.zeros(1, bool) if meaning is None else meaning)
        own = []
        for number in range(count if len(scenes) else 0):
            rng = np.random.default_rng([RENDERS, number, int(key("render", label)[:8], 16)])
            scene = world.scene_at(int(i) for i in scenes[int(rng.integers(len(scenes)))])
            own.append(Image.fromarray(render(scene, rng)[0]))
        yield label, own

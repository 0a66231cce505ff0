"""What descriptions of a layer are worth beyond known answers: held-out images, new pictures, class names, stability.

All rows of the sweep that describe one layer of one network are judged together: the network sees the held-out images
and each distinct label's pictures once, whatever the number of methods. Every metric is a table over labels and units,
from which each method, and each baseline, takes what its labels get.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from dnd.backends import embeddings
from dnd.backends.embedder import TransformersTextEmbedder
from dnd.config.evaluation import EvaluationSettings
from dnd.config.scenes import Stream
from dnd.evaluation import judged_images, truth
from dnd.evaluation.baselines import baseline_labels
from dnd.evaluation.judged_images import Activations, Embed, HeldOut, UnitVectors
from dnd.evaluation.metrics import contrast, semantics, stability, text
from dnd.evaluation.sentences import SentenceEncoder
from dnd.io import schemas, tables
from dnd.io.rows import Figure, Scales
from dnd.selection import cosy, evidence, scales
from dnd.target.network import Target

LOOK_ALIKES = 50
SIGLIP = Scales(58.0, -7.54)
"""Of an embedder that says no others: those of SigLIP so400m."""
OF_UNIT = "exemplars"
"""What stands as the method of metrics that depend on the unit and on no label."""
TRUE_R, RANKED = "true_r", "true_r_ranked"
"""Of the label, and of the one that would be given if none were withheld."""

Texts = Callable[[Sequence[str]], UnitVectors]


class UnitLabel(NamedTuple):
    """What is read of a row of DESCRIPTIONS."""

    unit: int
    label: str | None
    candidates: list[Mapping[str, str]]

    @property
    def leading(self) -> str | None:
        """The label or, where it was withheld, the best candidate; None where there is none."""
        return self.label if self.label or not self.candidates else self.candidates[0]["concept"]


class Described(NamedTuple):
    """The labels that one row of the sweep gave to the layer.

    Attributes
    ----------
    name, method : of the sweep's row, and its recipe.
    labels : unit -> label, None where it abstained.
    half : what the row shares with the one that saw the other half of its probe; None where there is none.
    leading : unit -> label, or best candidate where it abstained.
    """

    name: str
    method: str
    labels: Mapping[int, str | None]
    half: str | None = None
    leading: Mapping[int, str | None] = MappingProxyType({})


def read(path: str | Path, name: str, recipe: str, half: str | None = None) -> Described:
    """Return the labels of a DESCRIPTIONS file, of a row of the sweep."""
    rows = tables.rows(path, schemas.DESCRIPTIONS, UnitLabel)
    labels, leading = {row.unit: row.label for row in rows}, {row.unit: row.leading for row in rows}
    return Described(name, recipe, labels, half, leading)


class Measure(NamedTuple):
    """A metric of a layer.

    Attributes
    ----------
    value : label and unit -> its value.
    nothing : what an abstention is worth: as much as a label that says nothing.
    """

    value: Callable[[str, int], float]
    nothing: float


def matrix(labels: Sequence[str], values: npt.NDArray[np.floating], nothing: float) -> Measure:
    """Return a metric of an array [labels, units]."""
    places = {label: i for i, label in enumerate(labels)}
    return Measure(lambda label, unit: float(values[places[label], unit]), nothing)


def of_simulation(
    labels: Sequence[str], images: HeldOut, vectors: UnitVectors, scale: float, bias: float
) -> dict[str, Measure]:
    """Return the correlation of each label's probability and each unit's activation over the held-out images.

    None of these images chose the label. Source: simulation by Oikarinen & Weng, ICML 2024, section 4.

    Parameters
    ----------
    vectors : of the labels' texts.
    """
    probabilities = evidence.shown(images.vectors, vectors, scale, bias)
    return {"simulation_r": matrix(labels, evidence.correlations(images.activations, probabilities).T, 0.0)}


def of_pictures(images: HeldOut, responses: Mapping[str, Activations]) -> dict[str, Measure]:
    """Return AUC and MAD of a label's pictures against the held-out images; a label without pictures says nothing.

    Parameters
    ----------
    responses : label -> activations of its pictures.
    """

    def value(metric: Callable[[Activations, Activations], float], nothing: float, label: str, unit: int) -> float:
        activations = responses[label][:, unit] if label in responses else np.empty(0, np.float32)
        activations = activations[np.isfinite(activations)]
        return metric(activations, images.activations[:, unit]) if len(activations) else nothing

    worth = {"cosy_auc": (cosy.auc, 0.5), "cosy_mad": (cosy.mad, 0.0)}
    return {name: Measure(partial(value, metric, nothing), nothing) for name, (metric, nothing) in worth.items()}


def of_contrast(labels: Sequence[str], images: HeldOut, vectors: UnitVectors) -> dict[str, Measure]:
    """Return how well a label tells a unit's held-out exemplars from their look-alikes.

    Parameters
    ----------
    vectors : of the labels' texts.
    """
    places = {label: i for i, label in enumerate(labels)}

    @cache
    def exemplars_and_look_alikes(unit: int) -> tuple[UnitVectors, UnitVectors]:
        best = images.best(unit)
        chosen, exemplars = np.isin(np.arange(len(images.vectors)), best), images.vectors[best]
        near = contrast.nearest(exemplars, images.vectors, images.activations[:, unit], LOOK_ALIKES, chosen)
        return exemplars, images.vectors[near]

    def value(label: str, unit: int) -> float:
        return contrast.explained(vectors[places[label]], *exemplars_and_look_alikes(unit))

    return {"exemplar_contrast": Measure(value, 0.5)}


def of_truth(images: HeldOut, units: Sequence[int], streams: Mapping[str, Stream]) -> dict[str, Measure]:
    """Return Pearson's r of where a label holds and activations over held-out renders, and its shares of the best.

    A share is 0 of a unit for which no label attains anything.

    Parameters
    ----------
    units : live ones that are judged.
    streams : beginning of the images' ids -> their stream of renders.
    """
    seen = truth.cells(truth.places(images.names, streams), images.activations[:, units])
    places = {unit: i for i, unit in enumerate(units)}
    correlation = cache(partial(truth.true_r, seen=seen))

    def value(best: npt.NDArray[np.float64], label: str, unit: int) -> float:
        return float(correlation(label)[places[unit]] / best[places[unit]])

    attainable = {"true_share": truth.best_of_one(seen).r, "true_share_pair": truth.best_of_two(seen).r}
    worth = {TRUE_R: np.ones(len(units))} | {name: np.where(r > 0, r, np.inf) for name, r in attainable.items()}
    return {name: Measure(partial(value, best), 0.0) for name, best in worth.items()}


def of_units(images: HeldOut) -> dict[str, dict[int, float]]:
    """Return metric -> unit -> value, of what the held-out exemplars say of the units themselves."""
    exemplars = {unit: images.vectors[images.best(unit)] for unit in np.flatnonzero(images.live).tolist()}
    if not exemplars:
        return {}
    alike = semantics.redundancy(np.stack([vectors.mean(0) for vectors in exemplars.values()]))
    return {
        "clarity": {unit: float(semantics.clarity(vectors)) for unit, vectors in exemplars.items()},
        "polysemanticity": {unit: semantics.polysemanticity(vectors) for unit, vectors in exemplars.items()},
        "redundancy": dict(zip(exemplars, alike.tolist(), strict=True)),
    }


class Encoders(NamedTuple):
    """The models that judge, each None where it is not to be used.

    Attributes
    ----------
    embed : images to unit vectors.
    texts : texts to unit vectors of the same space.
    sentences : texts to unit vectors of a text encoder.
    tokens : texts to their token vectors.
    """

    embed: Embed | None = None
    texts: Texts | None = None
    sentences: Texts | None = None
    tokens: Callable[[Sequence[str]], Sequence[text.Tokens]] | None = None


def load_encoders(settings: EvaluationSettings, store: str | Path) -> Encoders:
    """Load the models of the settings; vectors of images are kept in the store's folder."""
    encoders = Encoders()
    if settings.embedder is not None:
        embed = embeddings.load(settings.embedder, store).embed
        encoders = encoders._replace(embed=embed, texts=TransformersTextEmbedder(settings.embedder).embed_texts)
    if settings.sentences is not None:
        encoder = SentenceEncoder(settings.sentences)
        encoders = encoders._replace(sentences=encoder.embed, tokens=encoder.tokens)
    return encoders


def of_class_names(labels: Sequence[str], names: Sequence[str], encoders: Encoders) -> dict[str, Measure]:
    """Return how alike a label and the name of the class are that the unit stands for: cosines, rescaled BERTScore.

    Source: ``get_cos_similarity`` of the released Describe-and-Dissect, whose ``table9`` by mistake passed strings, so
    that single characters of the reference were embedded; here whole texts.

    Parameters
    ----------
    names : of the layer's units, in order.
    """
    cosines = {"class_name_similarity": encoders.sentences, "class_name_similarity_clip": encoders.texts}
    measures = {
        metric: matrix(labels, encode(labels) @ encode(names).T, 0.0) for metric, encode in cosines.items() if encode
    }
    if encoders.tokens is not None:
        of_labels, of_names = encoders.tokens(labels), encoders.tokens(names)
        zero = text.baseline(of_names)
        scores = [[text.rescaled(text.bert_score(label, name).f1, zero) for name in of_names] for label in of_labels]
        measures["class_name_bertscore"] = matrix(labels, np.array(scores), 0.0)
    return measures


def stable(layer: str, described: Sequence[Described], sentences: Texts | None) -> list[Figure]:
    """Return EVALUATION rows that compare the labels of rows that saw two halves of one probe, for the first of two."""
    halves: dict[tuple[str, str], list[Described]] = {}
    for row in described:
        if row.half is not None:
            halves.setdefault((row.method, row.half), []).append(row)
    figures = []
    for first, second in (pair for pair in halves.values() if len(pair) == 2):
        units = sorted(set(first.labels) & set(second.labels))
        pairs = [(first.labels[unit], second.labels[unit]) for unit in units]
        values = {
            "stability": [stability.same_label(*pair) for pair in pairs],
            "stability_iou": [stability.same_extension(*pair) for pair in pairs],
            "stability_same_set": [stability.same_set(*pair) for pair in pairs],
        }
        if sentences is not None:
            labels = sorted({label for pair in pairs for label in pair if label is not None})
            vectors = dict(zip(labels, sentences(labels), strict=True)) if labels else {}
            both = [[None if label is None else vectors[label] for label in pair] for pair in pairs]
            values["stability_similarity"] = [stability.similar_text(*pair) for pair in both]
        figures += [
            Figure(first.name, layer, unit, None, first.method, metric, value)
            for metric, column in values.items()
            for unit, value in zip(units, column, strict=True)
            if value is not None
        ]
    return figures


def with_baselines(described: Described, concepts: Sequence[str]) -> dict[str, Mapping[int, str | None]]:
    """Return method or baseline -> unit -> label, of a row of the sweep."""
    return {described.method: described.labels, **baseline_labels(described.labels, concepts)}


def distinct_labels(described: Sequence[Described], concepts: Sequence[str]) -> list[str]:
    """Return every label that is judged, sorted; rows that saw a part of a probe are there for their stability."""
    labelled = [labels for row in described if row.half is None for labels in with_baselines(row, concepts).values()]
    return sorted({label for labels in labelled for label in labels.values() if label is not None})


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
    streams: Mapping[str, Stream] = MappingProxyType({}),
    files: Sequence[Path] = (),
) -> pa.Table:
    """Return EVALUATION rows of units for all rows of the sweep that describe a layer, baselines included.

    Parameters
    ----------
    described : what each row said.
    concepts : for labels at random.
    class_names : of the layer's units, where they are classes.
    target, shards : the network and the probe of held-out images, where there is one.
    streams : of these images, where all are renders, whose scenes are known.
    files : IMAGES of the labels, where a generator draws them.
    """
    labels, measures = distinct_labels(described, concepts), dict[str, Measure]()
    units = sorted({unit for row in described for unit in row.labels})
    figures = stable(layer, described, encoders.sentences)
    if target is not None and encoders.embed is not None and encoders.texts is not None and labels:
        images = judged_images.held_out(target, layer, encoders.embed, shards, settings.pooling)
        units = [unit for unit in units if images.live[unit]]
        vectors = encoders.texts(labels)
        known = scales.read(settings.embedder, []) or SIGLIP
        measures |= of_simulation(labels, images, vectors, known.scale, known.bias)
        measures |= of_contrast(labels, images, vectors)
        measures |= of_truth(images, units, streams) if streams else {}
        if (pictures := judged_images.label_pictures(labels, settings, files)) is not None:
            drawn = tqdm(pictures, "drawn labels", len(labels), unit="label", mininterval=5)
            measures |= of_pictures(images, judged_images.excited(target, layer, drawn, settings.pooling))
        for metric, values in of_units(images).items():
            of_metric = partial(Figure, described[0].name, layer, kind=None, method=OF_UNIT, metric=metric)
            figures += [of_metric(unit=unit, value=value) for unit, value in values.items() if unit in units]
    if class_names and labels:
        measures |= of_class_names(labels, class_names, encoders)
    for row in described:
        if row.half is None:  # rows that saw a part of a probe are there for their stability
            judged = [unit for unit in units if unit in row.labels]
            figures += of_labels(layer, row.name, with_baselines(row, concepts), judged, measures)
            if TRUE_R in measures:
                figures += of_labels(layer, row.name, {row.method: row.leading}, judged, {RANKED: measures[TRUE_R]})
    return tables.table(figures, schemas.EVALUATION)


def of_labels(
    layer: str,
    name: str,
    labelled: Mapping[str, Mapping[int, str | None]],
    units: Sequence[int],
    measures: Mapping[str, Measure],
) -> list[Figure]:
    """Return the EVALUATION rows of units of one row of the sweep, whose methods and baselines gave them labels."""
    figures = []
    for method, labels in labelled.items():
        for metric, measure in measures.items():
            for unit in units:
                label = labels[unit]
                value = measure.nothing if label is None else measure.value(label, unit)
                figures.append(Figure(name, layer, unit, None, method, metric, value))
    return figures

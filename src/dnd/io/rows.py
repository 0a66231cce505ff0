"""Rows of the tables as Python has them: a field a column of `dnd.io.schemas`, null where a default is None.

A module that needs some columns only defines a named tuple of these; `dnd.io.tables.rows` reads its fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Row(Protocol):
    """What every named tuple has; its fields are columns."""

    def _asdict(self) -> dict[str, object]: ...


class Topk(NamedTuple):
    """A unit of a layer: the images that excite it most, and how it answers to the probe."""

    unit: int
    image_ids: list[str]
    activations: list[float]
    mean: float | None
    std: float | None
    fraction_zero: float
    nonfinite: int
    idle: str | None
    low: float | None
    high: float | None
    quantiles: list[float]
    controls: list[float]


class Controls(NamedTuple):
    """What the control images excite in a unit: columns of TOPK."""

    unit: int
    idle: str | None
    controls: list[float]


class Exemplar(NamedTuple):
    """An image or a crop of one that excites a unit."""

    unit: int
    rank: int
    image_id: str
    box: Sequence[int] | None
    activation: float
    heatmap: bytes | None = None
    heatmap_box: Sequence[int] | None = None


class Caption(NamedTuple):
    """What a captioner says of a picture."""

    image_id: str
    box: Sequence[int] | None
    caption: str


class LookAlike(NamedTuple):
    """An image that resembles a unit's exemplars and does not excite the unit."""

    unit: int
    rank: int
    image_id: str
    caption: str


class Asked(NamedTuple):
    """A question to the language model, and what came of it: a row of ANSWERS."""

    name: str
    slug: str
    unit: int
    sample: int
    source: str
    cluster: int | None
    prompt: str
    captions: list[int]
    answer: str | None = None
    concept: str | None = None
    problem: str | None = None


class Concept(NamedTuple):
    """A candidate concept of a unit."""

    name: str
    slug: str
    unit: int
    candidate: int
    concept: str
    votes: int
    samples: list[int]
    source: str


class RefinementRound(NamedTuple):
    """A further question about a unit, after its candidates were drawn."""

    name: str
    slug: str
    unit: int
    round: int
    sample: int
    prompt: str
    answer: str | None
    concept: str | None
    activation: float | None
    shown: int | None
    exciting: float | None
    problem: str | None


class Picture(NamedTuple):
    """A drawn image of a concept."""

    concept: str
    sample: int
    seed: int
    key: str
    image: bytes
    problem: str | None = None


class Drawn(NamedTuple):
    """How many of a concept's pictures a unit has asked for."""

    unit: int
    concept: str
    images: int
    beaten_by: str | None


class Score(NamedTuple):
    """The evidence for a candidate of a unit."""

    unit: int
    candidate: int
    concept: str
    source: str
    votes: int | None
    score: float | None
    auc: float | None = None
    mad: float | None = None
    rank_score: float | None = None
    image_similarity: float | None = None
    fit: float | None = None
    gap: float | None = None
    hard: float | None = None
    agreement: float | None = None
    bimodality: float | None = None
    parts: list[int] | None = None
    shares: list[int] | None = None
    activations: list[float] | None = None


class Facet(NamedTuple):
    """One of several things that a unit responds to."""

    unit: int
    facet: int
    label: str
    exemplars: list[int]
    share: float


class LineRound(NamedTuple):
    """A question of LINE about a unit."""

    unit: int
    round: int
    prompt: str
    answer: str | None
    concept: str | None
    activation: float | None
    shown: int | None
    problem: str | None


class Description(NamedTuple):
    """What a recipe says of a unit; candidates and exemplars are structs of the schema."""

    model: str
    layer: str
    probe: str
    recipe: str
    unit: int
    label: str | None
    labels: list[str]
    confidence: float | None
    abstained: str | None
    score: float | None
    candidates: list[dict[str, Any]]
    exemplars: list[dict[str, Any]]
    captions: list[str | None]


class Figure(NamedTuple):
    """A figure of an evaluation, of one unit or of several."""

    name: str
    layer: str
    unit: int | None
    kind: str
    method: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None


class Comparison(NamedTuple):
    """A paired test of two methods."""

    layer: str
    kind: str | None
    metric: str
    method: str
    other: str
    units: int
    difference: float | None
    low: float | None
    high: float | None
    test: str
    p: float | None
    p_adjusted: float | None


class Pattern(NamedTuple):
    """Pixels at which the same concepts hold; each is a struct of category and concept."""

    pattern: int
    concepts: list[dict[str, str]]
    categories: list[str]
    pixels: int


class Dissection(NamedTuple):
    """The concept of a category that overlaps best with where a unit is active."""

    unit: int
    category: str
    concept: str
    truth: int
    activation: int
    intersect: int
    iou: float


class Importance(NamedTuple):
    """What a unit contributes to the predicted class."""

    unit: int
    attribution: float | None
    absolute: float | None
    std: float | None
    images: int
    note: str | None

"""What is in each table: a named tuple of its columns, of which `dnd.io.schemas` makes the Arrow schema.

Whole numbers have 32 bits and numbers are float32, unless they are :data:`Long` or :data:`Double`. A module that needs
some columns only defines a named tuple of these; `dnd.io.tables.rows` reads its fields. Rules import this: no Arrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Protocol

Long = Annotated[int, "int64"]
Double = Annotated[float, "float64"]
Box = Annotated[Sequence[int], "box"]
"""x0, y0, x1, y1 in pixels of the original image, the right and lower edges exclusive; null is the whole image."""


class Row(Protocol):
    """What every named tuple has; its fields are columns."""

    def _asdict(self) -> dict[str, object]: ...


class ProbeImage(NamedTuple):
    """An image of a probe."""

    image_id: str  # path inside the probe, with forward slashes
    digest: str  # sha256 of the bytes
    width: int
    height: int
    label: str | None  # null where the probe has none
    image: bytes  # the file's bytes, unchanged


class Refused(NamedTuple):
    """What cannot be an image of the probe, and why."""

    image_id: str
    reason: str


class Entry(NamedTuple):
    """An image of a probe that is not packed yet, and the place of its bytes."""

    image_id: str  # path inside the probe, with forward slashes
    label: str | None
    probe: str  # the probe that knows how to read it: the member of a union, otherwise the probe itself
    file: str | None  # inside the source's folder; null in a dataset
    offset: Long | None = None  # in bytes, of an archive's member
    size: Long | None = None  # in bytes; null in a table, which does not tell it
    row: Long | None = None  # of a table


class Topk(NamedTuple):
    """A unit of a layer: the images that excite it most, and how it answers to the probe."""

    unit: int
    image_ids: list[str]  # best first
    activations: list[float]
    mean: float | None
    std: float | None
    fraction_zero: float
    nonfinite: Long  # images with an infinite activation or none, which nothing else here counts
    idle: str | None  # dead, constant or nonfinite; null for a unit that can be described
    low: float | None
    high: float | None
    quantiles: list[float]  # of the control images, at `dnd.target.topk.QUANTILES`
    controls: list[float]  # activations of the control images, in order of image id


class Controls(NamedTuple):
    """What the control images excite in a unit: columns of TOPK."""

    unit: int
    idle: str | None
    controls: list[float]


class Exemplar(NamedTuple):
    """An image or a crop of one that excites a unit."""

    unit: int
    rank: int  # 0 is the best
    image_id: str
    box: Box | None
    activation: float
    heatmap: bytes | None = None  # grey PNG of the unit's map on the whole image, 0-255; null without a map
    heatmap_box: Box | None = None  # the part of the original image that the map covers


class Caption(NamedTuple):
    """What a captioner says of a picture."""

    image_id: str
    box: Box | None
    caption: str


class LookAlike(NamedTuple):
    """An image that resembles a unit's exemplars and does not excite the unit."""

    unit: int
    rank: int  # 0 is the most similar
    image_id: str
    caption: str


class Asked(NamedTuple):
    """A question to the language model, and what came of it: a row of ANSWERS."""

    name: str
    slug: str
    unit: int
    sample: int
    source: str  # captions, cluster, or the name of a further prompt
    cluster: int | None  # the group of captions that is asked about; null for all
    prompt: str  # JSON of the chat messages
    captions: list[int]  # ranks of the exemplars, in the order shown
    answer: str | None = None  # null when the request failed
    concept: str | None = None  # null when the answer is malformed
    problem: str | None = None  # null when all is well


class Concept(NamedTuple):
    """A candidate concept of a unit."""

    name: str
    slug: str
    unit: int
    candidate: int  # by votes, then first seen
    concept: str
    votes: int
    samples: list[int]  # the answers that gave it
    source: str  # captions, cluster, a further prompt's name, words, recipe:NAME; the first


class RefinementRound(NamedTuple):
    """A further question about a unit, after its candidates were drawn."""

    name: str
    slug: str
    unit: int
    round: int
    sample: int  # over all rounds of a unit; `samples` of a refined candidate holds these
    prompt: str  # JSON of the chat messages
    answer: str | None  # null when the request failed
    concept: str | None  # null when the answer is malformed
    activation: float | None  # mean of the concept's pictures; null when there is no usable one
    shown: int | None  # the same as the next prompt shows it: 0 the weakest, 100 the strongest control image
    exciting: float | None  # share of the pictures that excite the unit
    problem: str | None  # null when all is well


class Picture(NamedTuple):
    """A drawn image of a concept."""

    concept: str
    sample: int
    seed: Long
    key: str
    image: bytes
    problem: str | None = None  # black or flagged, which keeps it from the scores; null when all is well


class Score(NamedTuple):
    """The evidence for a candidate of a unit."""

    unit: int
    candidate: int
    concept: str
    source: str
    votes: int | None
    score: float | None  # the recipe's combination; higher is better
    auc: float | None = None
    mad: float | None = None
    rank_score: float | None = None  # mean of the squared ranks of the best five; lower is better
    image_similarity: float | None = None
    correlation: float | None = None  # this and the next two: see dnd.selection.evidence; null where not asked for
    precision: float | None = None
    drawn: float | None = None
    bimodality: float | None = None  # of the unit, whatever the candidate
    parts: list[int] | None = None  # numbers of the candidates that "a or b" joins; null for one of the LLM's
    shares: list[int] | None = None  # of each exemplar by rank, which part it shows best; null as `parts`
    activations: list[float] | None = None  # of the generated images, in order of sample, part by part


class Scales(NamedTuple):
    """When an embedder takes an image for one that shows a text."""

    scale: Double
    bias: Double
    pictures: int = 0  # that they were fitted on; 0 of given ones
    concepts: int = 0  # that these were drawn from
    auc: float | None = None  # of the cosines of pictures with their own texts against those with others


class Explained(NamedTuple):
    """How much of a unit's behaviour its label predicts."""

    unit: int
    label: str
    explains: float  # over images that chose nothing
    explains_low: float  # 95 %
    explains_high: float
    chance: Double  # how often concepts of other units explain the unit as well


class Facet(NamedTuple):
    """One of several things that a unit responds to."""

    unit: int
    facet: int  # 0 is the largest
    label: str
    exemplars: list[int]  # ranks of those that show it best
    share: float  # of the exemplars' summed activation


class LineRound(NamedTuple):
    """A question of LINE about a unit."""

    unit: int
    round: int
    prompt: str  # JSON of the chat messages
    answer: str | None  # null when the request failed
    concept: str | None  # null when the answer is malformed
    activation: float | None  # mean of the concept's pictures; null when there is no usable one
    shown: int | None  # the same as the next prompt shows it: 0 the weakest, 100 the strongest control image
    problem: str | None  # null when all is well


class ListedCandidate(NamedTuple):
    """A candidate as a description lists it."""

    concept: str
    score: float | None
    auc: float | None
    mad: float | None
    rank_score: float | None
    image_similarity: float | None
    correlation: float | None
    precision: float | None
    drawn: float | None
    source: str


class ListedExemplar(NamedTuple):
    """An exemplar as a description lists it."""

    image_id: str
    box: Box | None
    activation: float


class Description(NamedTuple):
    """What a recipe says of a unit."""

    model: str
    layer: str
    probe: str
    recipe: str
    unit: int
    label: str | None  # null when abstained
    labels: list[str]
    confidence: float | None  # null without a fitted file
    abstained: str | None  # dead, constant, nonfinite, no_concept, chance or little; null when described
    explains: float | None  # correlation of the label and the activation, over images that chose nothing
    explains_low: float | None  # 95 %
    explains_high: float | None
    bimodality: float | None  # 1 of a unit that answers by yes or no
    score: float | None
    candidates: Annotated[list[dict[str, Any]], ListedCandidate]
    exemplars: Annotated[list[dict[str, Any]], ListedExemplar]
    captions: list[str | None]


class Figure(NamedTuple):
    """A figure of an evaluation, of one unit or of several."""

    name: str
    layer: str
    unit: int | None  # null for aggregates
    kind: str | None
    method: str
    metric: str
    value: Double
    low: Double | None = None
    high: Double | None = None


class Comparison(NamedTuple):
    """A paired test of two methods."""

    layer: str
    kind: str | None  # concept: units with one concept to name; null for all
    metric: str
    method: str
    other: str
    units: Long  # that both described, of all networks
    difference: Double | None  # mean of method - other
    low: Double | None
    high: Double | None
    test: str
    p: Double | None
    p_adjusted: Double | None  # Holm's correction over the pairs


class MaskedConcept(NamedTuple):
    """A concept of a category that an image of the probe shows, and where."""

    image_id: str  # in the probe's order
    category: str
    concept: str
    mask: bytes | None  # PNG of one bit a pixel, of the original image's size; null is the whole image


class Tagged(NamedTuple):
    """A concept of a category."""

    category: str
    concept: str


class Pattern(NamedTuple):
    """Pixels at which the same concepts hold."""

    pattern: int
    concepts: Annotated[list[dict[str, str]], Tagged]  # that hold at each of its pixels, and no others
    categories: list[str]  # of which their images have an annotation
    pixels: Long


class Overlap(NamedTuple):
    """How many pixels of a pattern a unit is active at; a row for each that has any."""

    quantile: str  # as the recipe has it: share of all positions at which the unit is active, or otsu
    unit: int
    pattern: int
    pixels: Long


class Dissection(NamedTuple):
    """The concept of a category that overlaps best with where a unit is active."""

    unit: int
    category: str
    concept: str
    truth: Long  # pixels of the concept
    activation: Long  # pixels at which the unit is active, of images with an annotation of the category
    intersect: Long
    iou: Double


class Importance(NamedTuple):
    """What a unit contributes to the predicted class."""

    unit: int
    attribution: Double | None  # to the predicted class's logit, mean over images; null where not defined
    absolute: Double | None  # mean of its absolute value
    std: Double | None
    images: Long
    note: str | None  # null when all is well

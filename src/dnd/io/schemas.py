"""The Arrow schema of every table; `dnd.io.rows` says what columns are, and what is null when.

Tables that are never looked at row by row are written down here.
"""

from __future__ import annotations

import types
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

from dnd.io import rows

SIMPLE: dict[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int32(),
    float: pa.float32(),
    bytes: pa.binary(),
}
NOTED = {"int64": pa.int64(), "float64": pa.float64(), "box": pa.list_(pa.int32(), 4)}
"""What the notes of :data:`dnd.io.rows.Long` and its like stand for."""


def _fields(kind: type) -> list[pa.Field]:
    """Return the columns of a named tuple."""
    return [pa.field(name, _type(hint)) for name, hint in get_type_hints(kind, include_extras=True).items()]


def _type(hint: object) -> pa.DataType:
    """The Arrow type of a type; of a list of structs the note names the named tuple of their fields."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return NOTED[inner[1]] if inner[1] in NOTED else pa.list_(pa.struct(_fields(inner[1])))
    if origin in (Union, types.UnionType):  # with None
        return _type(inner[0])
    return pa.list_(_type(inner[0])) if origin is list else SIMPLE[hint]


def _schema(kind: type) -> pa.Schema:
    return pa.schema(_fields(kind))


PROBE = _schema(rows.ProbeImage)
REJECTED = _schema(rows.Refused)
SHUFFLED = pa.schema([("image_id", pa.string())])  # of all images of a probe, in order of their hashes
LISTING = _schema(rows.Entry)
TOPK_PART = pa.schema(
    [
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("image_ids", pa.list_(pa.string())),  # best first
        ("activations", pa.list_(pa.float32())),
    ]
)
STATISTICS_PART = pa.schema(
    [
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("count", pa.int64()),  # of finite activations, as are all that follow
        ("nonfinite", pa.int64()),
        ("total", pa.float64()),
        ("total_squares", pa.float64()),
        ("zeros", pa.int64()),
        ("low", pa.float32()),
        ("high", pa.float32()),
    ]
)
CONTROLS_PART = pa.schema(
    [("slug", pa.string()), ("image_id", pa.string()), ("activations", pa.list_(pa.float32()))]  # one value a unit
)
PARTS = TOPK_PART, STATISTICS_PART, CONTROLS_PART
"""Of the tables that a pass over one shard of the probe leaves, in the order of `dnd.target.activations.run`."""
TOPK = _schema(rows.Topk)
EXEMPLARS = _schema(rows.Exemplar)
CAPTIONS = _schema(rows.Caption)
LOOK_ALIKES = _schema(rows.LookAlike)
ANSWERS = _schema(rows.Asked)
CONCEPTS = _schema(rows.Concept)
REFINEMENT_ROUNDS = _schema(rows.RefinementRound)
IMAGES = _schema(rows.Picture)
SCORES = _schema(rows.Score)
SCALES = _schema(rows.Scales)
EXPLAINS = _schema(rows.Explained)
FACETS = _schema(rows.Facet)
LINE_ROUNDS = _schema(rows.LineRound)
BOX = _type(rows.Box)
CANDIDATE = pa.struct(_fields(rows.ListedCandidate))
EXEMPLAR = pa.struct(_fields(rows.ListedExemplar))
DESCRIPTIONS = _schema(rows.Description)
EVALUATION = _schema(rows.Figure)
COMPARISONS = _schema(rows.Comparison)
ANNOTATIONS = _schema(rows.MaskedConcept)
PATTERNS = _schema(rows.Pattern)
OVERLAPS = _schema(rows.Overlap)
DISSECTION = _schema(rows.Dissection)
IMPORTANCE = _schema(rows.Importance)
AUDITS = pa.schema(  # a named tuple can have no field `class`
    [
        ("audit", pa.string()),
        ("name", pa.string()),
        ("layer", pa.string()),
        ("control", pa.int32()),  # which set of other units was silenced; null for the audited ones
        ("units", pa.list_(pa.int32())),  # those that were silenced
        ("class", pa.string()),  # null for all images
        ("images", pa.int64()),
        ("correct_before", pa.int64()),
        ("correct_after", pa.int64()),
        ("loss_before", pa.float64()),  # mean cross entropy
        ("loss_after", pa.float64()),
        ("accuracy_change", pa.float64()),  # low and high: 95 % interval over images, bootstrapped
        ("accuracy_low", pa.float64()),
        ("accuracy_high", pa.float64()),
        ("loss_change", pa.float64()),
        ("loss_low", pa.float64()),
        ("loss_high", pa.float64()),
        ("logit_change", pa.float64()),  # of the true class
        ("logit_low", pa.float64()),
        ("logit_high", pa.float64()),
    ]
)

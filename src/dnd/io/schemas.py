"""The Arrow schema of every table: what its columns are, and what is null when."""

from __future__ import annotations

import pyarrow as pa

BOX = pa.list_(pa.int32(), 4)
"""x0, y0, x1, y1 in pixels of the original image, the right and lower edges exclusive; null is the whole image."""

PROBE = pa.schema(
    [
        ("image_id", pa.string()),  # path inside the probe, with forward slashes
        ("digest", pa.string()),  # sha256 of the bytes
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("label", pa.string()),  # null where the probe has none
        ("image", pa.binary()),  # the file's bytes, unchanged
    ]
)
REJECTED = pa.schema([("image_id", pa.string()), ("reason", pa.string())])
SHUFFLED = pa.schema([("image_id", pa.string())])  # of all images of a probe, in order of their hashes
LISTING = pa.schema(
    [
        ("image_id", pa.string()),
        ("label", pa.string()),
        ("probe", pa.string()),  # the member of a union, otherwise the probe itself
        ("file", pa.string()),  # inside the source's folder; null in a dataset
        ("offset", pa.int64()),  # of a member of an archive
        ("size", pa.int64()),  # null in a table, which does not tell it
        ("row", pa.int64()),  # of a table
    ]
)

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
TOPK = pa.schema(
    [
        ("unit", pa.int32()),
        ("image_ids", pa.list_(pa.string())),  # best first
        ("activations", pa.list_(pa.float32())),
        ("mean", pa.float32()),
        ("std", pa.float32()),
        ("fraction_zero", pa.float32()),
        ("nonfinite", pa.int64()),  # images with an infinite activation or none, which nothing else here counts
        ("idle", pa.string()),  # dead, constant or nonfinite; null for a unit that can be described
        ("low", pa.float32()),
        ("high", pa.float32()),
        ("quantiles", pa.list_(pa.float32())),  # of the control images, at merging.QUANTILES
        ("controls", pa.list_(pa.float32())),  # activations of the control images, in order of image id
    ]
)
EXEMPLARS = pa.schema(
    [
        ("unit", pa.int32()),
        ("rank", pa.int32()),  # 0 is the best
        ("image_id", pa.string()),
        ("box", BOX),
        ("activation", pa.float32()),
        (
            "heatmap",
            pa.binary(),
        ),  # grey PNG of the unit's map on the whole image, stretched to 0-255; null without a map
        ("heatmap_box", BOX),  # the part of the original image that the map covers
    ]
)
CAPTIONS = pa.schema([("image_id", pa.string()), ("box", BOX), ("caption", pa.string())])
LOOK_ALIKES = pa.schema(
    [
        ("unit", pa.int32()),
        ("rank", pa.int32()),  # 0 is the most similar
        ("image_id", pa.string()),
        ("caption", pa.string()),
    ]
)
ANSWERS = pa.schema(
    [
        ("name", pa.string()),
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("sample", pa.int32()),
        ("source", pa.string()),  # captions, cluster, or the name of a further prompt
        ("cluster", pa.int32()),  # the group of captions that is asked about; null for all
        ("prompt", pa.string()),  # JSON of the chat messages
        ("captions", pa.list_(pa.int32())),  # ranks of the exemplars, in the order shown
        ("answer", pa.string()),  # null when the request failed
        ("concept", pa.string()),  # null when the answer is malformed
        ("problem", pa.string()),  # null when all is well
    ]
)
CONCEPTS = pa.schema(
    [
        ("name", pa.string()),
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("candidate", pa.int32()),  # by votes, then first seen
        ("concept", pa.string()),
        ("votes", pa.int32()),
        ("samples", pa.list_(pa.int32())),  # the answers that gave it
        ("source", pa.string()),  # captions, cluster, a further prompt's name, words, recipe:NAME; the first
    ]
)
REFINEMENT_ROUNDS = pa.schema(
    [
        ("name", pa.string()),
        ("slug", pa.string()),
        ("unit", pa.int32()),
        ("round", pa.int32()),
        ("sample", pa.int32()),  # over all rounds of a unit; `samples` of a refined candidate holds these
        ("prompt", pa.string()),  # JSON of the chat messages
        ("answer", pa.string()),  # null when the request failed
        ("concept", pa.string()),  # null when the answer is malformed
        ("activation", pa.float32()),  # mean of the concept's pictures; null when there is no usable one
        ("shown", pa.int32()),  # the same as the next prompt shows it: 0 the weakest, 100 the strongest control image
        ("exciting", pa.float32()),  # share of the pictures that excite the unit
        ("problem", pa.string()),  # null when all is well
    ]
)
IMAGES = pa.schema(
    [
        ("concept", pa.string()),
        ("sample", pa.int32()),
        ("seed", pa.int64()),
        ("key", pa.string()),
        ("image", pa.binary()),
        ("problem", pa.string()),  # black or flagged, which keeps it from the scores; null when all is well
    ]
)
DRAWN = pa.schema(
    [
        ("unit", pa.int32()),
        ("concept", pa.string()),
        ("images", pa.int32()),  # that the unit has asked for: the samples below it
        ("beaten_by", pa.string()),  # the leader when the candidate was dropped; null for one that was not
    ]
)
SCORES = pa.schema(
    [
        ("unit", pa.int32()),
        ("candidate", pa.int32()),
        ("concept", pa.string()),
        ("source", pa.string()),
        ("votes", pa.int32()),
        ("score", pa.float32()),  # the recipe's combination; higher is better
        ("auc", pa.float32()),
        ("mad", pa.float32()),
        ("rank_score", pa.float32()),  # mean of the squared ranks of the best five; lower is better
        ("image_similarity", pa.float32()),
        ("fit", pa.float32()),  # this and the next four: see dnd.selection.evidence; null where they are not asked for
        ("gap", pa.float32()),
        ("hard", pa.float32()),
        ("agreement", pa.float32()),
        ("bimodality", pa.float32()),  # of the unit, whatever the candidate
        ("parts", pa.list_(pa.int32())),  # numbers of the candidates that "a or b" joins; null for one of the LLM's
        ("shares", pa.list_(pa.int32())),  # of each exemplar by rank, which part it shows best; null as `parts`
        ("activations", pa.list_(pa.float32())),  # of the generated images, in order of sample, part by part
    ]
)
FACETS = pa.schema(
    [
        ("unit", pa.int32()),
        ("facet", pa.int32()),  # one of several things that a unit responds to, 0 is the largest
        ("label", pa.string()),
        ("exemplars", pa.list_(pa.int32())),  # ranks of those that show it best
        ("share", pa.float32()),  # of the exemplars' summed activation
    ]
)
LINE_ROUNDS = pa.schema(
    [
        ("unit", pa.int32()),
        ("round", pa.int32()),
        ("prompt", pa.string()),  # JSON of the chat messages
        ("answer", pa.string()),  # null when the request failed
        ("concept", pa.string()),  # null when the answer is malformed
        ("activation", pa.float32()),  # mean of the concept's pictures; null when there is no usable one
        ("shown", pa.int32()),  # the same as the next prompt shows it: 0 the weakest, 100 the strongest control image
        ("problem", pa.string()),  # null when all is well
    ]
)
CANDIDATE = pa.struct(
    [
        ("concept", pa.string()),
        ("score", pa.float32()),
        ("auc", pa.float32()),
        ("mad", pa.float32()),
        ("rank_score", pa.float32()),
        ("image_similarity", pa.float32()),
        ("source", pa.string()),
    ]
)
EXEMPLAR = pa.struct([("image_id", pa.string()), ("box", BOX), ("activation", pa.float32())])
DESCRIPTIONS = pa.schema(
    [
        ("model", pa.string()),
        ("layer", pa.string()),
        ("probe", pa.string()),
        ("recipe", pa.string()),
        ("unit", pa.int32()),
        ("label", pa.string()),  # null when abstained
        ("labels", pa.list_(pa.string())),
        ("confidence", pa.float32()),
        ("abstained", pa.string()),  # null when described
        ("score", pa.float32()),
        ("candidates", pa.list_(CANDIDATE)),
        ("exemplars", pa.list_(EXEMPLAR)),
        ("captions", pa.list_(pa.string())),
    ]
)
EVALUATION = pa.schema(
    [
        ("name", pa.string()),
        ("layer", pa.string()),
        ("unit", pa.int32()),  # null for aggregates
        ("kind", pa.string()),
        ("method", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)

ANNOTATIONS = pa.schema(
    [
        ("image_id", pa.string()),  # in the probe's order
        ("category", pa.string()),
        ("concept", pa.string()),
        ("mask", pa.binary()),  # PNG of one bit a pixel, of the original image's size; null is the whole image
    ]
)
TAGGED = pa.struct([("category", pa.string()), ("concept", pa.string())])
PATTERNS = pa.schema(
    [
        ("pattern", pa.int32()),
        ("concepts", pa.list_(TAGGED)),  # that hold at each of its pixels, and no others
        ("categories", pa.list_(pa.string())),  # of which their images have an annotation
        ("pixels", pa.int64()),
    ]
)
OVERLAPS = pa.schema(
    [
        ("quantile", pa.string()),  # as the recipe has it: share of all positions at which the unit is active, or otsu
        ("unit", pa.int32()),
        ("pattern", pa.int32()),
        ("pixels", pa.int64()),  # at which the unit is active; a row for each that has any
    ]
)
DISSECTION = pa.schema(
    [
        ("unit", pa.int32()),
        ("category", pa.string()),
        ("concept", pa.string()),  # the category's best
        ("truth", pa.int64()),  # pixels of the concept
        ("activation", pa.int64()),  # pixels at which the unit is active, of images with an annotation of the category
        ("intersect", pa.int64()),
        ("iou", pa.float64()),
    ]
)

AUDITS = pa.schema(
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
IMPORTANCE = pa.schema(
    [
        ("unit", pa.int32()),
        ("attribution", pa.float64()),  # to the predicted class's logit, mean over images; null where not defined
        ("absolute", pa.float64()),  # mean of its absolute value
        ("std", pa.float64()),
        ("images", pa.int64()),
        ("note", pa.string()),  # null when all is well
    ]
)
COMPARISONS = pa.schema(
    [
        ("layer", pa.string()),
        ("kind", pa.string()),  # concept: units with one concept to name; null for all
        ("metric", pa.string()),
        ("method", pa.string()),
        ("other", pa.string()),
        ("units", pa.int64()),  # that both described, of all networks
        ("difference", pa.float64()),  # mean of method - other
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("test", pa.string()),
        ("p", pa.float64()),
        ("p_adjusted", pa.float64()),  # Holm's correction over the pairs
    ]
)

"""When an embedder takes an image for one that shows a text: the scale and the bias of its cosines.

Embedders differ in their cosines: what shows a concept has .3 by one and .9 by another. Drawn pictures tell, without
known answers: each was drawn from one text and not from the others. A logistic regression parts these two.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dnd.backends import embeddings
from dnd.backends.embedder import Embedder, TextEmbedder, TransformersTextEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.io import schemas, tables
from dnd.io.rows import Scales
from dnd.io.store import key
from dnd.selection import drawn

MOST = 128
"""Concepts whose pictures are looked at: those of the smallest hashes."""


def fit(cosines: npt.NDArray[np.float64], shown: npt.NDArray[np.intp]) -> Scales:
    """Return the scale and the bias by which a picture shows the text that it was drawn from, and no other.

    Parameters
    ----------
    cosines : of pictures with texts [pictures, texts].
    shown : place of the text that each picture was drawn from [pictures].
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    right = np.arange(cosines.shape[1]) == shown[:, None]
    values = cosines.reshape(-1, 1)
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(values, right.ravel())
    # rounded, since vectors of other machines and numbers of threads differ in their last digits
    scale, bias = round(float(fitted.coef_[0, 0]), 2), round(float(fitted.intercept_[0]), 2)
    return Scales(scale, bias, len(cosines), cosines.shape[1], float(roc_auc_score(right.ravel(), values[:, 0])))


def of_pictures(concepts: Sequence[str], images: Sequence[Path], embedder: Embedder, texts: TextEmbedder) -> pa.Table:
    """Return the SCALES table of an embedder from the pictures of concepts, with one row.

    No row says that there is nothing to fit: fewer than two concepts have a usable picture, or texts and pictures do
    not go together.

    Parameters
    ----------
    images : files of IMAGES that hold the concepts.
    """
    few = sorted(sorted(set(concepts), key=lambda concept: key("scales", concept))[:MOST])
    pictured = {concept: pixels for concept, pixels in drawn.usable(images, few) if pixels}
    named = sorted(pictured)
    if len(named) < 2:
        return tables.table([], schemas.SCALES)
    vectors = list(embedder.embed_groups([pictured[concept] for concept in named]))
    shown = np.repeat(np.arange(len(named)), [len(part) for part in vectors])
    pixels, words = (values.astype(np.float64) for values in (np.concatenate(vectors), texts.embed_texts(named)))
    scales = fit(pixels @ words.T, shown)
    return tables.table([scales] if scales.scale > 0 else [], schemas.SCALES)


def of_recipe(
    settings: EmbedderSettings, concepts: Sequence[str], images: Sequence[Path], store: str | Path
) -> pa.Table:
    """Return the SCALES table of a recipe's embedder, as :func:`of_pictures` does.

    Parameters
    ----------
    store : folder of the item stores.
    """
    embedder = embeddings.load(settings, store)
    return of_pictures(concepts, images, embedder, TransformersTextEmbedder(settings))


def read(settings: EmbedderSettings | None, files: Sequence[str | Path]) -> Scales | None:
    """Return the scales of an embedder: of its settings, or of a SCALES file; None where neither has any."""
    if settings is not None and settings.scale is not None and settings.bias is not None:
        return Scales(settings.scale, settings.bias)
    return next(iter(tables.rows(list(files), schemas.SCALES, Scales)), None)

"""Explained exemplars: does a label tell what excites a unit from pictures that merely look like it?

After FALCON (Kalibhat et al., ICML 2023), which drops words that also fit lowly activating images similar to the
exemplars; here the images test a finished label. The exemplars must be held out: others than the label was made from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dnd.selection.cosy import auc

Vectors = npt.NDArray[np.floating]


def explained(label: Vectors, exemplars: Vectors, look_alikes: Vectors) -> float:
    """Return P(the label's cosine with an exemplar is higher than with a look-alike), ties counting half.

    Parameters
    ----------
    label : unit vector [d] of the label's text, by an embedder of images and texts.
    exemplars, look_alikes : unit vectors [k, d] and [m, d] of held-out exemplars and look-alikes
        (:func:`nearest`).

    Returns
    -------
    0.5 for a label that says nothing about the unit, NaN without exemplars or look-alikes.
    """
    if not len(exemplars) or not len(look_alikes):
        return float("nan")
    text = np.asarray(label, np.float64)
    return auc(exemplars @ text, look_alikes @ text)


def nearest(
    exemplars: Vectors,
    images: Vectors,
    activations: npt.NDArray[np.floating],
    count: int,
    exclude: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.intp]:
    """Return the positions of a unit's look-alikes: most similar to its exemplars, exciting it less than its mean.

    Parameters
    ----------
    exemplars : unit vectors [k, d] of an image embedder.
    images : unit vectors [n, d] of all images that may be look-alikes, in order of image id.
    activations : [n], the unit's at these images.
    count : how many; fewer where fewer images excite it less than the mean.
    exclude : bool [n], images that may not be chosen, such as the exemplars.

    Returns
    -------
    Positions [m], most similar first by the mean cosine with the exemplars; ties by position.
    """
    allowed = np.asarray(activations) < np.mean(activations, dtype=np.float64)
    if exclude is not None:
        allowed &= ~exclude
    places = np.flatnonzero(allowed)
    similar = np.asarray(images, np.float64)[places] @ np.mean(exemplars, 0, dtype=np.float64)
    return places[np.argsort(-similar, kind="stable")[:count]]

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
        (:func:`dnd.candidates.look_alikes.nearest`).

    Returns
    -------
    0.5 for a label that says nothing about the unit, NaN without exemplars or look-alikes.
    """
    if not len(exemplars) or not len(look_alikes):
        return float("nan")
    text = np.asarray(label, np.float64)
    return auc(exemplars @ text, look_alikes @ text)

"""CoSy: how much more a label's pictures excite a unit than control images do (Kopf et al., NeurIPS 2024).

The pictures should come from another generator than the one that chose the label, which it else is overfitted to.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Values = npt.NDArray[np.floating]


def auc(generated: Values, controls: Values) -> float:
    """Return P(a generated image excites the unit more than a control image), ties counting half.

    Parameters
    ----------
    generated, controls : activations [n] and [m], both with one image or more.

    Source: CoSy, the area under the ROC curve with the generated images as positives; Mann-Whitney's U / (n m).
    """
    count = len(generated)
    ranks = rankdata(np.concatenate([generated, controls]))
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(controls)))


def mad(generated: Values, controls: Values) -> float:
    """Return (mean of generated - mean of controls) / standard deviation of controls; 0 when they do not vary.

    Source: CoSy, mean activation difference.
    """
    spread = float(controls.std(dtype=np.float64))
    return float((generated.mean(dtype=np.float64) - controls.mean(dtype=np.float64)) / spread) if spread > 0 else 0.0

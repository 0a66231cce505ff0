"""The two halves of a probe: one chooses exemplars and labels, the other tells what a label explains.

What chose a label flatters it. An image's half follows from its id alone, so that it is the same whatever the probe's
order, its shards and the number of control images.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import numpy.typing as npt


def chooses(image_id: str) -> bool:
    """Return whether an image is in the half that chooses.

    The salt keeps the halves apart from the parts of a probe (``part: 1/2``) and from the control images.
    """
    return sha256(f"half/{image_id}".encode()).digest()[0] % 2 == 0


def choosing(image_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which of some images [n] are in the half that chooses."""
    return np.fromiter(map(chooses, image_ids), bool, len(image_ids))

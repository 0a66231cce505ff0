"""torchvision's ``nms`` in Python, for where its native library does not load.

The registry's torchvision wheel is a CUDA build. Beside a CPU build of torch its native library cannot be loaded, and
``import torchvision`` fails with ``operator torchvision::nms does not exist``. Where ``envs/setup.py`` meets that, it
copies this file into the package as ``torchvision/_python_ops.py``, and lets the package use it. Then models,
transforms and data sets work as they are, and detection models too: torchvision itself has ``roi_align`` in Python.
Operators that are still missing say so where they are called.
"""

import torch

_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Return the boxes that no better one overlaps, best first: what ``torchvision.ops.nms`` documents.

    Parameters
    ----------
    dets : (boxes, 4) corners x0, y0, x1, y1.
    scores : (boxes,).
    iou_threshold : a box goes when its intersection over union with a better one that stays is greater.

    Returns
    -------
    (kept,) int64 indices of boxes, by falling score.
    """
    order = scores.argsort(descending=True, stable=True)
    dets = dets[order]
    areas = (dets[:, 2] - dets[:, 0]) * (dets[:, 3] - dets[:, 1])
    stays = torch.ones(len(dets), dtype=torch.bool)
    for best in range(len(dets)):
        if stays[best]:
            corner = torch.maximum(dets[best, :2], dets[best + 1 :, :2])
            sides = (torch.minimum(dets[best, 2:], dets[best + 1 :, 2:]) - corner).clamp(min=0)
            common = sides[:, 0] * sides[:, 1]
            stays[best + 1 :] &= ~(common / (areas[best] + areas[best + 1 :] - common) > iou_threshold)
    return order[stays]


_LIBRARY.impl("nms", nms, "CPU")


def _assert_has_ops() -> None:
    """Stand in the place of torchvision's check, which would refuse ``nms`` too: torch names a missing operator."""

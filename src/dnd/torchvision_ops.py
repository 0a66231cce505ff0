"""Make ``import torchvision`` work where its native operators cannot be loaded; import this module before it.

The registry's torchvision wheel is a CUDA build. Beside a CPU build of torch its native library does not load, and the
import fails with ``operator torchvision::nms does not exist``. Declaring the two operators' schemas is enough for
models, transforms and data sets (which never call them). Where the native library loads, nothing is changed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_LIBRARY: torch.library.Library | None = None


def _native_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # nothing to mend
    binaries = sorted(Path(spec.origin).parent.glob("_C*"))
    try:
        for path in binaries:
            torch.ops.load_library(path)
    except OSError:
        return False
    return bool(binaries)


if not _native_library_loads():
    _LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    _LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

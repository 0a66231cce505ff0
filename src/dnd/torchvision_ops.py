"""Import torchvision where its native operators cannot be loaded, and without torch's compiler; import this before it.

The registry's torchvision wheel is a CUDA build. Beside a CPU build of torch its native library does not load, and the
import fails with ``operator torchvision::nms does not exist``. Declaring the two operators' schemas is enough for
models, transforms and data sets (which never call them). Where the native library loads, nothing is changed.

For one function's sake ``torchvision.ops.roi_align`` imports the whole of ``torch._dynamo``, which takes longer than
torch itself. Here that happens when the function is called, or when something is compiled.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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


def _is_compile_supported(device: Any) -> Any:
    """What ``torch._dynamo.utils`` has under this name."""
    return importlib.import_module("torch._dynamo.utils").is_compile_supported(device)


def _import_torchvision() -> None:
    names = ("torch._dynamo", "torch._dynamo.utils")
    installed = importlib.util.find_spec("torchvision") is not None
    if installed and not any(name in sys.modules for name in (*names, "torchvision")):
        stand_ins = {name: ModuleType(name) for name in names}
        stand_ins[names[1]].__dict__["is_compile_supported"] = _is_compile_supported
        sys.modules.update(stand_ins)
        try:
            importlib.import_module("torchvision")
        finally:
            for name in names:
                del sys.modules[name]


_import_torchvision()

"""Import torchvision without torch's compiler; import this before it.

For one function's sake ``torchvision.ops.roi_align`` imports the whole of ``torch._dynamo``, which takes longer than
torch itself. Here that happens when the function is called, or when something is compiled. Nothing else depends on
this: torchvision works without it, only later.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any


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
            with suppress(Exception):  # one that does not fit torch says so where a network needs it
                importlib.import_module("torchvision")
        finally:
            for name in names:
                del sys.modules[name]


_import_torchvision()

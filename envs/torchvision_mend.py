"""What set-up mends in an installed torchvision: operators that do not load, and an import that nobody needs."""

import os
import shutil
from pathlib import Path

OPERATORS = Path(__file__).resolve().parent / "torchvision_ops.py"
ADDED = "# added by describe-and-dissect's set-up"


def mend(environment: Path) -> None:
    """Give torchvision the operators that its native library would bring: ``envs/torchvision_ops.py`` says why.

    The second line spares ``roi_align`` torch's compiler, which needs a C++ compiler.
    """
    lines = {
        "extension.py": "from ._python_ops import _assert_has_ops  # noqa: E402",
        "ops/roi_align.py": "_roi_align = _roi_align.__wrapped__",
    }
    package = torchvision_of(environment)
    shutil.copyfile(OPERATORS, package / "_python_ops.py")
    for name, line in lines.items():
        if line not in (text := (package / name).read_text()):
            rewrite(package / name, f"{text}\n{ADDED}\n{line}\n")


def spare_compiler(environment: Path) -> None:
    """Let ``import torchvision`` leave out torch's compiler, which takes longer to import than torch itself.

    ``torchvision.ops.roi_align`` wants one function of it, and now imports that where it is called. A torchvision that
    does not read so stays as it is: it works, only later.
    """
    line = "from torch._dynamo.utils import is_compile_supported\n"
    path = torchvision_of(environment) / "ops" / "roi_align.py"
    before, wanted, after = path.read_text().partition(f"\n{line}")
    if wanted:
        called = f"def is_compile_supported(device):\n    {line}\n    return is_compile_supported(device)\n"
        rewrite(path, f"{before}\n{after}\n\n{ADDED}\n{called}")


def torchvision_of(environment: Path) -> Path:
    """Return the folder of the package in an environment."""
    (package,) = environment.glob("lib/python3*/site-packages/torchvision")
    return package


def rewrite(path: Path, text: str) -> None:
    """Write an installed file anew: uv links the old one to its cache, where other environments find it."""
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)

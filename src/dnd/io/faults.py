"""Whose fault an error is: that of code of the user's, whose place is then told, or that of a library's."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_LIBRARIES = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
_LIBRARIES |= {_PACKAGE}

_SHAPE = re.compile(r"(?<![a-z])(shapes?|sizes?|channels?(?!.last)|height|width|dimensions?|resolution|elements|\dd)\b")
"""What torch, torchvision, timm and transformers speak of where an input has other sides or channels than expected."""
_TORCHSCRIPT = re.compile(r"^(?:builtins\.)?(\w*(?:Error|Exception)): (.*)", re.MULTILINE)
"""The error itself, behind TorchScript's own traceback in what its errors say."""


def in_users_code(error: BaseException) -> str | None:
    """Return where code of the user's led to an error and why, None where only libraries have to do with it."""
    kind, reason = _class_and_reason(error)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not _of_library(frame.filename):
            return f"in {frame.filename}, line {frame.lineno}, {frame.name}: {_spelt(kind, reason)}"
        reason = _first_line(reason)  # torch lists all its backends
    return None


def told(error: BaseException) -> str:
    """Return where in the user's code an error came about, if there, its class, and what it says, on one line."""
    kind, reason = _class_and_reason(error)
    return in_users_code(error) or _spelt(kind, _first_line(reason))


def is_of_shape(error: BaseException) -> bool:
    """Tell whether a library that runs a network says that an input has the wrong sides or channels."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, NotImplementedError) or not frames or not _of_library(frames[-1].filename):
        return False
    kind, reason = _class_and_reason(error)
    expected = isinstance(error, RuntimeError | ValueError | AssertionError) or kind in ("ValueError", "AssertionError")
    return expected and _SHAPE.search(reason.lower()) is not None


def _class_and_reason(error: BaseException) -> tuple[str, str]:
    """An error's class and what it says, where it came out of TorchScript those of the error there."""
    reason = str(error).strip()
    inside = _TORCHSCRIPT.findall(reason) if "TorchScript interpreter" in reason else []
    return inside[-1] if inside else (type(error).__name__, reason)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _spelt(kind: str, reason: str) -> str:
    return f"{kind}: {' '.join(reason.split())}" if reason else kind


def of_library(error: BaseException) -> bool:
    """Tell whether code of this library raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and _PACKAGE in Path(frames[-1].filename).resolve().parents


def line(error: BaseException) -> str:
    """Return the first line of what an error says, its class where it says nothing."""
    return _first_line(str(error).strip()) or type(error).__name__


def _of_library(file: str) -> bool:
    if file.startswith("<"):  # of no file, such as Python's import
        return True
    above = Path(file).resolve().parents
    return any(folder in above for folder in _LIBRARIES)


def missing_package(error: BaseException, module: str) -> str | None:
    """Return the package that an import did not find, None where it is the module itself that is not there."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition(".")[0]
    return None if module == error.name or module.startswith(f"{error.name}.") or package in sys.modules else package

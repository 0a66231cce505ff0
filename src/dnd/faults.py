"""Whose fault an error is: that of code of the user's, whose place is then told, or that of a library's."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

import dnd

_LIBRARIES = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
_LIBRARIES |= {Path(dnd.__file__).resolve().parent}


def in_users_code(error: BaseException) -> str | None:
    """Return where code of the user's raised an error and why, None where a library did."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    if last is None or last.filename.startswith("<") or _of_library(last.filename):
        return None
    reason = " ".join(str(error).split())
    told = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return f"in {last.filename}, line {last.lineno}, {last.name}: {told}"


def of_library(error: BaseException) -> bool:
    """Tell whether code of this library raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(dnd.__file__).resolve().parent in Path(frames[-1].filename).resolve().parents


def line(error: BaseException) -> str:
    """Return the first line of what an error says, its class where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _of_library(file: str) -> bool:
    above = Path(file).resolve().parents
    return any(folder in above for folder in _LIBRARIES)


def missing_package(error: BaseException, module: str) -> str | None:
    """Return the package that an import did not find, None where it is the module itself that is not there."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition(".")[0]
    return None if module == error.name or module.startswith(f"{error.name}.") or package in sys.modules else package

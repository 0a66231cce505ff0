"""Which of the library's modules a script runs, read from their sources: importing them would take seconds."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
NEUTRAL = (
    *("config/*.py", "io/documents.py", "io/files.py", "io/rows.py", "io/schemas.py", "io/store.py", "io/tables.py"),
    *("io/text.py", "io/version.py", "run/job.py", "run/lock.py"),
)
"""Modules whose own code makes no result: settings reach a stage as parameters, files and tables keep what they hold.
A new key, column or log format for one stage must not run all of them again."""


def neutral() -> set[Path]:
    """Return the files of the modules whose own code makes no result."""
    return {path for pattern in NEUTRAL for path in PACKAGE.glob(pattern)}


@lru_cache
def _imports(path: Path) -> tuple[Path, ...]:
    """The library's modules that a file imports anywhere, in functions too."""
    imported: list[Path] = []
    for node in ast.walk(ast.parse(path.read_bytes(), path)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == PACKAGE.name:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            imported += [module for name in names if (module := _module(name) or _module(str(node.module)))]
        elif isinstance(node, ast.Import):
            imported += [module for alias in node.names if (module := _module(alias.name))]
    return tuple(imported)


def _module(name: str) -> Path | None:
    """The file of a dotted name in the library, None for anything else, the package itself included."""
    first, *rest = name.split(".")
    path = PACKAGE.joinpath(*rest).with_suffix(".py")
    return path if first == PACKAGE.name and rest and path.is_file() else None


def modules(script: Path) -> list[Path]:
    """Return the files of every library module that a script imports, directly or through others, sorted.

    The neutral ones are left out, and what only they import.
    """
    left_out = neutral()
    reached: set[Path] = set()
    waiting = [script]
    while waiting:
        for path in _imports(waiting.pop()):
            if path not in reached and path not in left_out:
                reached.add(path)
                waiting.append(path)
    return sorted(reached)


def digest(scripts: Iterable[Path], others: Iterable[Path] = ()) -> str:
    """Return a digest of scripts, of the library's code that they run, and of other files that belong to it.

    It goes by content alone: Snakemake hands scripts over as copies, so that not even the order of paths is the same on
    two machines.
    """
    scripts = list(scripts)
    files = {path for script in scripts for path in [script, *modules(script)]} | set(others)
    parts = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def located(module: str, folders: Iterable[str]) -> Path | None:
    """Return the file of a module by its dotted name, looked for as an import would, without importing anything."""
    parts = module.split(".")
    for folder in folders:
        for path in (Path(folder, *parts).with_suffix(".py"), Path(folder, *parts, "__init__.py")):
            if path.is_file():
                return path
    return None

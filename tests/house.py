"""How the library is built: its rooms and their levels, circles of imports, and the size of modules and functions.

``python tests/house.py`` prints the figures; ``tests/unit/test_house.py`` holds what must not grow.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "dnd"
LEVELS = (
    ("io",),
    ("config",),
    ("backends",),
    ("shapeworld", "probe", "target"),
    ("candidates", "selection"),
    ("rivals", "evaluation"),
    ("run",),
    ("report",),
    ("api",),
)
"""Rooms from the ground up. A module uses its own room and lower levels."""
NEIGHBOURS = {("probe", "shapeworld")}
"""Rooms on one level of which the first may use the second: a probe may be of renders."""
FACE = ("", "api")
"""The package itself imports its face for notebooks when it is asked for: the one arrow that runs up."""


@lru_cache
def modules() -> dict[str, Path]:
    """The library's modules by their dotted names below the package, which is the empty name itself."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@lru_cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), path)


def imports(module: str) -> set[str]:
    """The library's modules that one imports anywhere, in functions, too."""
    names: set[str] = set()
    for node in ast.walk(tree(modules()[module])):
        if isinstance(node, ast.ImportFrom) and node.module and f"{node.module}.".startswith("dnd."):
            for alias in node.names:
                name = f"{node.module}.{alias.name}".removeprefix("dnd").lstrip(".")
                names.add(name if name in modules() else node.module.removeprefix("dnd").lstrip("."))
        elif isinstance(node, ast.Import):
            called = (alias.name for alias in node.names)
            names |= {name.removeprefix("dnd").lstrip(".") for name in called if f"{name}.".startswith("dnd.")}
    return names & modules().keys()


def room(module: str) -> str:
    """The room of a module: its first folder, or its own name where it lies in none."""
    return module.partition(".")[0]


def level(module: str) -> int | None:
    """The level of a module's room from 1 up, None for the package itself and the command beside the rooms."""
    return next((number for number, rooms in enumerate(LEVELS, 1) if room(module) in rooms), None)


def against_the_levels() -> list[tuple[str, str]]:
    """Imports of a higher level or of a neighbour, each as the importing and the imported module."""
    wrong = []
    for module in modules():
        for other in imports(module):
            own, theirs = level(module), level(other)
            if own is None or room(module) == room(other) or (theirs is not None and theirs < own):
                continue
            if (room(module), room(other)) not in NEIGHBOURS:
                wrong.append((module, other))
    return wrong


def circle() -> list[str]:
    """Modules that import each other in a circle, the package's lazy import of its face left out; empty without one."""
    graph = {module: {other for other in imports(module) if (module, other) != FACE} for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def functions() -> Iterator[tuple[int, str]]:
    """Lines and place of every function, its docstring left out."""
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if ast.get_docstring(node) is not None:
                    lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
                yield lines, f"{module}.{node.name}"


def lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def main() -> None:
    """Print the figures."""
    sizes = sorted(((lines(path), module) for module, path in modules().items()), reverse=True)
    longest = sorted(functions(), reverse=True)
    everything = "\n".join(path.read_text(encoding="utf-8") for path in modules().values())
    untyped = len(re.findall(r"\bAny\b", everything))
    beside = list(PACKAGE.glob("*.py"))
    print(f"levels                     {len(LEVELS)}")
    print(f"imports against the levels {len(against_the_levels())}")
    print(f"circles                    {int(bool(circle()))}")
    print(f"modules beside the rooms   {len(beside)}")
    print(f"lines of the library       {sum(size for size, _ in sizes)}")
    print(f"lines of common.smk        {lines(ROOT / 'workflow/rules/common.smk')}")
    print(f"Any                        {untyped}")
    print(f"modules over 350 lines     {', '.join(f'{name} {size}' for size, name in sizes if size > 350) or 'none'}")
    print(f"functions over 60 lines    {', '.join(f'{name} {size}' for size, name in longest if size > 60) or 'none'}")


if __name__ == "__main__":
    main()

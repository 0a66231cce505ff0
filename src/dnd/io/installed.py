"""What installed packages have, read from their sources: importing them would import torch, which takes long.

Of a package that is not installed here, as on a head node, nothing is known, and jobs tell what is wrong.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import warnings
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

from dnd.io import documents

CLOSEST = 3
_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n|    .*\n|\).*\n)*def (\w+)", re.MULTILINE)


@lru_cache
def folder(package: str) -> Path | None:
    """Return the folder of a package, which is not imported; None where it is not installed."""
    spec = importlib.util.find_spec(package) if "." not in package else None
    return Path(spec.origin).parent if spec and spec.origin else None


@lru_cache
def _sources(package: str, below: str) -> dict[Path, str]:
    """The text of each Python file in a folder of a package."""
    place = folder(package)
    paths = sorted((place / below).rglob("*.py")) if place else []
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in paths}


def unknown_network(package: str, name: str) -> str | None:
    """Return why torchvision or timm has no network of a name, None where it may have it."""
    texts = _sources(package, "models").values()
    wanted = re.compile(rf"def {re.escape(name)}\(|(['\"]){re.escape(name)}\1")
    if not texts or any(wanted.search(text) for text in texts):
        return None
    known = [network for text in texts for network in _REGISTERED.findall(text)]
    return f"{package} has no model {name!r}{closest(name, known)}"


def unknown_weights(network: str, weights: str) -> str | None:
    """Return why torchvision has no weights of a name for a network, None where it may have them."""
    for text in _sources("torchvision", "models").values():
        built = re.search(rf"^def {re.escape(network)}\(.*?(\w+_Weights)\b", text, re.MULTILINE | re.DOTALL)
        listed = built and re.search(rf"^class {built[1]}\(.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        if listed:
            known = re.findall(r"^    (\w+) = ", listed[0], re.MULTILINE)
            if weights not in known:
                return f"{network} has no weights {weights!r}; torchvision has {sorted(known)}"
    return None


def unknown_scheduler(name: str) -> str | None:
    """Return why diffusers has no scheduler of a name, None where it may have it."""
    place = folder("diffusers")
    if place is None:
        return None
    text = (place / "__init__.py").read_text(encoding="utf-8", errors="replace")
    known = [
        scheduler
        for scheduler in dict.fromkeys(re.findall(r'"(\w+Scheduler)"', text))
        if not scheduler.startswith("Flax")
    ]
    return None if name in known or not known else f"diffusers has no scheduler {name!r}{closest(name, known)}"


def parameters_of_pipeline(name: str) -> list[str]:
    """Return the parameters that a pipeline of diffusers is called with; none where it is not one of them."""
    for text in _sources("diffusers", "pipelines").values():
        if f"\nclass {name}(" not in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                calls = [
                    function
                    for function in node.body
                    if isinstance(function, ast.FunctionDef) and function.name == "__call__"
                ]
                return [parameter.arg for call in calls for parameter in (*call.args.args[1:], *call.args.kwonlyargs)]
    return []


def closest(name: str, known: Collection[str]) -> str:
    """Return what is said of the names that are closest to a name; nothing where none is known."""
    names = difflib.get_close_matches(name, dict.fromkeys(known), CLOSEST, cutoff=0)
    return f"; the closest names are {', '.join(names)}" if names else ""


def missing_function(file: Path, function: str) -> str | None:
    """Return why a file of Python has no function (or method, ``Class.method``) of a name, None where it may have it.

    Raises
    ------
    DocumentError
        It is no text, or no Python.
    """
    text = documents.read_text(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the user's strings hold
            tree = ast.parse(text)
    except SyntaxError as error:
        raise documents.DocumentError(f"{file}, line {error.lineno}: no Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise documents.DocumentError(f"{file}: no Python: {error}") from None
    names = set(_defined(tree))
    first = function.partition(".")[0]
    return None if first in names or "*" in names else f"{file} defines no {first!r}"


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines, wherever in it; ``*`` where it may define any."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield "*" if node.name == "__getattr__" else node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Name) and node.id in ("globals", "exec", "setattr"):
            yield "*"

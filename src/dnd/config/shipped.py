"""Files that come with the library: prompts, fitted weights, the embedded world's configuration and models.

In a checkout they lie in ``config/`` and ``resources/``. The package carries both (``dnd/files/``), so that what a
configuration names below them is found from any folder: by another workflow, that imports this one as a module, and by
a notebook. A file of the user's own in the working directory goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FILES = Path(__file__).parents[1] / "files"
FOLDERS = ("config", "resources")


def path(name: str | Path) -> Path:
    """Return where a file or folder lies, such as ``config/prompts/concept.yaml``.

    Settings keep the names of default files, so that stages' parameters do not depend on where the package lies;
    whoever reads a file asks here.

    Returns
    -------
    The path itself where it leads somewhere, and where nothing of that name is shipped; else the package's copy.
    """
    asked = Path(name)
    if asked.parts[:1] and asked.parts[0] in FOLDERS and not asked.exists() and (FILES / asked).exists():
        return (FILES / asked).resolve()
    return asked


def vllm_python() -> str:
    """Return the interpreter of the language model's environment: here, or in the checkout that has this package."""
    python = Path(".venv-vllm/bin/python")
    checkout = Path(__file__).parents[3] / python
    return str(checkout if checkout.exists() and not python.exists() else python)


def resolved(values: Mapping[str, object]) -> dict[str, object]:
    """Return a configuration's values with the path of the package's copy for each text that names a shipped file."""
    return {key: _resolved(value) for key, value in values.items()}


def _resolved(value: object) -> object:
    if isinstance(value, Mapping):
        return resolved(value)
    if isinstance(value, list):
        return [_resolved(item) for item in value]
    if isinstance(value, str) and value.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
        return str(path(value))
    return value

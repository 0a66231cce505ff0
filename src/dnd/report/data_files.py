"""How data reach the site: each file a classic script that hands JSON to the page, since a page on disk may fetch none.

Texts in them come from models and users. The files are pure ASCII, and hold no character that HTML could misread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from dnd.io.files import unsynced

DIGITS = 4
"""Significant digits of numbers."""
ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


def encode(value: Any) -> str:
    """Return a value as JSON of ASCII characters without ``<``, ``>`` and ``&``; what is not finite is null."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).translate(ESCAPES)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def write(folder: Path, key: str, value: Any, place: str | None = None) -> None:
    """Write ``dnd.put(key, value)`` in one step.

    Parameters
    ----------
    key : what the page asks for: the file's path in the site, without its suffix.
    place : the path in ``folder``, where that is not the site's own.
    """
    with unsynced(folder / f"{place or key}.js") as partial:
        partial.write_text(f"dnd.put({encode(key)},{encode(value)});\n", encoding="ascii")


def read(path: Path) -> Any:
    """Return the value of such a file."""
    text = path.read_text(encoding="ascii")
    return json.loads(f"[{text.removeprefix('dnd.put(').rstrip().removesuffix(');')}]")[1]


def numbered(values: Iterable[str | None]) -> tuple[list[str], list[int]]:
    """Return the distinct texts, sorted, and for each value the place of its text, -1 for None."""
    values = list(values)
    texts = sorted({value for value in values if value is not None})
    places = {text: place for place, text in enumerate(texts)}
    return texts, [-1 if value is None else places[value] for value in values]


class TextIndex:
    """Which rows hold which text; rows come in ascending order."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}

    def add(self, row: int, texts: Iterable[str | None]) -> None:
        """Note the texts of a row."""
        for text in dict.fromkeys(texts):
            if text:
                self._rows.setdefault(text, []).append(row)

    @property
    def columns(self) -> dict[str, Sequence[Any]]:
        """Distinct ``texts`` in order of appearance, and their ``rows``, the first as it is, then differences."""
        rows = [[own[0], *(b - a for a, b in pairwise(own))] for own in self._rows.values()]
        return {"texts": list(self._rows), "rows": rows}

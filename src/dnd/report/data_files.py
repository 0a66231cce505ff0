"""How data reach the site: each file a classic script that hands JSON to the page, since a page on disk may fetch none.

Texts in them come from models and users. The files are pure ASCII, and hold no character that HTML could misread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel

from dnd.io.files import unsynced

DIGITS = 4
"""Significant digits of numbers."""
ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


class Index(BaseModel):
    """What the site knows of a layer before a unit is opened: facts of the layer, and columns of its units.

    Attributes
    ----------
    label, abstained, kind : places in ``labels``, ``reasons`` and ``kinds``, -1 for none.
    explains_low, explains_high : ends of the 95 % interval of ``explains``.
    unsaid : the best candidate of a unit that has one and of which nothing is said.
    truth : the known answers; None where the model has none.
    importance : None where nobody asked for it.
    polysemantic : 1 for a unit of several facets, else 0.
    span : smallest and largest activation of the layer.
    thumbs : how to find a unit's thumbnails.
    """

    name: str
    layer: str
    slug: str
    model: str
    probe: str
    recipe: str
    method: str
    unit: list[int]
    labels: list[str]
    label: list[int]
    reasons: list[str]
    abstained: list[int]
    confidence: list[float | None]
    explains: list[float | None]
    explains_low: list[float | None]
    explains_high: list[float | None]
    bimodality: list[float | None]
    unsaid: list[str | None]
    score: list[float | None]
    kinds: list[str]
    kind: list[int]
    truth: list[str | None] | None
    importance: list[float | None] | None
    facets: list[int]
    polysemantic: list[int]
    span: tuple[float, float] | None
    thumbs: dict[str, int | list[int]]
    units_per_block: int
    origin: list[tuple[str, str | None]]
    settings: list[tuple[str, str]]
    contact_sheet: bool


def encode(value: object) -> str:
    """Return a value as JSON of ASCII characters without ``<``, ``>`` and ``&``; what is not finite is null."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).translate(ESCAPES)


def _plain(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def write(folder: Path, key: str, value: object, place: str | None = None) -> None:
    """Write ``dnd.put(key, value)`` in one step.

    Parameters
    ----------
    key : what the page asks for: the file's path in the site, without its suffix.
    place : the path in ``folder``, where that is not the site's own.
    """
    with unsynced(folder / f"{place or key}.js") as partial:
        partial.write_text(f"dnd.put({encode(key)},{encode(value)});\n", encoding="ascii")


def read(path: Path) -> object:
    """Return the value of such a file."""
    text = path.read_text(encoding="ascii")
    _, value = json.loads(f"[{text.removeprefix('dnd.put(').rstrip().removesuffix(');')}]")
    return value


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
    def columns(self) -> dict[str, object]:
        """Distinct ``texts`` in order of appearance, and their ``rows``, the first as it is, then differences."""
        rows = [[rows[0], *(b - a for a, b in pairwise(rows))] for rows in self._rows.values()]
        return {"texts": list(self._rows), "rows": rows}

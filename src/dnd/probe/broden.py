"""Broden's published layout: images with pixel labels of colours, objects, parts, materials, scenes and textures.

Rules import it for the index: what is heavy is imported where maps are read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

DETAILS = ("image", "split", "ih", "iw", "sh", "sw")
"""Columns of index.csv that are no categories."""


class _Indexed(NamedTuple):
    """A row of index.csv: its line, and its cell for each category."""

    line: int
    cells: dict[str, str]


class Broden:
    """A folder with ``index.csv``, ``label.csv`` and ``images``.

    Source: Bau et al., CVPR 2017; read as the released ``SegmentationData`` does. A pixel's label is red + 256 x green
    of its map, 0 for none; a category may have several maps, and numbers for labels of the whole image.

    Parameters
    ----------
    categories : that count; all of them when empty.

    Raises
    ------
    ValueError
        A file is missing or has another form; the message names it and the line.
    """

    def __init__(self, folder: Path, categories: Sequence[str] = ()) -> None:
        self.folder = folder
        self._wanted = tuple(categories)

    def check(self) -> None:
        """Read both tables, but no map, for what is wrong in them."""
        assert self.names is not None and self._index is not None

    @cached_property
    def names(self) -> dict[int, str]:
        """Number -> name of every label, without the suffixes of scenes and colours (``-s``, ``-c``)."""
        path = self.folder / "label.csv"
        names = {}
        for line, row in _rows(path, ("number", "name")):
            if not re.fullmatch("[0-9]{1,9}", row["number"] or ""):
                raise ValueError(f"{path}, line {line}: `number` is {row['number']!r}, expected digits")
            names[int(row["number"] or "")] = re.sub(r"-[sc]$", "", (row["name"] or "").strip())
        return names

    @cached_property
    def _index(self) -> dict[str, _Indexed]:
        path = self.folder / "index.csv"
        index = {}
        for line, row in _rows(path, ("image",)):
            cells = {key: value or "" for key, value in row.items() if key is not None and key not in DETAILS}
            unknown = [category for category in self._wanted if category not in cells]
            if unknown:
                raise ValueError(f"{path}: no category {unknown[0]!r}, but {sorted(cells)}")
            wanted = self._wanted or cells
            image = PurePosixPath(row["image"] or "")
            if not image.parts or not _stays_inside(image):
                raise ValueError(f"{path}, line {line}: `image` is {row['image']!r}, expected a path inside the folder")
            index[image.as_posix()] = _Indexed(line, {category: cells[category] for category in wanted})
        return index

    @property
    def images(self) -> Collection[str]:
        """The images that index.csv lists, as paths inside ``images``; the maps lie beside them, PNG files as well."""
        return self._index.keys()

    def annotations(self, image_id: str, size: tuple[int, int]) -> Iterator[tuple[str, str, Mask | None]]:
        """Yield category, concept and mask bool [height, width] of an image; None holds everywhere.

        Nothing is known of images that the index does not list.

        Parameters
        ----------
        image_id : path inside ``images``, or inside the folder.
        size : width and height of the image; maps of another size are brought to it, nearest pixel.
        """
        import numpy as np

        row = self._index.get(image_id) or self._index.get(image_id.removeprefix("images/"))
        for category, cell in row.cells.items() if row else ():
            for part in filter(None, map(str.strip, cell.split(";"))):
                where = f"{self.folder / 'index.csv'}, line {row.line if row else 0}, {category}"
                if re.fullmatch("[0-9]{1,9}", part):
                    if int(part):
                        yield category, self._name(int(part), where), None
                    continue
                labels = self._map(part, size, where)
                for number in np.unique(labels[labels > 0]):
                    yield category, self._name(int(number), where), labels == number

    def _name(self, number: int, where: str) -> str:
        if not self.names.get(number):
            raise ValueError(f"{where}: label {number} has no name in {self.folder / 'label.csv'}")
        return self.names[number]

    def _map(self, part: str, size: tuple[int, int], where: str) -> npt.NDArray[np.int32]:
        """The label of each pixel, int32 [height, width]."""
        import numpy as np
        from PIL import Image

        path = self.folder / "images" / part
        if not _stays_inside(PurePosixPath(part)):
            raise ValueError(f"{where}: {part!r} leads out of the folder")
        try:
            with Image.open(path, formats=["PNG"]) as image:
                pixels = np.asarray(image.convert("RGB"), np.int32)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{where}: {path} is no readable map: {error}") from None
        labels = Image.fromarray(pixels[..., 0] + 256 * pixels[..., 1])
        return np.asarray(labels.resize(size, Image.Resampling.NEAREST))


def _stays_inside(path: PurePosixPath) -> bool:
    """Tell whether what a table names lies in the folder: no other files are read, whoever wrote the table."""
    return not path.is_absolute() and ".." not in path.parts


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str | None, str | None]]]:
    """Line and row of a CSV file that has some columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            for column in needed:
                if column not in (table.fieldnames or []):
                    raise ValueError(f"{path}: no column {column!r}, but {list(table.fieldnames or [])}")
            for row in table:
                yield table.line_num, row
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no table of text: {error}") from None

"""The tables of a data set in Broden's layout. Rules import it: nothing heavy is needed to read them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any


def images(folder: Path) -> set[str]:
    """Return the images that ``index.csv`` lists, as paths inside the data set's folder ``images``.

    Beside them lie the maps of their segmentations, PNG files, too.

    Raises
    ------
    ValueError
        There is no such table; the message names it.
    """
    return {PurePosixPath(row["image"] or "").as_posix() for _, row in rows(folder / "index.csv", ("image",))}


def rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line and row of a CSV file that has some columns.

    Raises
    ------
    ValueError
        It is no such file; the message names it.
    """
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

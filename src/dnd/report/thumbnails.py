"""Small copies of a layer's pictures: of probe images all at once on disk, of generated images when they are needed."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from dnd.io import pictures, tables
from dnd.report.sprites import cell

Pixels = npt.NDArray[np.uint8]
Place = tuple[Path, int]
"""A row group: its file and its number there."""


class Drawing(NamedTuple):
    """A generated image; one with a problem is not shown."""

    concept: str
    sample: int
    image: bytes
    problem: str | None


@dataclass(frozen=True)
class Thumbnails:
    """Probe images as square cells, in files that processes share: those of a large probe do not fit the memory.

    Attributes
    ----------
    folder : where the files are: ids of the images, sorted, their cells, and the originals' widths and heights.
    side : of a cell in pixels.
    """

    folder: Path
    side: int

    def _open(self, kind: str, mode: Literal["r", "r+"] = "r") -> npt.NDArray[np.generic]:
        return np.load(self.folder / f"{kind}.npy", mmap_mode=mode)

    def _make(self, names: Sequence[str]) -> None:
        np.save(self.folder / "names.npy", np.array(names))
        for kind, dtype, shape in (("cells", np.uint8, (self.side, self.side, 3)), ("sizes", np.int32, (2,))):
            path = self.folder / f"{kind}.npy"
            np.lib.format.open_memmap(path, "w+", dtype, (len(names), *shape))
            with path.open("r+b") as file:  # a process that finds no room behind its memory later dies without a word
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)

    def fill(self, shard: Path) -> None:
        """Add the images of a probe shard."""
        cells, sizes = self._open("cells", "r+"), self._open("sizes", "r+")
        places = {name: place for place, name in enumerate(self._open("names").tolist())}
        for row in pictures.rows([shard], set(places), ["image_id", "image"]):
            image = pictures.decode(row["image"])
            place = places[row["image_id"]]
            cells[place], sizes[place] = np.asarray(cell(image, self.side)), image.size

    def of(self, names: Collection[str]) -> Mapping[str, tuple[Pixels, tuple[int, int]]]:
        """Return image id -> its cell and the original's width and height.

        Raises
        ------
        ValueError
            The probe has no such image.
        """
        if not names:
            return {}
        cells, sizes = self._open("cells"), self._open("sizes")
        wanted = sorted(names)
        images = {}
        for name, place in zip(wanted, np.searchsorted(self._open("names"), wanted), strict=True):
            width, height = sizes[place].tolist()
            if not width:
                raise ValueError(f"the probe has no image {name!r}, which is an exemplar")
            images[name] = cells[place], (width, height)
        return images


def thumbnails(folder: Path, names: Collection[str], shards: Sequence[Path], side: int, pool: Executor) -> Thumbnails:
    """Make the thumbnails of images, reading each shard of their probe once."""
    made = Thumbnails(folder, side)
    if names:
        made._make(sorted(names))
        list(pool.map(made.fill, shards))
    return made


def drawings(files: Sequence[Path]) -> dict[str, list[Place]]:
    """Return concept -> the row groups that hold its generated images; no picture is read."""
    places: dict[str, list[Place]] = {}
    for path in files:
        with tables.opened(path) as file:
            for group in range(file.num_row_groups):
                for concept in pc.unique(file.read_row_group(group, columns=["concept"])["concept"]).to_pylist():
                    places.setdefault(concept, []).append((path, group))
    return places


def drawn(places: Collection[Place], wanted: Collection[str]) -> dict[str, dict[int, bytes]]:
    """Return concept -> sample -> image of its usable images, which the scores' activations belong to."""
    images: dict[str, dict[int, bytes]] = {}
    for path, group in sorted(places):
        with tables.opened(path) as file:
            rows = tables.rows_of(file.read_row_group(group, columns=list(Drawing._fields)), Drawing)
        for row in rows:
            if row.problem is None and row.concept in wanted:  # unit shards may share some
                images.setdefault(row.concept, {})[row.sample] = row.image
    return {concept: dict(sorted(samples.items())) for concept, samples in images.items()}

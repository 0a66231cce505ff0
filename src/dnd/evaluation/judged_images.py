"""Images that labels are judged by: held-out ones as network and embedder see them, and pictures of the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from dnd.backends.batches import BatchSize, prepared
from dnd.config.evaluation import EvaluationSettings
from dnd.io import pictures, tables
from dnd.io.store import key
from dnd.io.streams import ahead, chunks
from dnd.selection import drawn
from dnd.shapeworld import world
from dnd.shapeworld.grammar import parse
from dnd.shapeworld.render import render
from dnd.target.network import Target, responses

BATCH = 32
LABELS = 32
"""Labels whose pictures are in memory at once."""
CHUNK = 256
"""Images that are looked at together; as many again are decoded ahead."""
EXEMPLARS = 10
"""Held-out images that excite a unit most, by which its clarity is told and its label explained."""
RENDERS = 7
"""Stream of exact renders of labels."""

Activations = npt.NDArray[np.float32]
"""[images, units]."""
UnitVectors = npt.NDArray[np.float32]
"""[images or texts, d]."""
Embed = Callable[[Sequence[Image.Image]], UnitVectors]
LabelPictures = tuple[str, list[Image.Image]]
"""A label and its pictures."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out images as the network and the embedder see them.

    Attributes
    ----------
    names : image ids.
    """

    activations: Activations
    vectors: UnitVectors
    names: Sequence[str] = ()

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """Which units [units] vary over the images: nothing can be said of others."""
        return np.ptp(self.activations, axis=0) > 0

    def best(self, unit: int) -> npt.NDArray[np.intp]:
        """Return the positions of the images that excite a unit most; ties by position."""
        return np.argsort(-self.activations[:, unit], kind="stable")[:EXEMPLARS]


def held_out(target: Target, layer: str, embed: Embed, shards: Sequence[Path], pooling: str) -> HeldOut:
    """Look at every held-out image once."""
    rows, size = pictures.rows(shards, columns=["image_id", "image"]), BatchSize(BATCH, "judgements")
    activations, vectors, names = [], [], list[str]()
    with tqdm(total=tables.count(list(shards)), desc="held-out images", unit="image", mininterval=5) as bar:
        decoded = prepared(lambda row: (row["image_id"], pictures.decode(row["image"])), rows, BATCH)
        for part in ahead(chunks(decoded, CHUNK)):
            pixels = [image for _, image in part]
            activations.append(responses(target, layer, pixels, pooling, size))
            vectors.append(embed(pixels))
            names += [name for name, _ in part]
            bar.update(len(pixels))
    return HeldOut(np.concatenate(activations), np.concatenate(vectors), names)


def label_pictures(
    labels: Sequence[str], settings: EvaluationSettings, files: Sequence[Path]
) -> Iterable[LabelPictures] | None:
    """Return each label with its pictures: renders, or those of IMAGES files; None where labels are not drawn."""
    if settings.renderer is not None:
        return renders(labels, settings.images)
    return drawn.usable(files, labels) if settings.generator is not None else None


def renders(labels: Iterable[str], count: int) -> Iterable[LabelPictures]:
    """Yield each label with exact renders of scenes that it denotes; none of a label outside the grammar."""
    for label in labels:
        meaning = parse(label)
        scenes = np.argwhere(np.zeros(1, bool) if meaning is None else meaning)
        images = []
        for number in range(count if len(scenes) else 0):
            rng = np.random.default_rng([RENDERS, number, int(key("render", label)[:8], 16)])
            scene = world.scene_at(int(i) for i in scenes[int(rng.integers(len(scenes)))])
            images.append(Image.fromarray(render(scene, rng)[0]))
        yield label, images


def excited(target: Target, layer: str, labelled: Iterable[LabelPictures], pooling: str) -> dict[str, Activations]:
    """Return label -> activations of its pictures, of labels that have any.

    Pictures of several labels fill the batches, since one that is not full takes as long.
    """
    size, activations = BatchSize(BATCH, "judgements"), dict[str, Activations]()
    for part in chunks(labelled, LABELS):
        owners = np.array([label for label, images in part for _ in images])
        pixels = [image for _, images in part for image in images]
        if pixels:
            values = responses(target, layer, pixels, pooling, size)
            activations |= {label: values[owners == label] for label, images in part if images}
    return activations

"""Renders kept in memory for training; each purpose draws from a stream of its own, so that no image is shared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dnd.shapeworld.render import draw
from dnd.shapeworld.world import Scene, scene_at

STREAMS = {"train": 1, "held_out": 2, "evaluation": 3, "demo": 4}
"""Purpose -> seed of :func:`dnd.shapeworld.render.draw`."""


@dataclass(frozen=True)
class Pool:
    """Images uint8 [n, 64, 64, 3], masks bool [n, 64, 64] and attribute indices int64 [n, 4]."""

    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64]

    def scene(self, i: int) -> Scene:
        """Return the scene of image ``i``."""
        return scene_at(self.labels[i])


def pool(purpose: str, count: int, cache: Path) -> Pool:
    """Render ``count`` images of a purpose, or read them from the cache folder."""
    path = cache / f"pool-{purpose}-{count}.npz"
    if not path.exists():
        drawn = [draw(STREAMS[purpose], i) for i in tqdm(range(count), f"rendering {purpose}", mininterval=10)]
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            images=np.stack([image for _, image, _ in drawn]),
            masks=np.stack([mask for _, _, mask in drawn]),
            labels=np.array([scene.index for scene, _, _ in drawn]),
        )
    with np.load(path) as file:
        return Pool(file["images"], file["masks"], file["labels"])

"""Render a scene to 64x64 RGB and its object mask; every image is a function of (scene, seed) alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from dnd.io.files import sync_tree
from dnd.shapeworld.world import Scene, sample_scene

SIZE = 64
PALETTE = {
    "red": (225, 35, 40),
    "orange": (250, 135, 20),
    "yellow": (245, 225, 40),
    "green": (40, 190, 70),
    "blue": (45, 85, 235),
    "purple": (160, 50, 205),
}
INK = np.array((25, 20, 30), np.float32)  # outlines, stripes and dots

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def _polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Signed distance to a polygon, negative inside (I. Quilez, "2D distance functions", sdPolygon)."""
    distance = np.full_like(x, np.inf)
    sign = np.ones_like(x)
    for a, b in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        ex, ey = b - a
        wx, wy = x - a[0], y - a[1]
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        up, down, left = y >= a[1], y < b[1], ex * wy > ey * wx
        sign = np.where((up & down & left) | (~up & ~down & ~left), -sign, sign)
    return sign * np.sqrt(distance)


def _star(points: int, outer: float, inner: float) -> np.ndarray:
    angles = np.arange(2 * points) * np.pi / points - np.pi / 2
    radii = np.where(np.arange(2 * points) % 2 == 0, outer, inner)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).astype(np.float32)


def _box(x: np.ndarray, y: np.ndarray, half_x: float, half_y: float) -> np.ndarray:
    dx, dy = np.abs(x) - half_x, np.abs(y) - half_y
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _shape_distance(shape: str, x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    """Signed distance in pixels to a shape of radius ``r`` about the origin, negative inside."""
    match shape:
        case "circle":
            return np.hypot(x, y) - r
        case "ring":
            return np.abs(np.hypot(x, y) - 0.70 * r) - 0.31 * r
        case "square":
            return _box(x, y, 0.82 * r, 0.82 * r)
        case "cross":
            return np.minimum(_box(x, y, r, 0.42 * r), _box(x, y, 0.42 * r, r))
        case "triangle":
            corners = np.array([(0, -1.05), (1.0, 0.75), (-1.0, 0.75)], np.float32) * r
            return _polygon(x, y, corners)
        case "star":
            return _polygon(x, y, _star(5, 1.15 * r, 0.58 * r))
    raise ValueError(f"unknown shape {shape!r}")


def _background(name: str, rng: np.random.Generator) -> np.ndarray:
    """A 64x64x3 float background; details are coarse enough to survive a 4x latent compression."""
    noise = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    shift = rng.uniform(0, SIZE, 2)
    match name:
        case "grass":
            blades = gaussian_filter(noise, (5, 1.2)) * 4
            return np.array((88, 130, 62), np.float32) + blades[..., None] * np.array((16, 24, 10))
        case "sand":
            grain = gaussian_filter(noise, 1.5) * 5
            return np.array((216, 190, 140), np.float32) + grain[..., None] * np.array((9, 10, 10))
        case "water":
            wave = np.sin((_Y + shift[0] + 1.5 * np.sin((_X + shift[1]) / 7)) * 2 * np.pi / 10)
            return np.array((95, 175, 205), np.float32) + wave[..., None] * np.array((26, 22, 16))
        case "snow":
            drift = gaussian_filter(noise, 6) * 20
            return np.array((236, 240, 246), np.float32) + drift[..., None] * np.array((7, 6, 4))
        case "brick":
            row = np.floor((_Y + shift[0]) / 10)
            along = (_X + shift[1] + 10 * (row % 2)) % 20
            mortar = (((_Y + shift[0]) % 10) < 2) | (along < 2)
            wall = np.array((158, 82, 64), np.float32) + gaussian_filter(noise, 2)[..., None] * 30
            return np.where(mortar[..., None], np.array((205, 196, 186), np.float32), wall)
    raise ValueError(f"unknown background {name!r}")


def _ink(texture: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Coverage in [0, 1] of the dark pattern in object coordinates."""
    phase = rng.uniform(0, 12, 2)
    match texture:
        case "plain":
            return np.zeros_like(x)
        case "striped":  # period 9 px, four of them dark
            return np.clip(0.5 + (2.0 - np.abs((y + phase[0]) % 9 - 4.5)), 0, 1)
        case "dotted":  # offset rows 9 px apart, dots every 11 px, radius 2.8 px
            row = np.floor((y + phase[0]) / 9)
            dx = (x + phase[1] + 5.5 * (row % 2)) % 11 - 5.5
            dy = (y + phase[0]) % 9 - 4.5
            return np.clip(0.5 + (2.8 - np.hypot(dx, dy)), 0, 1)
    raise ValueError(f"unknown texture {texture!r}")


def render(scene: Scene, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Draw one scene.

    Parameters
    ----------
    scene : what to draw.
    rng : source of everything the scene leaves open (place, size, tilt, light, noise).

    Returns
    -------
    image : uint8 array [64, 64, 3]
    mask : bool array [64, 64], true on the object.
    """
    radius = rng.uniform(21, 24.5)
    centre = (SIZE - 1) / 2 + rng.uniform(-2.5, 2.5, 2)
    tilt = rng.uniform(-0.12, 0.12)
    x = (_X - centre[0]) * np.cos(tilt) + (_Y - centre[1]) * np.sin(tilt)
    y = (_Y - centre[1]) * np.cos(tilt) - (_X - centre[0]) * np.sin(tilt)
    distance = _shape_distance(scene.shape, x, y, radius)

    canvas = _background(scene.background, rng)
    colour = np.array(PALETTE[scene.colour], np.float32) + rng.uniform(-10, 10, 3)
    ink = _ink(scene.texture, x, y, rng)[..., None]
    body = colour * (1 - ink) + INK * ink
    outline = np.clip(0.5 + distance + 2.0, 0, 1)[..., None]  # the outermost two pixels
    body = body * (1 - outline) + INK * outline
    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    canvas = canvas * (1 - cover) + body * cover

    light = rng.uniform(0.92, 1.06) + rng.uniform(-0.06, 0.06) * (_X / SIZE - 0.5)
    canvas = canvas * light[..., None] + 2.0 * rng.standard_normal((SIZE, SIZE, 1))
    return np.clip(canvas, 0, 255).astype(np.uint8), distance < 0


def scene_of(seed: int, index: int) -> Scene:
    """Return the scene of image number ``index`` of the stream ``seed``, without drawing it: see :func:`draw`."""
    return sample_scene(np.random.default_rng([seed, index]))


def numbered(image: str, streams: Mapping[str, int]) -> tuple[int, int]:
    """Return the stream and the number of a render, given its image id.

    Parameters
    ----------
    streams : beginning of image ids -> the stream of renders that the images are of.

    Raises
    ------
    ValueError
        The image is no render.
    """
    for beginning, stream in streams.items():
        if number := re.fullmatch(re.escape(beginning) + r"(\d+)\.png", image):
            return stream, int(number[1])
    raise ValueError(f"image {image!r} is no render of the shape world, whose scene would be known")


def draw(seed: int, index: int) -> tuple[Scene, Image, Mask]:
    """Return scene, image and mask number ``index`` of the stream ``seed``; streams of different seeds are disjoint."""
    rng = np.random.default_rng([seed, index])
    scene = sample_scene(rng)
    return (scene, *render(scene, rng))


def write_folder(folder: Path, seed: int, count: int) -> None:
    """Write renders 0 to count - 1 of a stream as PNG files named by their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in tqdm(range(count), "renders", unit="image", mininterval=5):
        Picture.fromarray(draw(seed, i)[1]).save(folder / f"{i:06d}.png")
    sync_tree(folder)

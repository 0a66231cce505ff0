"""Images that a notebook holds, written to a folder as a probe: of Pillow, arrays, tensors, bytes or paths."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from dnd.config.targets import ProbeSettings
from dnd.io import pictures
from dnd.io.files import unsynced

CHANNELS = (1, 3, 4)
EXPECTED = (
    "expected an image of Pillow, the path or the bytes of an image file, an array [height, width] or "
    "[height, width, channels], or a tensor [channels, height, width], of 1, 3 or 4 channels"
)
TABLE = "images.csv"


def write(images: Iterable[object], folder: Path) -> ProbeSettings:
    """Write images to a folder as numbered PNG files, and return the probe of these, whatever else lies there.

    Raises
    ------
    ValueError
        There are none, or one of them is no image; the message tells its place among them.
    """
    if isinstance(images, np.ndarray | torch.Tensor) and images.ndim != 4:
        raise ValueError(f"images: an array of shape {tuple(images.shape)} is not several images; put them into a list")
    if isinstance(images, Image.Image | bytes):
        raise ValueError("images: a single image; put it into a list")
    folder.mkdir(exist_ok=True)
    names = []
    for number, image in enumerate(images):
        names.append(f"{number:06d}.png")
        with unsynced(folder / names[-1]) as path:
            _picture(image, f"images[{number}]").save(path, "PNG")
    if not names:
        raise ValueError("images: there are none")
    with unsynced(folder / TABLE) as path, path.open("w", newline="") as file:
        csv.writer(file).writerows([["path"], *([name] for name in names)])
    return ProbeSettings(source="manifest", path=folder / TABLE)


def _picture(image: object, where: str) -> Image.Image:
    try:
        if isinstance(image, str | Path):
            return pictures.decode(Path(image).read_bytes())
        if isinstance(image, bytes):
            return pictures.decode(image)
        if isinstance(image, torch.Tensor):
            return _of_tensor(image)
        if isinstance(image, np.ndarray):
            return _of_array(image)
        if isinstance(image, Image.Image):
            return pictures.rgb(image)
    except (OSError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
    raise ValueError(f"{where}: {type(image).__name__} is no image; {EXPECTED}")


def _of_tensor(tensor: torch.Tensor) -> Image.Image:
    if tensor.ndim == 3 and tensor.shape[0] not in CHANNELS:
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)}; {EXPECTED}")
    last = tensor.detach().cpu().movedim(0, -1) if tensor.ndim == 3 else tensor.detach().cpu()
    return _of_array((last.float() if last.is_floating_point() else last).numpy())


def _of_array(array: npt.NDArray[np.number]) -> Image.Image:
    """The RGB image of bytes, or of brightness in [0, 1], [height, width] or [height, width, channels]."""
    if not array.size or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        raise ValueError(f"an array of shape {array.shape}; {EXPECTED}")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(f"values from {array.min():.4g} to {array.max():.4g}, expected 0 to 1, not yet normalised")
        array = np.rint(array * 255.0).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ValueError(f"values of type {array.dtype}, expected uint8, or floats from 0 to 1")
    return pictures.rgb(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array))

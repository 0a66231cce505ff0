"""Target networks: load one, name its layers, capture their outputs, and map pixels to its input and back."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import dnd.torchvision_ops  # noqa: F401  before anything of torchvision
from dnd import hub
from dnd.batches import BatchSize, in_batches
from dnd.settings import TargetSettings

R = TypeVar("R")

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; the right and lower edges are exclusive."""


@dataclass(frozen=True)
class Preprocess:
    """Resize the shorter side, cut the centre, normalise: what classification networks are published with.

    Attributes
    ----------
    resize : length of the shorter side in pixels.
    crop : side of the square input in pixels.
    mean, std : per channel, for values in [0, 1].
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def image(self, image: Image.Image) -> Tensor:
        """Return the network's input float [3, crop, crop] of a whole image."""
        scale = self.resize / min(image.size)
        size = [max(self.crop, round(side * scale)) for side in image.size]
        left, top = ((side - self.crop) // 2 for side in size)
        resized = image.resize(size, Image.Resampling.BILINEAR) if tuple(size) != image.size else image
        return self._normalise(resized.crop((left, top, left + self.crop, top + self.crop)))

    def cutout(self, image: Image.Image, box: Box) -> Tensor:
        """Return the input of a part of an image, stretched to the square as the released driver does."""
        # cut first: resize(box=...) lets pixels from outside the box bleed in
        return self._normalise(image.crop(box).resize((self.crop, self.crop), Image.Resampling.BILINEAR))

    def frame(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of an image that :meth:`image` shows the network, in original pixels x0, y0, x1, y1."""
        scale = self.resize / min(width, height)
        size = [max(self.crop, round(side * scale)) for side in (width, height)]
        left, top = ((side - self.crop) // 2 for side in size)
        across, down = width / size[0], height / size[1]
        return left * across, top * down, (left + self.crop) * across, (top + self.crop) * down

    def _normalise(self, image: Image.Image) -> Tensor:
        values = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() / 255
        return (values - torch.tensor(self.mean).view(3, 1, 1)) / torch.tensor(self.std).view(3, 1, 1)


@dataclass(frozen=True)
class Target:
    """A network in evaluation mode and its preprocessing."""

    model: nn.Module
    preprocess: Preprocess
    device: torch.device

    def module(self, layer: str) -> nn.Module:
        """Return the module of a dotted name.

        Raises
        ------
        ValueError
            There is none; the message lists the names on the level where the search ended.
        """
        found = self.model
        for i, part in enumerate(layer.split(".")):
            children = dict(found.named_children())
            if part not in children:
                raise ValueError(
                    f"no module {layer!r}: {'.'.join(layer.split('.')[:i]) or 'the model'} has {sorted(children)}"
                )
            found = children[part]
        return found

    @torch.inference_mode()
    def outputs(self, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of several layers from one forward pass of inputs [n, 3, h, w].

        Raises
        ------
        ValueError
            An output is neither [n, units, h, w] nor [n, units].
        """
        with captured(self, layers) as found:
            self.model(inputs.to(self.device))
        for layer, output in found.items():
            if not isinstance(output, Tensor) or output.ndim not in (2, 4):
                shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ValueError(f"layer {layer!r} returns {shape}; expected a tensor [n, units, h, w] or [n, units]")
        return found


@contextmanager
def captured(target: Target, layers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a dictionary that every forward pass fills with the outputs of the layers."""
    found: dict[str, Any] = {}

    def keep(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, inputs, output: found.__setitem__(layer, output)

    handles = [target.module(layer).register_forward_hook(keep(layer)) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def pool(output: Tensor, pooling: str) -> Tensor:
    """Reduce [n, units, h, w] to [n, units] by the spatial ``mean`` or ``max``; [n, units] is returned as it is."""
    if output.ndim == 2:
        return output
    return output.mean((2, 3)) if pooling == "mean" else output.amax((2, 3))


def fixed_batches(
    items: Sequence[Any], load: Callable[[Any], Tensor], size: BatchSize, run: Callable[[Tensor], R]
) -> Iterator[tuple[Sequence[Any], R]]:
    """Yield items with what ``run`` makes of their inputs [size, ...]; the last batch is filled up with zeros.

    The size is halved when the device runs out of memory: see :func:`dnd.batches.in_batches`.
    """

    def work(part: Sequence[Any], shape: int) -> R:
        stacked = torch.stack([load(item) for item in part])
        if len(part) < shape:
            stacked = torch.cat([stacked, stacked.new_zeros(shape - len(part), *stacked.shape[1:])])
        return run(stacked)

    return in_batches(items, size, work)


def load(settings: TargetSettings, device: torch.device | None = None) -> Target:
    """Load a target network with its preprocessing, frozen and in evaluation mode.

    Raises
    ------
    ValueError
        The factory, the weights or the preprocessing cannot be found; the message says which.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, published = _SOURCES[settings.source](settings)
    if settings.preprocess is not None:
        published = json.loads(settings.preprocess.read_text())
    if published is None:
        raise ValueError(f"{settings.factory}: set `preprocess`, since its weights do not say how images are prepared")
    preprocess = Preprocess(published["resize"], published["crop"], tuple(published["mean"]), tuple(published["std"]))
    return Target(model.to(device).eval().requires_grad_(False), preprocess, device)


def _python(settings: TargetSettings) -> tuple[nn.Module, Mapping[str, Any] | None]:
    name, _, function = settings.factory.partition(":")
    try:
        factory = getattr(importlib.import_module(name), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"factory {settings.factory!r}: {error}; expected package.module:function") from error
    return factory(**settings.arguments), None


def _torchvision(settings: TargetSettings) -> tuple[nn.Module, Mapping[str, Any] | None]:
    from torchvision import models

    weights = published_weights(settings)
    if weights is None:
        model = models.get_model(settings.factory, weights=None, **settings.arguments)
        if settings.weights is not None:
            model.load_state_dict(_state(Path(settings.weights)))
        return model, None
    preset = weights.transforms()
    published = {
        "resize": preset.resize_size[0],
        "crop": preset.crop_size[0],
        "mean": preset.mean,
        "std": preset.std,
    }
    try:
        return models.get_model(settings.factory, weights=weights, **settings.arguments), published
    except URLError as error:
        raise hub.absent(f"{settings.factory} with {settings.weights}", torch.hub.get_dir(), error) from None


def published_weights(settings: TargetSettings) -> Any:
    """Return torchvision's weights enum of a target; None where its weights are a file or none.

    Raises
    ------
    ValueError
        There is no such model, or it has no such weights.
    """
    from torchvision import models

    name = settings.weights
    if settings.source != "torchvision" or name is None:
        return None
    if "/" in name or name.endswith((".pt", ".pth", ".safetensors")):
        return None
    known = models.get_model_weights(settings.factory)
    if name not in known.__members__:
        raise ValueError(f"{settings.factory} has no weights {name!r}; torchvision has {sorted(known.__members__)}")
    return known[name]


def _state(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, weights_only=True, map_location="cpu")


_SOURCES: dict[str, Callable[[TargetSettings], tuple[nn.Module, Mapping[str, Any] | None]]] = {
    "python": _python,
    "torchvision": _torchvision,
}

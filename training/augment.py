"""Augmentations of renders that the trainings share; every function is a pure function of its generator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def scaled(images: Tensor) -> Tensor:
    """uint8 [n, h, w, 3] -> float [n, 3, h, w] in [0, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 255


def degrade(x: Tensor, generator: torch.Generator, *, blur: float = 1.0, noise: float = 0.03) -> Tensor:
    """Blur, relight and add noise to float [n, 3, h, w] in [0, 1], each image by an amount of its own.

    Stands in for what generators and enlarged cut-outs do to a picture.

    Parameters
    ----------
    blur : the largest share of a 5-tap binomial blur, mixed in linearly.
    noise : the largest standard deviation of white noise.
    """
    n = len(x)

    def amount() -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=generator).to(x.device)

    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    taps = torch.outer(kernel, kernel).expand(3, 1, 5, 5)
    soft = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), taps, groups=3)
    x = torch.lerp(x, soft, blur * amount())
    x = x * (0.9 + 0.2 * amount()) + 0.1 * (amount() - 0.5)
    white = torch.randn(x.shape, generator=generator).to(x.device)
    return (x + noise * amount() * white).clamp(0, 1)


def shift(x: Tensor, generator: torch.Generator, pixels: int = 3) -> Tensor:
    """Move the whole batch [n, c, h, w] by up to ``pixels``, repeating the edge."""
    height, width = x.shape[-2:]
    top, left = torch.randint(0, 2 * pixels + 1, (2,), generator=generator).tolist()
    return F.pad(x, (pixels,) * 4, mode="replicate")[..., top : top + height, left : left + width]

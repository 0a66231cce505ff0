"""Units other than the channels of a layer: latents of a sparse autoencoder, directions, attention heads.

Each turns the channels at one position of a layer into activations of units at that position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from dnd.config.targets import BasisSettings
from dnd.target import autoencoders, basis_files, weight_files
from dnd.target.outputs import TargetError


class Basis(Protocol):
    """What units are made of.

    Attributes
    ----------
    units : how many there are.
    channels : how many channels a position must have.
    """

    @property
    def units(self) -> int: ...

    @property
    def channels(self) -> int: ...

    def __call__(self, values: Tensor) -> Tensor:
        """Return activations float32 [..., units] of values float32 [..., channels]."""


@dataclass(frozen=True)
class Directions:
    """Projections on the rows of a matrix: (x - mean) . row.

    Attributes
    ----------
    rows : float32 [units, channels], used as they are, not normalised.
    mean : float32 [channels], zero where the file has none.
    """

    rows: Tensor
    mean: Tensor

    @property
    def units(self) -> int:
        return self.rows.shape[0]

    @property
    def channels(self) -> int:
        return self.rows.shape[1]

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.mean) @ self.rows.T


@dataclass(frozen=True)
class Heads:
    """Attention heads, by the length of what each adds to the output of the attention's output projection.

    The projection's input holds the heads' results side by side. With W its columns of one head and z that head's
    result, the activation is ||W z||, computed as the root of z . (W^T W) z.

    Attributes
    ----------
    gram : float32 [heads, d, d], W^T W of each head.
    """

    gram: Tensor

    @property
    def units(self) -> int:
        return self.gram.shape[0]

    @property
    def channels(self) -> int:
        return self.gram.shape[0] * self.gram.shape[1]

    def __call__(self, values: Tensor) -> Tensor:
        results = values.unflatten(-1, (self.units, -1))
        return torch.einsum("...hi,hij,...hj->...h", results, self.gram, results).clamp_min(0).sqrt()


def reads_input(settings: BasisSettings | None) -> bool:
    """Tell whether units are made of what goes into a module rather than of what comes out."""
    return settings is not None and settings.kind == "heads"


def load(settings: BasisSettings, model: nn.Module, layer: str, device: torch.device) -> Basis:
    """Return the units of a layer.

    Raises
    ------
    TargetError
        The file cannot be read, lacks a tensor or does not say what it is, or the module has no heads.
    """
    if settings.kind == "heads":
        return _heads(settings, model, layer, device)
    return autoencoders.load(settings, device) if settings.kind == "sae" else _directions(settings, device)


def _directions(settings: BasisSettings, device: torch.device) -> Directions:
    assert settings.path is not None
    parts = basis_files.parts(weight_files.read(settings.path), settings.path, settings, device)
    rows = parts.get("directions")
    if rows is None and len(parts.tensors) == 1:
        rows = next(iter(parts.tensors.values()))
    if rows is None or rows.ndim != 2:
        raise parts.lacks("directions", "a matrix [units, channels]")
    mean = parts.vector("mean", rows.shape[1], "channel")
    return Directions(rows, rows.new_zeros(rows.shape[1]) if mean is None else mean)


def _heads(settings: BasisSettings, model: nn.Module, layer: str, device: torch.device) -> Heads:
    module = model.get_submodule(layer)
    heads = settings.heads or _number_of_heads(model, layer)
    if not isinstance(module, nn.Linear) or heads is None or module.in_features % heads:
        raise TargetError(
            "is no output projection of attention heads: expected a linear layer whose input is the "
            "heads' results, such as blocks.0.attn.proj (timm) or encoder.layer.0.attention.output.dense; set "
            "basis.heads where their number is not found"
        )
    weight = module.weight.detach().to(device, torch.float32).unflatten(1, (heads, -1))
    return Heads(torch.einsum("ohi,ohj->hij", weight, weight))


def _number_of_heads(model: nn.Module, layer: str) -> int | None:
    """How many heads the modules around a layer, or else the configuration of a transformers model, speak of."""
    parts = layer.split(".")
    around = [model.get_submodule(".".join(parts[:end])) for end in range(len(parts) - 1, -1, -1)]
    for owner in [*around, getattr(model, "config", None)]:
        for name in ("num_heads", "num_attention_heads"):
            value = getattr(owner, name, None)
            if isinstance(value, int) and value > 0:
                return value
    return None

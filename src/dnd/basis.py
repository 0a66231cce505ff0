"""Units other than the channels of a layer: latents of a sparse autoencoder, directions, attention heads.

Each turns the channels at one position of a layer into activations of units at that position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dnd.outputs import TargetError
from dnd.subjects import BasisSettings

USUAL_NAMES = {
    "encoder": ("W_enc", "encoder.weight", "encoder"),
    "bias": ("b_enc", "encoder.bias", "latent_bias"),
    "decoder_bias": ("b_dec", "decoder.bias", "pre_bias"),
    "threshold": ("threshold",),
    "directions": ("directions", "weight", "components"),
    "mean": ("mean",),
}
"""Names of tensors in published files: SAELens and TransformerLens, plain ``nn.Linear`` layers, OpenAI's."""


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
class SparseAutoencoder:
    """Latents of a sparse autoencoder: an activation function of (x - decoder bias) . encoder + bias.

    Attributes
    ----------
    encoder : float32 [latents, channels].
    bias : float32 [latents].
    shift : float32 [channels], the decoder's bias or zeros.
    activation : ``relu``; ``topk`` keeps the k largest at a position (Gao et al., 2024); ``jumprelu`` those above a
        threshold (Rajamanoharan et al., 2024), which is what ``batchtopk`` does outside of training, too (Bussmann et
        al., 2024).
    threshold : float32 [latents] or [].
    """

    encoder: Tensor
    bias: Tensor
    shift: Tensor
    activation: str
    k: int | None
    threshold: Tensor

    @property
    def units(self) -> int:
        return self.encoder.shape[0]

    @property
    def channels(self) -> int:
        return self.encoder.shape[1]

    def __call__(self, values: Tensor) -> Tensor:
        latents = (values - self.shift) @ self.encoder.T + self.bias
        if self.activation == "relu":
            return latents.relu()
        if self.activation == "topk":
            least = latents.topk(min(self.k or self.units, self.units), dim=-1).values[..., -1:]
            return torch.where(latents >= least, latents, 0).relu()
        return torch.where(latents > self.threshold, latents, 0).relu()


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
        The file lacks a tensor, or the module has no heads.
    """
    if settings.kind == "heads":
        return _heads(settings, model, layer, device)
    assert settings.path is not None
    tensors = {name: one.to(device, torch.float32) for name, one in _tensors(settings.path).items()}
    found = {role: _named(tensors, role, settings) for role in USUAL_NAMES}
    if settings.kind == "directions":
        rows = found["directions"]
        if rows is None and len(tensors) == 1:
            rows = next(iter(tensors.values()))
        if rows is None or rows.ndim != 2:
            raise _lacks(settings, "directions", "a matrix [units, channels]", tensors)
        mean = found["mean"]
        return Directions(rows, rows.new_zeros(rows.shape[1]) if mean is None else mean)
    encoder, bias, shift = found["encoder"], found["bias"], found["decoder_bias"]
    if encoder is None or encoder.ndim != 2:
        raise _lacks(settings, "encoder", "a matrix", tensors)
    if bias is None or bias.ndim != 1 or len(bias) not in encoder.shape:
        raise _lacks(settings, "bias", "one value for each latent", tensors)
    transposed = encoder.shape[0] != len(bias) or (
        encoder.shape[0] == encoder.shape[1] and _name(tensors, "encoder", settings) == "W_enc"  # [channels, latents]
    )
    encoder = encoder.T.contiguous() if transposed else encoder
    if shift is None or not settings.subtract_decoder_bias:
        shift = encoder.new_zeros(encoder.shape[1])
    threshold = found["threshold"] if settings.threshold is None else encoder.new_tensor(settings.threshold)
    if threshold is None and settings.activation in ("jumprelu", "batchtopk"):
        raise _lacks(settings, "threshold", "one value, or one for each latent (or set `threshold`)", tensors)
    if threshold is None:
        threshold = encoder.new_zeros(())
    return SparseAutoencoder(encoder, bias, shift, settings.activation, settings.k, threshold.squeeze())


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
    for one in [*around, getattr(model, "config", None)]:
        for name in ("num_heads", "num_attention_heads"):
            value = getattr(one, name, None)
            if isinstance(value, int) and value > 0:
                return value
    return None


def _tensors(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".npy":
        return {path.stem: torch.from_numpy(np.load(path, allow_pickle=False))}
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    found = torch.load(path, weights_only=True, map_location="cpu")
    return found if isinstance(found, Mapping) else {path.stem: found}


def _name(tensors: Mapping[str, Tensor], role: str, settings: BasisSettings) -> str | None:
    given = settings.tensors.get(role)  # type: ignore[call-overload]  # the roles are the literals of the setting
    names = USUAL_NAMES[role] if given is None else (given,)
    return next((name for name in names if name in tensors), None)


def _named(tensors: Mapping[str, Tensor], role: str, settings: BasisSettings) -> Tensor | None:
    name = _name(tensors, role, settings)
    if name is None and role in settings.tensors:
        raise _lacks(settings, role, f"a tensor {settings.tensors[role]!r}", tensors)  # type: ignore[index]
    return None if name is None else tensors[name]


def _lacks(settings: BasisSettings, role: str, expected: str, tensors: Mapping[str, Tensor]) -> TargetError:
    have = ", ".join(f"{name} {list(one.shape)}" for name, one in tensors.items())
    return TargetError(
        f"{settings.path}: expected {expected} as {role}, under the name {' or '.join(USUAL_NAMES[role])} or the one "
        f"that basis.tensors.{role} gives; the file has {have}"
    )

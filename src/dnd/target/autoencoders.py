"""Sparse autoencoders, as SAELens, dictionary_learning, Overcomplete and ViT-Prisma write them, and their latents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dnd.config.targets import WEIGHTS, BasisSettings
from dnd.target import autoencoder_steps, basis_files, weight_files
from dnd.target.autoencoder_steps import Steps, unsupported
from dnd.target.basis_files import Parts
from dnd.target.outputs import TargetError

EPSILON = 1e-5
"""Added to the standard deviation by ``layer_norm``, as in SAELens and ViT-Prisma."""
DEEP = ("encoder.mlp_blocks.", "encoder.attention_blocks.", "encoder.resnet_blocks.", "encoder.final_block.1.")
"""What begins the names of Overcomplete's tensors where the encoder is more than a linear layer."""
QUANTA = "Q"
"""The levels between which Overcomplete's QSAE chooses."""
FILES = ("sae_weights.safetensors", "ae.pt", "weights.pt", "params.npz")
"""An autoencoder's tensors in a folder of SAELens, dictionary_learning, ViT-Prisma, Gemma Scope."""
PRISMA = "vit_prisma.sae.config.VisionModelSAERunnerConfig"
"""The class of the configuration that ViT-Prisma keeps in its older files."""


@dataclass(frozen=True)
class SparseAutoencoder:
    """Latents of a sparse autoencoder: an activation function of (normalised x - decoder bias) . encoder + bias.

    Attributes
    ----------
    encoder : float32 [latents, channels].
    bias : float32 [latents].
    shift : float32 [channels], the decoder's bias or zeros.
    activation : ``relu``; ``topk`` keeps the k largest at a position (Gao et al., 2024); ``jumprelu`` those above a
        threshold (Rajamanoharan et al., 2024), which is what ``batchtopk`` does outside of training, too (Bussmann et
        al., 2024).
    threshold : float32 [latents] or [].
    normalization : of the channels at a position: ``none``, ``layer_norm``, or ``constant_norm_rescale`` to a length of
        the root of their number, as SAELens defines them.
    """

    encoder: Tensor
    bias: Tensor
    shift: Tensor
    activation: str
    k: int | None
    threshold: Tensor
    normalization: str = "none"

    @property
    def units(self) -> int:
        return self.encoder.shape[0]

    @property
    def channels(self) -> int:
        return self.encoder.shape[1]

    def __call__(self, values: Tensor) -> Tensor:
        latents = (self._normalized(values) - self.shift) @ self.encoder.T + self.bias
        if self.activation == "relu":
            return latents.relu()
        if self.activation == "topk":
            least = latents.topk(min(self.k or self.units, self.units), dim=-1).values[..., -1:]
            return torch.where(latents >= least, latents, 0).relu()
        return torch.where(latents > self.threshold, latents, 0).relu()

    def _normalized(self, values: Tensor) -> Tensor:
        if self.normalization == "layer_norm":
            centred = values - values.mean(-1, keepdim=True)
            return centred / (centred.std(-1, keepdim=True) + EPSILON)
        if self.normalization == "constant_norm_rescale":
            return values * (self.channels**0.5 / values.norm(dim=-1, keepdim=True))
        return values


def load(settings: BasisSettings, device: torch.device) -> SparseAutoencoder:
    """Return the autoencoder of a file or folder.

    Raises
    ------
    TargetError
        It cannot be read, lacks a tensor, is of a kind that is not supported, or nothing says what it does.
    """
    assert settings.path is not None
    path = _file(settings.path)
    content = weight_files.read(path, [(autoencoder_steps.Configuration, PRISMA)])
    parts = basis_files.parts(content, path, settings, device)
    encoder, bias = _encoder(parts)
    latents, channels = encoder.shape
    shift = parts.vector("decoder_bias", channels, "channel")
    decoder = parts.matrix("decoder", latents)
    steps = autoencoder_steps.steps_of(content, parts, shift, decoder)
    threshold = _threshold(parts, steps, encoder)
    if steps.rescale_acts_by_decoder_norm:
        if decoder is None:
            raise parts.lacks("decoder", "a matrix")
        encoder, bias = encoder * decoder.norm(dim=1, keepdim=True), bias * decoder.norm(dim=1)
    gate = parts.vector("gate_bias", latents, "latent")
    if gate is not None:
        scale = parts.vector("gate_scale", latents, "latent")
        if scale is None or steps.activation != "relu":
            raise unsupported(path, f"a gate on {steps.activation}" if scale is not None else "a gate without a scale")
        # the gate is open where x . encoder + gate > 0: where the magnitude, x . encoder * scale + bias, is above this
        encoder, threshold = encoder * scale.exp()[:, None], bias - scale.exp() * gate
        steps = steps._replace(activation="jumprelu")
    if shift is None or not steps.subtract_decoder_bias:
        shift = encoder.new_zeros(channels)
    assert steps.activation is not None and steps.normalize_activations is not None
    return SparseAutoencoder(encoder, bias, shift, steps.activation, steps.k, threshold, steps.normalize_activations)


def _file(path: Path) -> Path:
    """The file of an autoencoder's tensors, where a folder is given."""
    if not path.is_dir():
        return path
    files = [path / name for name in FILES if (path / name).is_file()]
    files += sorted(file for file in path.iterdir() if file.suffix in (*WEIGHTS, ".npz"))
    if not files or (files[0].name not in FILES and len(files) > 1):
        raise TargetError(
            f"{path}: expected a folder with {', '.join(FILES[:-1])} or {FILES[-1]}, or with a single file of tensors"
        )
    return files[0]


def _encoder(parts: Parts) -> tuple[Tensor, Tensor]:
    """The encoder [latents, channels] and its bias [latents]; of a gated autoencoder those of its magnitudes."""
    deep = next((name for name in parts.tensors if name.startswith(DEEP) or name == QUANTA), None)
    if deep is not None:
        raise unsupported(parts.path, f"an encoder that is more than a linear layer (it has {deep})")
    role = "bias" if parts.get("gate_bias") is None else "magnitude_bias"
    bias = parts.get(role)
    if bias is None and "dictionary.multiplier" not in parts.tensors:  # Overcomplete's may do without
        raise parts.lacks(role, "one value for each latent")
    encoder = parts.matrix("encoder", None if bias is None else bias.numel())
    if encoder is None:
        raise parts.lacks("encoder", "a matrix")
    bias = parts.vector(role, len(encoder), "latent")
    return encoder, encoder.new_zeros(len(encoder)) if bias is None else bias


def _threshold(parts: Parts, steps: Steps, encoder: Tensor) -> Tensor:
    """What latents must be above, [latents] or []; zero where the activation function has none."""
    values = parts.get("threshold")
    if parts.settings.threshold is not None:
        values = encoder.new_tensor(parts.settings.threshold)
    elif values is None and "thresholds" in parts.tensors:  # Overcomplete's JumpSAE learns their logarithms
        values = parts.tensors["thresholds"].exp()
    if steps.activation not in ("jumprelu", "batchtopk"):
        return encoder.new_zeros(())
    if values is None or values.numel() not in (1, len(encoder)):
        raise parts.lacks("threshold", "one value, or one for each latent (or set basis.threshold)")
    return values.squeeze()

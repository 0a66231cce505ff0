"""Files of what units are made of: their tensors, by what each is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dnd.config.targets import BasisSettings
from dnd.target import weight_files
from dnd.target.outputs import TargetError

NESTED = (*weight_files.NESTED, "ae", "autoencoder")
"""Keys below which checkpoints keep an autoencoder."""
NAMES = {
    "encoder": ("W_enc", "encoder.weight", "encoder", "encoder.final_block.0.weight"),
    "bias": ("b_enc", "encoder.bias", "latent_bias", "encoder.final_block.0.bias"),
    "decoder": ("W_dec", "decoder.weight"),
    "decoder_bias": ("b_dec", "decoder.bias", "pre_bias", "bias", "decoder_bias"),
    "threshold": ("threshold",),
    "magnitude_bias": ("b_mag", "mag_bias"),
    "gate_bias": ("b_gate", "gate_bias"),
    "gate_scale": ("r_mag",),
    "directions": ("directions", "weight", "components"),
    "mean": ("mean",),
}
"""Names of tensors in files: SAELens and ViT-Prisma, ``nn.Linear`` and dictionary_learning, OpenAI's, Overcomplete."""
CHANNELS_FIRST = ("W_enc", "decoder.weight")
"""Matrices that are kept as [channels, latents], which the shape of a square one does not tell."""


def parts(content: object, path: Path, settings: BasisSettings, device: torch.device) -> Parts:
    """Return the tensors of what a file holds.

    Raises
    ------
    TargetError
        There are none, or they are scaled for a training that has not ended.
    """
    if isinstance(content, Mapping) and content.get("norm_factor"):
        raise TargetError(
            f"{path} is dictionary_learning's copy of a training that has not ended, whose biases are divided by its "
            "`norm_factor`; expected the file of its end"
        )
    state = {path.stem: content} if isinstance(content, Tensor) else weight_files.unnested(content, NESTED)
    pairs = state.items() if isinstance(state, Mapping) else ()
    tensors = {name: value.to(device, torch.float32) for name, value in pairs if isinstance(value, Tensor)}
    if not tensors:
        held = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise TargetError(f"{path}: expected tensors by name, a state dict, but it holds {held}")
    return Parts(path, tensors, settings)


@dataclass(frozen=True)
class Parts:
    """The tensors of a file, found by what they are for.

    Attributes
    ----------
    path : of the file.
    tensors : float32, by their names in the file.
    settings : which may name tensors.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    settings: BasisSettings

    def _name(self, role: str) -> str | None:
        """The name of a role's tensor; None where the file has none."""
        given = self.settings.tensors.get(role)  # type: ignore[call-overload]  # the roles are the setting's literals
        if given is not None and given not in self.tensors:
            raise self.lacks(role, f"a tensor {given!r}")
        taken = set(self.settings.tensors.values())
        names = [name for name in NAMES[role] if name not in taken] if given is None else [given]
        return next((name for name in names if name in self.tensors), None)

    def get(self, role: str) -> Tensor | None:
        """Return a role's tensor; None where the file has none.

        Raises
        ------
        TargetError
            The settings give a name that the file does not have.
        """
        name = self._name(role)
        return None if name is None else self.tensors[name]

    def vector(self, role: str, length: int, each: str) -> Tensor | None:
        """Return a role's values [length], None where the file has none; a TargetError where it has more or fewer."""
        values = self.get(role)
        if values is not None and values.shape != (length,):
            raise self.lacks(role, f"one value for each {each}, {length} in all,")
        return values

    def matrix(self, role: str, latents: int | None) -> Tensor | None:
        """Return a role's matrix [latents, channels]; None where the file has none.

        Parameters
        ----------
        latents : how many there are; None to go by the matrix' name alone.

        Raises
        ------
        TargetError
            It is no matrix of so many latents.
        """
        name = self._name(role)
        if name is None:
            return None
        matrix = self.tensors[name]
        if matrix.ndim != 2 or latents not in (None, *matrix.shape):
            raise self.lacks(role, f"a matrix of {latents or 'all'} latents")
        by_name = latents is None or matrix.shape[0] == matrix.shape[1]
        turned = name in CHANNELS_FIRST if by_name else len(matrix) != latents
        return matrix.T.contiguous() if turned else matrix

    def lacks(self, role: str, expected: str) -> TargetError:
        """Return the error that a role's tensor is missing or has another shape."""
        have = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in self.tensors.items())
        return TargetError(
            f"{self.path}: expected {expected} as {role}, under the name {' or '.join(NAMES[role])} or the one that "
            f"basis.tensors.{role} gives; the file has {have or 'no tensors'}"
        )

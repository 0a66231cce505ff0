"""The units of a layer while a network runs: its channels, or what a basis makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dnd.target.basis import Basis
from dnd.target.outputs import Output, TargetError

SIGNS = {"positive": 1, "negative": -1}
MOST_ACTIVATIONS = 2**25
"""Activations of a basis that are held at once: 128 MiB in float32."""


@dataclass(frozen=True)
class Reading:
    """A layer's units for a batch of n images, while the forward pass is on its way.

    Attributes
    ----------
    output : the layer's channels.
    basis : what units are made of; None when they are the channels.
    sign : 1, or -1 where what drives units below zero is described.
    """

    output: Output
    basis: Basis | None
    sign: int

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return self.output.positions.shape[2] if self.basis is None else self.basis.units

    def pooled(self, pooling: str) -> Tensor:
        """Return activations float32 [n, units] for whole images.

        Parameters
        ----------
        pooling : ``mean`` or ``max`` over the positions, or ``cls``, the class token.

        Raises
        ------
        TargetError
            There is no class token.
        """
        if self.output.grid is None or pooling == "cls":
            whole = self.output.positions[:, 0] if self.output.grid is None else self.output.cls
            if whole is None:
                raise TargetError("has no class token, which the recipe's pooling `cls` asks for")
            # a copy, since a later module may change the output in its place
            return self._signed(whole.clone() if self.basis is None else self.basis(whole.float()))
        if self.basis is None:
            # in float32, since sums in half precision round and overflow; the sign first, since it says which
            # position is largest
            values = self._signed(self.output.positions)
            return values.mean(1) if pooling == "mean" else values.amax(1)
        return torch.stack([self._pooled_one(image, pooling) for image in range(len(self.output.positions))])

    def _pooled_one(self, image: int, pooling: str) -> Tensor:
        """The activations [units] of one image."""
        if pooling == "mean":
            sums = torch.stack([part.sum(0) for part in self._parts(image)])
            return sums.sum(0) / self.output.positions.shape[1]
        return torch.stack([part.amax(0) for part in self._parts(image)]).amax(0)

    def _parts(self, image: int) -> Iterator[Tensor]:
        """The activations [some positions, units] of one image, in parts that the memory holds.

        Always of all units, so that a unit's activations do not depend on which others are asked for.
        """
        assert self.basis is not None
        for part in self.output.positions[image].split(max(1, MOST_ACTIVATIONS // self.basis.units)):
            yield self._signed(self.basis(part.float()))

    def maps(self, image: int, wanted: Tensor) -> Tensor | None:
        """Return the activation maps float32 [wanted, h, w] of one image; None where the layer has no positions."""
        if self.output.grid is None:
            return None
        if self.basis is None:
            values = self._signed(self.output.positions[image][:, wanted])
        else:
            values = torch.cat([part[:, wanted] for part in self._parts(image)])
        return values.T.unflatten(1, self.output.grid)

    def _signed(self, values: Tensor) -> Tensor:
        return values.float() if self.sign > 0 else -values.float()

"""Latents of a sparse autoencoder: units that a network brings about and nobody planted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dnd.config.targets import BasisSettings
from dnd.target import basis
from training import latents

ROOT = Path(__file__).parents[3]
SHIPPED = {
    "calibration/latents-1": "target",
    "calibration/latents-2": "target-tuning",
    **{f"evaluation/latents-{i}": f"target-test-{i}" for i in (1, 2, 3)},
}


def of(path):
    settings = BasisSettings(kind="sae", path=path, activation="topk", k=latents.ACTIVE)
    return basis.load(settings, torch.nn.Identity(), "layer4", torch.device("cpu"))


def test_latents_of_an_autoencoder_are_the_directions_that_values_are_made_of():
    rng = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(12, 16, generator=rng), dim=1)
    present = torch.rand(4000, 12, generator=rng) < 0.15
    values = 3 + (present * torch.rand(4000, 12, generator=rng)) @ rows
    parts = latents.train(values, 24, 600, rng)
    active = F.linear(values, parts["encoder.weight"].float(), parts["encoder.bias"].float())
    active = latents.sparse(active)
    r = np.corrcoef(present.T.float(), active.T)[:12, 12:]
    assert np.nan_to_num(r).max(1).mean() > 0.6


def test_as_many_as_may_be_are_active():
    kept = latents.sparse(torch.tensor([[*range(-1, 10)], [-1.0] * 11]))
    assert kept.tolist() == [[0, 0, 0, *range(2, 10)], [0.0] * 11]


@pytest.mark.parametrize(("file", "network"), SHIPPED.items())
def test_latents_of_each_network_vary_over_its_positions(file, network):
    values = latents.positions(ROOT / "resources/shapeworld" / network, 100, torch.Generator().manual_seed(1))
    assert values.shape == (100 * latents.PLACES, 112)
    activations = of(ROOT / f"config/{file}.safetensors")(values)
    assert activations.shape[1] == latents.LATENTS
    assert ((activations > 0).sum(1) <= latents.ACTIVE).all()
    assert (activations.amax(0) > 0).float().mean() > 0.9

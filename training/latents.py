"""Units that a network brings about and nobody planted: latents of a sparse autoencoder of its ``layer4``.

``python -m training.latents resources/shapeworld/target-test-1 config/evaluation/latents-1.safetensors`` writes the
encoder that the basis `sae` reads on ``layer4`` with `activation: topk` and `k: 8`, in a minute. config/evaluation has
those of the test networks, config/calibration those of the networks to tune on.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from tqdm import trange

from dnd.io.files import replaced
from dnd.shapeworld import target
from dnd.shapeworld.render import draw
from training.augment import scaled
from training.pool import STREAMS
from training.target import normalised

log = logging.getLogger(__name__)
LATENTS, ACTIVE = 224, 8
"""Twice as many latents as channels, of which so many are active at a position."""
RENDERS, PLACES, AT_ONCE = 4000, 64, 100
"""Renders that are looked at, positions that are taken of each, renders in memory at once."""
STEPS, BATCH, RATE = 4000, 2048, 1e-3


@torch.no_grad()
def positions(folder: Path, renders: int, rng: torch.Generator) -> Tensor:
    """Return float32 [renders x PLACES, channels]: ``layer4`` of a network at random positions of training renders."""
    model, taken = target.load(folder), []
    for first in trange(0, renders, AT_ONCE, desc="renders"):
        images = np.stack([draw(STREAMS["train"], place)[1] for place in range(first, min(first + AT_ONCE, renders))])
        maps = model.features(normalised(scaled(torch.from_numpy(images))))  # type: ignore[operator]
        at_places = maps.flatten(2).movedim(1, 2)
        places = torch.rand(at_places.shape[:2], generator=rng).topk(PLACES).indices
        taken.append(at_places.take_along_dim(places[..., None], 1).flatten(0, 1))
    return torch.cat(taken)


def sparse(latents: Tensor) -> Tensor:
    """Return latents [n, latents] with all but the ACTIVE largest of each row at zero, and those below it."""
    largest = latents.topk(ACTIVE)
    return torch.zeros_like(latents).scatter(1, largest.indices, largest.values.relu())


def train(values: Tensor, latents: int, steps: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Return ``encoder.weight`` [latents, channels] and ``encoder.bias`` [latents] float16 of a top-k autoencoder.

    The decoder, which nobody needs afterwards, begins as the encoder's transpose with rows of length one and keeps
    their length; its bias begins as the mean, and is folded into that of the encoder.

    Source: Gao et al., "Scaling and evaluating sparse autoencoders", 2024, without their auxiliary loss.

    Parameters
    ----------
    values : float32 [n, channels].
    """
    shift, scale = values.mean(0), values.std()
    decoder = F.normalize(torch.randn(latents, values.shape[1], generator=rng), dim=1).requires_grad_()
    encoder, bias = decoder.detach().clone().requires_grad_(), torch.zeros(latents, requires_grad=True)
    centre = torch.zeros_like(shift, requires_grad=True)
    optimiser = torch.optim.Adam([encoder, bias, decoder, centre], lr=RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for _ in trange(steps, desc="steps"):
        batch = (values[torch.randint(len(values), (BATCH,), generator=rng)] - shift) / scale
        active = sparse(F.linear(batch - centre, encoder, bias))
        loss = F.mse_loss(active @ F.normalize(decoder, dim=1) + centre, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    log.info("unexplained variance %.3f", loss.item() / batch.var(0).mean().item())
    with torch.no_grad():
        weight = encoder / scale
        return {"encoder.weight": weight.half(), "encoder.bias": (bias - weight @ shift - encoder @ centre).half()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the sparse autoencoder of a network's ``layer4``."""
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser(prog="python -m training.latents", description=main.__doc__)
    parser.add_argument("network", type=Path, help="folder of an embedded target")
    parser.add_argument("file", type=Path, help="to write, .safetensors")
    parser.add_argument("--renders", type=int, default=RENDERS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # steps are so small that threads wait for each other
    rng = torch.Generator().manual_seed(chosen.seed)
    parts = train(positions(chosen.network, chosen.renders, rng), LATENTS, chosen.steps, rng)
    with replaced(chosen.file) as partial:
        save_file({name: part.contiguous() for name, part in parts.items()}, partial)


if __name__ == "__main__":
    main()

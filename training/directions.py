"""Units without a meaning, as many as are wanted: random directions of a trained network, as those planted in it.

``python -m training.directions resources/shapeworld/target random.safetensors --seed 111`` writes the
encoder of a sparse autoencoder, which the basis `sae` reads on ``layer4``; config/calibration has seeds 111 and 112,
config/evaluation 32 directions each of seeds 121 to 123.
A target has eight random units of its own: enough to show in an evaluation, too few to fit when nothing should be said.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from dnd.io.files import replaced
from dnd.shapeworld import target
from dnd.shapeworld.render import draw
from training.augment import scaled
from training.pool import STREAMS
from training.target import SCALING, normalised, random_unit


@torch.no_grad()
def encoder(folder: Path, units: int, seed: int) -> dict[str, Tensor]:
    """Return ``encoder.weight`` [units, channels] and ``encoder.bias`` [units] float16, for the maps of ``layer4``."""
    images = np.stack([draw(STREAMS["train"], place)[1] for place in range(SCALING)])
    maps = target.load(folder).features(normalised(scaled(torch.from_numpy(images))))  # type: ignore[operator]
    rng = torch.Generator().manual_seed(seed)
    drawn = [random_unit(maps, rng) for _ in range(units)]
    weights, biases = (torch.stack(part).half().contiguous() for part in zip(*drawn, strict=True))
    return {"encoder.weight": weights, "encoder.bias": biases}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw random directions of a network."""
    parser = argparse.ArgumentParser(prog="python -m training.directions", description=main.__doc__)
    parser.add_argument("network", type=Path, help="folder of an embedded target")
    parser.add_argument("file", type=Path, help="to write, .safetensors")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    with replaced(chosen.file) as partial:
        save_file(encoder(chosen.network, chosen.units, chosen.seed), partial)


if __name__ == "__main__":
    main()

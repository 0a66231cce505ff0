"""The generator's image autoencoder: ``AutoencoderTiny``, 64x64x3 <-> 16x16x4."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from training.loop import device, fit, mixed
from training.pool import Pool

log = logging.getLogger(__name__)
MINUTES = 7.0
OBJECT_WEIGHT = 4.0  # squared error otherwise spends the capacity on grass and noise


def build() -> Any:
    """Return an untrained autoencoder whose plain convolutions are Kaiming-initialised (it has no normalisation)."""
    model: Any = AutoencoderTiny(  # diffusers leaves its modules untyped
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(0, 1, 3),
        num_decoder_blocks=(3, 1, 0),
        latent_channels=4,
        upsampling_scaling_factor=2,
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, module in model.named_modules():
        if name.endswith("conv.4") and isinstance(module, nn.Conv2d):
            module.weight.data *= 0.2  # the last convolution of each residual block
    for end in (model.encoder.layers[-1], model.decoder.layers[-1]):
        end.weight.data *= 0.2
    return model


def pixels(images: Tensor) -> Tensor:
    """uint8 [n, 64, 64, 3] -> float [n, 3, 64, 64] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def train(data: Pool, work: Path) -> Any:
    """Train, set ``scaling_factor`` to one over the latents' standard deviation, and return the model."""
    torch.manual_seed(0)
    model = build().to(device(), memory_format=torch.channels_last).train()
    images, masks = torch.from_numpy(data.images), torch.from_numpy(data.masks)

    def loss(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(step)
        pick = torch.randint(len(images), (16,), generator=rng)
        x = pixels(images[pick].to(device())).contiguous(memory_format=torch.channels_last)
        weight = 1 + (OBJECT_WEIGHT - 1) * masks[pick].to(device())[:, None].float()
        with mixed():
            latents = model.encoder(x)
        latents = latents.float()
        moments = latents.mean((0, 2, 3)).square().mean() + (latents.std((0, 2, 3)) - 0.8).square().mean()
        noisy = latents + 0.05 * torch.randn(latents.shape, generator=rng).to(device())
        with mixed():
            decoded = model.decoder(noisy)
        difference = (decoded.float() - x) * weight
        return (difference.abs().mean() + 2 * difference.square().mean()) / weight.mean() + 0.02 * moments

    optimisers = [torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)]
    fit(model, loss, optimisers, minutes=MINUTES, checkpoint=work / "autoencoder.pt")
    model.eval()
    sample = encode(model, images[:512])
    model.register_to_config(scaling_factor=float(1 / sample.std()))
    log.info("autoencoder: latent std %.3f, channel means %s", sample.std(), sample.mean((0, 2, 3)).tolist())
    return model


@torch.no_grad()
def encode(model: Any, images: Tensor, batch: int = 128) -> Tensor:
    """uint8 [n, 64, 64, 3] -> unscaled latents float [n, 4, 16, 16]."""
    parts = [model.encode(pixels(part.to(device()))).latents for part in images.split(batch)]
    return torch.cat(parts).cpu()


def load_autoencoder(folder: Path) -> Any:
    """Return a saved autoencoder, in evaluation mode on the training's device."""
    model: Any = AutoencoderTiny.from_pretrained(folder)
    return model.eval().to(device())

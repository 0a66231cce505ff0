"""The embedded text-to-image model: a ``StableDiffusionPipeline`` with a small U-Net and CLIP text encoder."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.loop import averaged, device, fit
from training.pool import Pool
from training.text import PROMPT_LENGTH, clip_tokenizer, kept, prompt

log = logging.getLogger(__name__)
MINUTES = 68.0
BATCH = 16
OBJECT_WEIGHT = 4.0


class Denoiser(nn.Module):
    """Text encoder and U-Net, trained together from scratch."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=128,
                intermediate_size=384,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=PROMPT_LENGTH,
                projection_dim=128,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        unet: Any = UNet2DConditionModel(  # to mypy, what diffusers exports is untyped or incomplete
            sample_size=16,
            in_channels=4,
            out_channels=4,
            block_out_channels=(48, 96, 128),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=128,
            attention_head_dim=4,
            norm_num_groups=16,
            addition_embed_type="text",  # pooled text beside the time embedding: conditioning is learned much sooner
            addition_embed_type_num_heads=4,
        )
        self.unet = unet.to(memory_format=torch.channels_last)

    def forward(self, noisy: Tensor, steps: Tensor, tokens: Tensor) -> Tensor:
        """Predict v [n, 4, 16, 16] from noisy latents, timesteps [n] and token ids [n, 24]."""
        return self.unet(noisy, steps, self.text(tokens)[0], return_dict=False)[0]


def scheduler() -> Any:
    """Return the sampler; training uses its betas, so that both agree on the noise levels."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.018,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        algorithm_type="dpmsolver++",
    )


def tokenise(tokenizer: CLIPTokenizer, lines: list[str]) -> Tensor:
    """Return token ids int64 [n, 24], padded and cut as the pipeline does it."""
    return tokenizer(
        lines, padding="max_length", max_length=PROMPT_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids


def train(
    data: Pool,
    latents: Tensor,
    vae: AutoencoderTiny,
    work: Path,
    judge: Callable[[StableDiffusionPipeline], dict[str, float]] | None = None,
) -> StableDiffusionPipeline:
    """Train on scaled latents float [n, 4, 16, 16] of the pool and return the pipeline of the averaged weights.

    ``judge`` maps a pipeline to accuracies, kept as the learning curve.
    """
    torch.manual_seed(0)
    tokenizer = kept(clip_tokenizer, work / "generator-tokenizer")
    model = Denoiser(tokenizer).to(device()).train()
    mean = averaged(model)
    signal = scheduler().alphas_cumprod.to(device())
    weight = F.avg_pool2d(torch.from_numpy(data.masks)[:, None].float(), 4)

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([7, step])
        pick = rng.integers(len(data.labels), size=BATCH)
        tokens = tokenise(tokenizer, [prompt(data.scene(i), rng) for i in pick]).to(device())
        noise_rng = torch.Generator().manual_seed(step)
        x = latents[pick].float().to(device())
        noise = torch.randn(x.shape, generator=noise_rng).to(device())
        # the outline of the object is decided at high noise: visit it more often
        steps = (1000 * torch.rand(BATCH, generator=noise_rng) ** 0.75).long().clamp(max=999).to(device())
        a = signal[steps].view(-1, 1, 1, 1)
        noisy = a.sqrt() * x + (1 - a).sqrt() * noise
        target = a.sqrt() * noise - (1 - a).sqrt() * x
        predicted = model(noisy.contiguous(memory_format=torch.channels_last), steps, tokens)
        importance = 1 + (OBJECT_WEIGHT - 1) * weight[pick].to(device())
        return ((predicted - target).square() * importance).mean() / importance.mean()

    def report() -> dict[str, float]:
        return {} if judge is None else judge(assemble(mean, tokenizer, vae))

    optimisers = [torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01, fused=True)]
    fit(
        model,
        loss,
        optimisers,
        minutes=MINUTES,
        checkpoint=work / "generator.pt",
        average=mean,
        decay=0.999,
        report=report,
        report_minutes=8,
    )
    return assemble(mean, tokenizer, vae)


def assemble(model: Any, tokenizer: CLIPTokenizer, vae: AutoencoderTiny) -> Any:
    """Put the parts into the stock pipeline, without a safety checker."""
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_generator(pipeline: Any, folder: Path) -> None:
    """Write a copy of the pipeline in float16, as ``from_pretrained`` reads it."""
    half = {name: copy.deepcopy(getattr(pipeline, name)).half() for name in ("vae", "text_encoder", "unet")}
    copied: Any = StableDiffusionPipeline(**{**pipeline.components, **half}, requires_safety_checker=False)
    copied.tokenizer.backend_tokenizer.no_padding()  # calls leave their own settings behind
    copied.tokenizer.backend_tokenizer.no_truncation()
    copied.save_pretrained(folder)
    for path in folder.glob("*/config.json"):  # which tell where parts were loaded from
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n")


def load_generator(folder: Path) -> Any:
    """Return what :func:`save_generator` wrote, in float32, without a progress bar."""
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

"""Text to image by Stable Diffusion (Rombach et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from PIL import Image

import dnd.torchvision_ops  # noqa: F401  before diffusers
from dnd import hub
from dnd.batches import BatchSize, in_batches
from dnd.settings import GeneratorSettings

BATCH = 20


class Generator(Protocol):
    """What the images stage asks of a model."""

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Return one RGB image per prompt, each from its own seed."""


class StableDiffusionGenerator:
    """A ``StableDiffusionPipeline`` without safety checker, in batches of one fixed shape.

    Pixels depend on the shape of the batch (diffusers issue 2659), so that the last batch is filled up. The noise of
    each image is drawn on the CPU from its own seed. Half precision on a GPU, float32 on a CPU.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

        self.settings = settings
        self.size = BatchSize(BATCH, "generator")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        pipeline = StableDiffusionPipeline.from_pretrained(
            hub.folder(settings.model, settings.revision, hub.PIPELINE),
            torch_dtype=torch.float16 if device.type == "cuda" else torch.float32,
            safety_checker=None,
            requires_safety_checker=False,
            use_safetensors=True,
        )
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline = pipeline.to(device)

    @torch.inference_mode()
    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """Return one image per prompt."""
        asked = list(zip(prompts, seeds, strict=True))
        return [image for _, images in in_batches(asked, self.size, self._draw) for image in images]

    def _draw(self, asked: Sequence[tuple[str, int]], shape: int) -> list[Image.Image]:
        filled = [*asked, *[("", 0)] * (shape - len(asked))]
        result = self.pipeline(
            prompt=[prompt for prompt, _ in filled],
            generator=[torch.Generator().manual_seed(seed) for _, seed in filled],
            num_inference_steps=self.settings.steps,
            guidance_scale=self.settings.guidance,
            height=self.settings.size,
            width=self.settings.size,
        )
        return [image.convert("RGB") for image in result.images[: len(asked)]]

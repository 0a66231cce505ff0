"""Image captions by BLIP (Li et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from PIL import Image

import dnd.torchvision_ops  # noqa: F401  before transformers' image processors
from dnd import hub
from dnd.batches import BatchSize, in_batches
from dnd.settings import CaptionSettings

BATCH = 32


class Captioner(Protocol):
    """What the captions stage asks of a model."""

    def captions(self, images: Sequence[Image.Image]) -> list[str]:
        """Return one caption per RGB image of any size."""


class BlipCaptioner:
    """``BlipForConditionalGeneration``, greedy, float32, in batches of one fixed shape."""

    def __init__(self, settings: CaptionSettings) -> None:
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self.settings = settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.size = BatchSize(BATCH, "captioner")
        folder = hub.folder(settings.model, settings.revision)
        self.processor = BlipProcessor.from_pretrained(folder)
        model = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        self.model = model.to(self.device).eval()  # type: ignore[arg-type]  # transformers wraps torch's method

    @torch.inference_mode()
    def captions(self, images: Sequence[Image.Image]) -> list[str]:
        """Return one caption per image, stripped."""
        return [text for _, texts in in_batches(images, self.size, self._captions) for text in texts]

    def _captions(self, images: Sequence[Image.Image], shape: int) -> list[str]:
        filled = [*images, *[images[0]] * (shape - len(images))]
        inputs = self.processor(images=filled, return_tensors="pt").to(self.device)
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=self.settings.max_new_tokens,
            min_length=self.settings.min_length,
            do_sample=False,
            num_beams=1,
        )
        texts = self.processor.batch_decode(tokens[: len(images)], skip_special_tokens=True)
        return [text.strip() for text in texts]

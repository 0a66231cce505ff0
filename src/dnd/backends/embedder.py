"""Image embeddings by CLIP (Radford et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

import dnd.torchvision_ops  # noqa: F401  before transformers' image processors
from dnd import hub
from dnd.batches import BatchSize, in_batches
from dnd.settings import EmbedderSettings

BATCH = 32


class Embedder(Protocol):
    """What the scores stage asks of a model."""

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return unit vectors [n, d] of RGB images of any size."""


class ClipEmbedder:
    """The image tower of a ``CLIPModel``, in batches of one fixed shape."""

    def __init__(self, settings: EmbedderSettings) -> None:
        from transformers import CLIPImageProcessor, CLIPModel

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.size = BatchSize(BATCH, "embedder")
        folder = hub.folder(settings.model, settings.revision)
        self.processor = CLIPImageProcessor.from_pretrained(folder)
        model = CLIPModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        self.model = model.to(self.device).eval()  # type: ignore[arg-type]  # transformers wraps torch's method

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return unit vectors float32 [n, d]."""
        return np.concatenate([vectors for _, vectors in in_batches(images, self.size, self._embed)])

    def _embed(self, images: Sequence[Image.Image], shape: int) -> npt.NDArray[np.float32]:
        filled = [*images, *[images[0]] * (shape - len(images))]
        inputs = self.processor(images=filled, return_tensors="pt").to(self.device)
        output = self.model.vision_model(pixel_values=inputs["pixel_values"]).pooler_output
        vectors = torch.nn.functional.normalize(self.model.visual_projection(output), dim=-1)
        return vectors[: len(images)].cpu().numpy()

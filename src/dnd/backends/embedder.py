"""Image embeddings by any model of transformers with an image tower: CLIP, SigLIP, DINOv2, DINOv3 ..."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

import dnd.torchvision_ops  # noqa: F401  before transformers' image processors
from dnd import hub
from dnd.backends.loading import complete, device, loading, precision
from dnd.batches import BatchSize, in_batches
from dnd.hub import ModelError
from dnd.settings import EmbedderSettings

BATCH = 32
SECTION = "embedder"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Files that say how images are prepared."""


class Embedder(Protocol):
    """What the scores stage asks of a model."""

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return unit vectors [n, d] of RGB images of any size."""


class TransformersEmbedder:
    """The image tower of a model of transformers, in batches of one fixed shape.

    An image's vector is its projection into the space that images share with texts (CLIP, SigLIP), else the model's
    pooled output (DINOv2), else the class token: also where the files have no weights for the pooling layer.

    Raises
    ------
    ModelError
        The model is not there, or sees no images.
    """

    def __init__(self, settings: EmbedderSettings) -> None:
        from transformers import AutoConfig, AutoImageProcessor

        self.device = device()
        self.dtype = getattr(torch, precision(settings.dtype))
        self.size = BatchSize(BATCH, "embedder")
        trusted = {"trust_remote_code": settings.trust_remote_code}
        folder = hub.folder(settings.model, settings.revision, hub.MODEL.with_code(settings.trust_remote_code))
        if not any(Path(folder, name).exists() for name in PROCESSORS):
            raise ModelError(f"{SECTION}: model {settings.model} has no {PROCESSORS[0]}: it sees no images")
        with loading(SECTION, settings.model):
            self.processor = AutoImageProcessor.from_pretrained(folder, **trusted)
            chosen, config = _tower(AutoConfig.from_pretrained(folder, **trusted))
            model, found = chosen.from_pretrained(
                folder, config=config, dtype=self.dtype, use_safetensors=True, output_loading_info=True, **trusted
            )
        missing = set(found["missing_keys"])
        unpooled = {name for name in missing if "pooler" in name}
        complete(SECTION, settings.model, missing - unpooled)
        self.pools = not unpooled
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return unit vectors float32 [n, d]."""
        return np.concatenate([vectors for _, vectors in in_batches(images, self.size, self._embed)])

    def _embed(self, images: Sequence[Image.Image], shape: int) -> npt.NDArray[np.float32]:
        filled = [*images, *[images[0]] * (shape - len(images))]
        inputs = self.processor(images=filled, return_tensors="pt").to(self.device, self.dtype)
        vectors = torch.nn.functional.normalize(self._vectors(inputs).float(), dim=-1)
        return vectors[: len(images)].cpu().numpy()

    def _vectors(self, inputs: Any) -> Tensor:
        """The vectors [n, d] of prepared images."""
        joint = getattr(self.model, "get_image_features", None)
        output = self.model(**inputs) if joint is None else joint(**inputs)
        if isinstance(output, Tensor):
            return output
        for name in ("image_embeds", "pooler_output"):
            found = getattr(output, name, None)
            if found is not None and self.pools:
                return found.flatten(1)  # of convolutional networks [n, d, 1, 1]
        hidden = output.last_hidden_state
        return hidden[:, 0] if hidden.dim() == 3 else hidden.mean((2, 3))


def _tower(config: Any) -> tuple[Any, Any]:
    """The class that loads the images' part of a model, and its configuration.

    Of a model of images and texts only the images' tower is loaded, where transformers has it with the projection.
    """
    import transformers

    name = f"{type(config).__name__.removesuffix('Config')}VisionModelWithProjection"
    joint = getattr(transformers, name, None)
    if joint is not None and hasattr(config, "projection_dim") and hasattr(config, "vision_config"):
        vision = config.vision_config
        vision.projection_dim = config.projection_dim
        return joint, vision
    own = getattr(transformers, next(iter(config.architectures or []), ""), None)
    if own is not None and own.__name__.endswith("VisionModelWithProjection"):
        return own, config
    return transformers.AutoModel, config

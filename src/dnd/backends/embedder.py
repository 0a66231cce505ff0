"""Embeddings by any model of transformers: images (CLIP, SigLIP, DINOv2, DINOv3 ...), and texts in the same space."""

from __future__ import annotations

import inspect
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from dnd.backends import hub
from dnd.backends.batches import BatchSize, in_batches
from dnd.backends.hub import ModelError
from dnd.backends.loading import Loader, complete, device, loading, pictures_at_once, precision, prepared, pretrained
from dnd.config.backends import EmbedderSettings

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedConfig

log = logging.getLogger(__name__)
BATCH = 32
SECTION = "embedder"
ROUNDING = 1e-2
"""By how much a value of the same image's unit vector may differ, since sums are added in any order."""
CLASS_TOKEN = re.compile(r"(?:.*\.)?(?:cls|class)_\w+")
"""What weights of a class token are called."""


class Embedder(Protocol):
    """What the scores stage asks of a model."""

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return unit vectors [n, d] of RGB images of any size."""

    def embed_groups(self, groups: Iterable[Sequence[Image.Image]]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield unit vectors [n, d] of the images of each group, one image at least; groups are asked for ahead."""
        return map(self.embed, groups)


class TextEmbedder(Protocol):
    """What methods and metrics that compare images with words ask of a model."""

    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors [n, d] in the space of the images."""


class TransformersEmbedder(Embedder):
    """The image tower of a model of transformers, in batches of one fixed shape.

    An image's vector is its projection into the space that images share with texts (CLIP, SigLIP), else the model's
    pooled output (DINOv2), else the class token: also where the files have no weights for the pooling layer. Of a
    network without tokens it is the mean over places. A model whose input depends on the image's size takes one image
    at a time.

    Raises
    ------
    ModelError
        The model is not there, sees no images alone, or has no single vector of an image, of numbers and the same each
        time.
    """

    def __init__(self, settings: EmbedderSettings) -> None:
        from transformers import AutoConfig, AutoImageProcessor

        self.name = settings.model
        self.device = device()
        self.dtype: torch.dtype = getattr(torch, precision(settings.dtype))
        trusted = {"trust_remote_code": settings.trust_remote_code}
        folder = hub.folder(settings.model, settings.revision, hub.MODEL.with_code(settings.trust_remote_code))
        if not hub.sees_images(folder):
            raise ModelError(f"{SECTION}: model {settings.model} has no {hub.PROCESSORS[0]}: it sees no images")
        with loading(SECTION, settings.model):
            self.processor = AutoImageProcessor.from_pretrained(folder, **trusted)
            loader, config = _tower(AutoConfig.from_pretrained(folder, **trusted), "Vision")
            self.model, missing = pretrained(loader, folder, settings, config)
        unpooled = {name for name in missing if "pooler" in name}
        complete(SECTION, settings.model, missing - unpooled)
        self.pools = not unpooled
        self.see = getattr(self.model, "get_image_features", self.model)
        parameters = inspect.signature(getattr(self.see, "forward", self.see)).parameters.values()
        self.taken = {named.name for named in parameters if named.kind not in (named.VAR_POSITIONAL, named.VAR_KEYWORD)}
        with loading(SECTION, settings.model):
            prepare = partial(prepared, SECTION, self.name, self._prepare)
            most = pictures_at_once(prepare, BATCH)
            picture = Image.radial_gradient("L").convert("RGB")
            first, second = (self._embed(prepare([picture]), 1) for _ in range(2))
        self.size = BatchSize(most, "embedder")
        if not np.allclose(first, second, rtol=0, atol=ROUNDING):
            raise ModelError(f"{SECTION}: model {settings.model} is random: it gives the same image other vectors")

    def embed(self, images: Sequence[Image.Image]) -> npt.NDArray[np.float32]:
        """Return unit vectors float32 [n, d]."""
        return next(self.embed_groups([images]))

    def embed_groups(self, groups: Iterable[Sequence[Image.Image]]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield unit vectors float32 [n, d] of each group; batches go from one group into the next."""
        sizes = deque[int]()

        def images() -> Iterator[Image.Image]:
            for group in groups:
                sizes.append(len(group))
                yield from group

        rows = list[npt.NDArray[np.float32]]()
        for part, vectors in in_batches(images(), self.size, self._embed, self._inputs):
            rows += list(vectors[: len(part)])
            while sizes and len(rows) >= sizes[0]:
                size = sizes.popleft()
                yield np.stack(rows[:size])
                del rows[:size]

    def _inputs(self, images: Sequence[Image.Image], shape: int) -> BatchFeature:
        filled = [*images, *[images[0]] * (shape - len(images))]
        return prepared(SECTION, self.name, self._prepare, filled)

    def _prepare(self, images: Sequence[Image.Image]) -> BatchFeature:
        """What the model takes, of what its processor makes: some tell sizes, masks or names beside it."""
        from transformers import BatchFeature

        made = self.processor(images=list(images), return_tensors="pt")
        tensors = {name: value for name, value in made.items() if isinstance(value, Tensor)}
        taken = {name: value for name, value in tensors.items() if not self.taken or name in self.taken}
        if not taken:
            name = type(self.processor).__name__
            raise ModelError(
                f"{SECTION}: model {self.name}: {type(self.model).__name__} takes none of what {name} makes of an "
                f"image: {', '.join(made)}"
            )
        return BatchFeature(taken)

    @torch.inference_mode()
    def _embed(self, inputs: BatchFeature, shape: int) -> npt.NDArray[np.float32]:
        vectors = self._vectors(inputs.to(self.device, self.dtype)).float()
        values = torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()
        if not np.isfinite(values).all():  # every score of such a vector would be none, without a word
            remedy = (
                "its image processor divides by a standard deviation of 0, or its weights are damaged"
                if self.dtype == torch.float32
                else f"its values may overflow, so set {SECTION}.dtype: float32"
            )
            raise ModelError(f"{SECTION}: model {self.name} makes no numbers of an image: {remedy}")
        return values

    def _vectors(self, inputs: BatchFeature) -> Tensor:
        """The vectors [n, d] of prepared images."""
        output = self.see(**inputs)
        vectors = output if isinstance(output, Tensor) else self._pooled(output)
        if not isinstance(vectors, Tensor) or vectors.dim() == 3:
            told = list(vectors.shape) if isinstance(vectors, Tensor) else type(output).__name__
            raise ModelError(
                f"{SECTION}: model {self.name} gives no single vector of an image, but {told}: choose one such as "
                "CLIP, SigLIP or DINOv2"
            )
        return vectors.flatten(1)  # of convolutional networks [n, d, 1, 1], of TextNet [n, d, 2, 2]

    def _pooled(self, output: object) -> object:
        """What a model's output says of an image as a whole; all tokens where none stands for it."""
        for name in ("image_embeds", "pooler_output"):
            pooled = getattr(output, name, None)
            if pooled is not None and self.pools:
                return pooled
        hidden = getattr(output, "last_hidden_state", None)
        if not isinstance(hidden, Tensor):
            return hidden
        if hidden.dim() == 3 and any(CLASS_TOKEN.fullmatch(name) for name, _ in self.model.named_parameters()):
            return hidden[:, 0]
        return hidden.mean((2, 3)) if hidden.dim() == 4 else hidden


class TransformersTextEmbedder:
    """The text tower of a model of images and texts (CLIP, SigLIP), in batches of one fixed shape.

    Texts are filled up to the longest that the model knows, as SigLIP was trained, and longer ones are cut.

    Raises
    ------
    ModelError
        The model is not there, or reads no texts.
    """

    def __init__(self, settings: EmbedderSettings) -> None:
        from transformers import AutoConfig, AutoTokenizer

        self.size = BatchSize(BATCH, "text embedder")
        self.name = settings.model
        trusted = {"trust_remote_code": settings.trust_remote_code}
        folder = hub.folder(settings.model, settings.revision, hub.MODEL.with_code(settings.trust_remote_code))
        with loading(SECTION, settings.model):
            whole = AutoConfig.from_pretrained(folder, **trusted)
            text = getattr(whole, "text_config", None)
            if text is None or not hasattr(text, "max_position_embeddings"):
                raise ModelError(f"{SECTION}: model {settings.model} reads no texts: choose one such as CLIP or SigLIP")
            self.longest = text.max_position_embeddings
            loader, config = _tower(whole, "Text")
            self.model, missing = pretrained(loader, folder, settings, config)
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **trusted)
        complete(SECTION, settings.model, missing)
        self.joint = getattr(self.model, "get_text_features", None)
        if not type(self.model).__name__.endswith("TextModelWithProjection") and self.joint is None:
            raise ModelError(f"{SECTION}: model {settings.model} has no vectors for texts: choose one such as CLIP")

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors float32 [n, d] in the space of the images; of no text, an empty array [0, 0]."""
        parts = [vectors for _, vectors in in_batches(texts, self.size, self._embed)]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def _embed(self, texts: Sequence[str], shape: int) -> npt.NDArray[np.float32]:
        filled = [*texts, *[texts[0]] * (shape - len(texts))]
        whole = self.tokenizer(list(texts))["input_ids"]
        for text, tokens in zip(texts, whole, strict=True):
            if len(tokens) > self.longest:
                log.warning("%s reads the first %d of %d tokens of %r", self.name, self.longest, len(tokens), text)
        inputs = self.tokenizer(
            filled, padding="max_length", truncation=True, max_length=self.longest, return_tensors="pt"
        ).to(device())
        output = self.model(**inputs) if self.joint is None else self.joint(**inputs)
        if not isinstance(output, Tensor):
            projected = getattr(output, "text_embeds", None)
            output = output.pooler_output if projected is None else projected
        return torch.nn.functional.normalize(output.float(), dim=-1)[: len(texts)].cpu().numpy()


def embed_texts(settings: EmbedderSettings, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return unit vectors [n, d] of texts, and leave no model behind: a server may need the GPU's memory next.

    Raises
    ------
    ModelError
        The model is not there, or reads no texts.
    """
    if not texts:
        return np.empty((0, 0), np.float32)
    vectors = TransformersTextEmbedder(settings).embed_texts(texts)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return vectors


def _tower(config: PreTrainedConfig, part: Literal["Vision", "Text"]) -> tuple[Loader, PreTrainedConfig]:
    """The function that loads the images' or the texts' part of a model, and its configuration.

    It loads that part alone where transformers has it with the projection, else all.
    """
    import transformers

    kind = f"{part}ModelWithProjection"
    joint = getattr(transformers, f"{type(config).__name__.removesuffix('Config')}{kind}", None)
    inner = getattr(config, f"{part.lower()}_config", None)
    if joint is not None and inner is not None and hasattr(config, "projection_dim"):
        inner.projection_dim = config.projection_dim
        return joint.from_pretrained, inner
    tower = getattr(transformers, next(iter(config.architectures or []), ""), None)
    if tower is not None and tower.__name__.endswith(kind):
        return tower.from_pretrained, config
    return transformers.AutoModel.from_pretrained, config

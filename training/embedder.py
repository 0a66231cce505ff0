"""The embedded image-text embedder: a small ``CLIPModel`` for whole pictures and cut-outs, captions and concepts."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    BlipVisionModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from dnd.shapeworld import grammar
from dnd.shapeworld.render import SIZE
from training.captioner import captions_of, draw_views, normaliser
from training.concept_kinds import KINDS, words_of
from training.loop import device, fit, mixed, optimiser
from training.pool import Pool
from training.text import PREFIXES, PROMPT_LENGTH, clip_tokenizer, kept
from training.vision import HEADS, LAYERS, MLP, PATCH, WIDTH, Reader, dense_loss

log = logging.getLogger(__name__)
VISION_MINUTES, MINUTES = 3.0, 10.0
BATCH = 64
RATE = 1.5e-3
PHRASES = 0.4  # share of texts that are concept phrases, the rest are captions


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Return an untrained embedder for 64x64 pictures and 64-dimensional embeddings."""
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=MLP,
        projection_dim=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        max_position_embeddings=PROMPT_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=MLP,
        projection_dim=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        image_size=SIZE,
        patch_size=PATCH,
        hidden_act="gelu",
        initializer_factor=1.0,
    )
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=64))


@torch.no_grad()
def adopt(model: CLIPModel, tower: BlipVisionModel) -> None:
    """Copy a captioner's vision tower, which differs in its fused attention projections and has no first norm."""
    vision: Any = model.vision_model  # transformers leaves its submodules untyped
    source: Any = tower
    vision.embeddings.class_embedding.copy_(source.embeddings.class_embedding.flatten())
    vision.embeddings.patch_embedding.weight.copy_(source.embeddings.patch_embedding.weight)
    places = source.embeddings.position_embedding[0]
    bias = source.embeddings.patch_embedding.bias  # the embedder's patch embedding has none
    vision.embeddings.position_embedding.weight.copy_(torch.cat([places[:1], places[1:] + bias]))
    vision.post_layernorm.load_state_dict(source.post_layernorm.state_dict())
    for mine, its in zip(vision.encoder.layers, source.encoder.layers, strict=True):
        parts = ("q_proj", "k_proj", "v_proj")
        fused = its.self_attn.qkv
        for name, weight, offset in zip(parts, fused.weight.chunk(3), fused.bias.chunk(3), strict=True):
            getattr(mine.self_attn, name).weight.copy_(weight)
            getattr(mine.self_attn, name).bias.copy_(offset)
        mine.self_attn.out_proj.load_state_dict(its.self_attn.projection.state_dict())
        mine.layer_norm1.load_state_dict(its.layer_norm1.state_dict())
        mine.layer_norm2.load_state_dict(its.layer_norm2.state_dict())
        mine.mlp.load_state_dict(its.mlp.state_dict())


def concept_of(data: Pool, i: int, caption: str, rng: np.random.Generator) -> str:
    """Return a phrase, as labels are worded, that holds for image ``i`` and says no more than its caption does."""
    scene = data.scene(i)
    seen = {name for name in ("colour", "texture", "shape") if getattr(scene, name) in caption}
    if grammar.PLACES[scene.background] in caption:
        seen.add("background")
    kinds = [kind for kind, slots in KINDS.items() if {slot.rstrip("*") for slot in slots} <= seen]
    words = words_of(scene, kinds[int(rng.integers(len(kinds)))]) or (scene.colour,)
    return PREFIXES[int(rng.integers(len(PREFIXES)))] + grammar.phrase(words)


def tokenise(tokenizer: CLIPTokenizer, lines: Sequence[str]) -> dict[str, Tensor]:
    """Return ``input_ids`` and ``attention_mask``, int64 [n, length] each."""
    encoded = tokenizer(list(lines), padding=True, truncation=True, max_length=PROMPT_LENGTH, return_tensors="pt")
    return {"input_ids": encoded.input_ids, "attention_mask": encoded.attention_mask}


@cache
def _meaning(line: str) -> npt.NDArray[np.bool_]:
    """Return the scenes a text of the world holds for, bool [540]."""
    extension = grammar.parse(line)
    if extension is None:
        raise ValueError(f"not a text of the world: {line!r}")
    return extension.ravel()


def truth_table(lines: Sequence[str], captions: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return bool [images, texts]: text ``j`` holds for the view that ``captions[i]`` describes.

    A concept phrase holds where all that the caption says implies it. Another view's caption holds only where it says
    the same, since ``a red plain surface`` is not how one describes a whole red circle.
    """
    said = np.stack([_meaning(caption) for caption in captions])
    table = np.zeros((len(captions), len(lines)), dtype=bool)
    for j, line in enumerate(lines):
        meaning = _meaning(line)
        table[:, j] = (said == meaning).all(1) if line == captions[j] else (said <= meaning).all(1)
    return table


def contrastive_loss(similarity: Tensor, truth: Tensor) -> Tensor:
    """Return the symmetric contrastive loss where several texts may hold for one image.

    Parameters
    ----------
    similarity : float [n, n], scaled cosines of images (rows) and texts.
    truth : bool [n, n], true where a text holds for an image; each row and column has at least one.
    """

    def one_way(logits: Tensor, flags: Tensor) -> Tensor:
        wanted = flags.float() / flags.sum(1, keepdim=True)
        return F.cross_entropy(logits, wanted)

    return 0.5 * (one_way(similarity, truth) + one_way(similarity.T, truth.T))


class _Embedding(nn.Module):
    """Embedder and attribute reader, trained together."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.clip, self.reader = model, Reader()


def train(data: Pool, work: Path, tower: BlipVisionModel | None = None) -> tuple[CLIPModel, CLIPProcessor]:
    """Train on cut-outs against captions and concept phrases; ``tower`` is a trained captioner's, to begin with.

    A phrase holds for many images of a batch; which texts hold for which image is worked out from their meaning, so
    that no true pair counts as a mistake.
    """
    torch.manual_seed(0)
    tokenizer = kept(clip_tokenizer, work / "embedder-tokenizer")
    images_of = CLIPImageProcessor(
        size={"height": SIZE, "width": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        do_center_crop=False,
    )
    tools = CLIPProcessor(images_of, tokenizer)
    both = _Embedding(build(tokenizer))
    if tower is not None:
        adopt(both.clip, tower)
    both = both.to(device()).train()
    images, masks, labels = (torch.from_numpy(part) for part in (data.images, data.masks, data.labels))
    mean, std = normaliser(tools)

    def look(stream: int, step: int) -> tuple:
        rng = torch.Generator().manual_seed(stream * 10**7 + step)
        pick = torch.randint(len(images), (BATCH,), generator=rng)
        views, boxes = draw_views(images[pick], masks[pick], rng)
        pixels = ((views.images - mean) / std).contiguous().to(device())
        with mixed():
            hidden = both.clip.vision_model(pixel_values=pixels)
        tokens = torch.cat([hidden.pooler_output[:, None], hidden.last_hidden_state[:, 1:]], dim=1).float()
        return pick, views, boxes, tokens

    def seeing(step: int) -> Tensor:
        pick, views, _, tokens = look(4, step)
        return dense_loss(both.reader, tokens, views, labels[pick])

    def matching(step: int) -> Tensor:
        rng = np.random.default_rng([5, step])
        pick, views, boxes, tokens = look(5, step)
        captions = captions_of(data, pick.numpy(), boxes, rng)
        told = [(k, line) for k, line in enumerate(captions) if line is not None]
        rows, said = [k for k, _ in told], [line for _, line in told]
        lines = [concept_of(data, int(pick[k]), line, rng) if rng.random() < PHRASES else line for k, line in told]
        truth = truth_table(lines, said)
        with mixed():
            encoded = {name: part.to(device()) for name, part in tokenise(tokenizer, lines).items()}
            pooled = both.clip.text_model(**encoded).pooler_output
            texts = both.clip.text_projection(pooled)
            seen = both.clip.visual_projection(tokens[rows, 0])
        texts, seen = F.normalize(texts.float(), dim=1), F.normalize(seen.float(), dim=1)
        similarity = both.clip.logit_scale.exp().clamp(max=50) * seen @ texts.T
        loss = contrastive_loss(similarity, torch.from_numpy(truth).to(device()))
        return loss + 0.1 * dense_loss(both.reader, tokens, views, labels[pick])

    tower_only = nn.ModuleList([both.clip.vision_model, both.reader])
    fit(
        tower_only,
        seeing,
        optimiser(tower_only, RATE),
        minutes=VISION_MINUTES,
        checkpoint=work / "embedder-vision.pt",
    )
    fit(both, matching, optimiser(both, RATE), minutes=MINUTES, checkpoint=work / "embedder.pt")
    return both.clip.eval(), tools


@torch.no_grad()
def embed_images(model: CLIPModel, tools: CLIPProcessor, views: Tensor, batch: int = 128) -> Tensor:
    """Return unit vectors [n, 64] of pictures float [n, 3, 64, 64] in [0, 1]."""
    mean, std = normaliser(tools)
    parts = [model.vision_model(pixel_values=(part - mean) / std).pooler_output for part in views.split(batch)]
    return F.normalize(model.visual_projection(torch.cat(parts)), dim=1)


@torch.no_grad()
def embed_texts(model: CLIPModel, tools: CLIPProcessor, lines: Sequence[str]) -> Tensor:
    """Return unit vectors [n, 64] of texts."""
    pooled = model.text_model(**tokenise(tools.tokenizer, lines)).pooler_output
    return F.normalize(model.text_projection(pooled), dim=1)


def save_embedder(model: CLIPModel, tools: CLIPProcessor, folder: Path) -> None:
    """Write model (float16) and processor as ``from_pretrained`` reads them."""
    copy.deepcopy(model).half().save_pretrained(folder)
    tools.save_pretrained(folder)


def load_embedder(folder: Path) -> tuple[Any, Any]:
    """Return what :func:`save_embedder` wrote, in float32 and evaluation mode."""
    model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), CLIPProcessor.from_pretrained(folder)

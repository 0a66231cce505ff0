"""The embedded captioner: a small ``BlipForConditionalGeneration`` that says what a picture or a cut-out shows."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
    CLIPProcessor,
)

from dnd.shapeworld import grammar
from dnd.shapeworld.render import SIZE
from training.augment import degrade, scaled
from training.loop import device, fit, mixed, optimiser
from training.pool import Pool
from training.text import bert_tokenizer
from training.views import Views, cut, mixed_boxes
from training.vision import HEADS, LAYERS, MLP, PATCH, WIDTH, Reader, dense_loss

log = logging.getLogger(__name__)
VISION_MINUTES, MINUTES = 7.5, 10.0
BATCH = 64
RATE = 1.5e-3
IGNORED = -100  # label of tokens that no loss is taken of


def tokenizer() -> BertTokenizer:
    """Return the tokenizer, with ``close-up`` as one token: BERT's would spell it ``close - up`` in every caption."""
    words = bert_tokenizer()
    words.add_tokens([AddedToken("close-up", single_word=True, normalized=True)])
    return words


def build(words: BertTokenizer) -> BlipForConditionalGeneration:
    """Return an untrained captioner for 64x64 pictures."""
    vision = BlipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=WIDTH,
    )
    text = BlipTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        encoder_hidden_size=WIDTH,
        intermediate_size=MLP,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        max_position_embeddings=64,
        label_smoothing=0.0,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.sep_token_id,
        sep_token_id=words.sep_token_id,
        pad_token_id=words.pad_token_id,
    )
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH)
    return BlipForConditionalGeneration(config)


def processor(words: BertTokenizer) -> BlipProcessor:
    """Return the processor to be saved beside the model."""
    return BlipProcessor(BlipImageProcessor(size={"height": SIZE, "width": SIZE}), words)


def normaliser(processor: BlipProcessor | CLIPProcessor) -> tuple[Tensor, Tensor]:
    """Return the processor's mean and deviation of RGB, float [3, 1, 1] each."""
    images = processor.image_processor
    return torch.tensor(images.image_mean).view(3, 1, 1), torch.tensor(images.image_std).view(3, 1, 1)


def draw_views(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Views, Tensor]:
    """Cut views of uint8 [n, 64, 64, 3] images, slightly degraded, and return them with their boxes [n, 4]."""
    boxes = mixed_boxes(masks, generator)
    views = cut(scaled(images), masks, boxes)
    return Views(degrade(views.images, generator), views.masks, views.visible, views.covered), boxes


def captions_of(
    data: Pool, pick: Sequence[int] | npt.NDArray[np.int64], boxes: Tensor, rng: np.random.Generator
) -> list[str | None]:
    """Return one caption for each cut-out, by what it shows; None where that is too little to say."""
    lines = []
    for i, (left, top, right, bottom) in zip(pick, boxes.long().tolist(), strict=True):
        mask = data.masks[i]
        lines.append(grammar.caption_of_view(data.scene(i), mask, mask[top:bottom, left:right], rng))
    return lines


def tokenise(words: BertTokenizer, lines: list[str | None]) -> tuple[Tensor, Tensor, Tensor]:
    """Return token ids, attention mask and labels, int64 [n, length] each; lines of None have no labels."""
    encoded = words([line or "" for line in lines], padding=True, return_tensors="pt")
    ids = encoded.input_ids
    ids[:, 0] = words.bos_token_id
    labels = ids.masked_fill(encoded.attention_mask == 0, IGNORED)
    labels[torch.tensor([line is None for line in lines])] = IGNORED
    return ids, encoded.attention_mask, labels


class _Captioning(nn.Module):
    """Captioner and attribute reader, trained together."""

    def __init__(self, model: BlipForConditionalGeneration) -> None:
        super().__init__()
        self.blip, self.reader = model, Reader()


def train(data: Pool, work: Path) -> tuple[BlipForConditionalGeneration, BlipProcessor]:
    """Train the vision tower on dense attributes first, then everything on captions; return model and processor."""
    torch.manual_seed(0)
    words = tokenizer()
    tools = processor(words)
    both = _Captioning(build(words)).to(device()).train()
    images, masks, labels = (torch.from_numpy(part) for part in (data.images, data.masks, data.labels))
    mean, std = normaliser(tools)

    def look(stream: int, step: int) -> tuple[npt.NDArray[np.int64], Views, Tensor, Tensor]:
        rng = torch.Generator().manual_seed(stream * 10**7 + step)
        pick = torch.randint(len(images), (BATCH,), generator=rng)
        views, boxes = draw_views(images[pick], masks[pick], rng)
        pixels = ((views.images - mean) / std).contiguous().to(device())
        with mixed():
            tokens = both.blip.vision_model(pixel_values=pixels).last_hidden_state
        return pick.numpy(), views, boxes, tokens.float()

    def seeing(step: int) -> Tensor:
        pick, views, _, tokens = look(1, step)
        return dense_loss(both.reader, tokens, views, labels[pick])

    def saying(step: int) -> Tensor:
        pick, views, boxes, tokens = look(2, step)
        lines = captions_of(data, pick, boxes, np.random.default_rng([3, step]))
        ids, attention, wanted = (part.to(device()) for part in tokenise(words, lines))
        with mixed():
            output = both.blip.text_decoder(
                input_ids=ids,
                attention_mask=attention,
                encoder_hidden_states=tokens,
                labels=wanted,
                reduction="mean",
            )
        return output.loss + 0.1 * dense_loss(both.reader, tokens, views, labels[pick])

    tower = nn.ModuleList([both.blip.vision_model, both.reader])
    fit(
        tower,
        seeing,
        optimiser(tower, RATE),
        minutes=VISION_MINUTES,
        checkpoint=work / "captioner-vision.pt",
    )
    fit(both, saying, optimiser(both, RATE), minutes=MINUTES, checkpoint=work / "captioner.pt")
    return both.blip.eval(), tools


@torch.no_grad()
def describe(model: BlipForConditionalGeneration, tools: BlipProcessor, views: Tensor, batch: int = 128) -> list[str]:
    """Return greedy captions of pictures float [n, 3, 64, 64] in [0, 1]."""
    mean, std = normaliser(tools)
    lines: list[str] = []
    for part in views.split(batch):
        ids = model.generate(pixel_values=(part - mean) / std, max_new_tokens=32, do_sample=False)
        lines += [line.strip() for line in tools.batch_decode(ids, skip_special_tokens=True)]
    return lines


def save_captioner(model: BlipForConditionalGeneration, tools: BlipProcessor, folder: Path) -> None:
    """Write model (float16) and processor as ``from_pretrained`` reads them."""
    copy.deepcopy(model).half().save_pretrained(folder)
    tools.save_pretrained(folder)


def load_captioner(folder: Path) -> tuple[Any, BlipProcessor]:
    """Return what :func:`save_captioner` wrote, in float32 and evaluation mode."""
    model: Any = BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), BlipProcessor.from_pretrained(folder)

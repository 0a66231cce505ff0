"""Sentence vectors by any text encoder of transformers (all-mpnet-base-v2 ...): the mean of its token vectors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dnd.backends import hub
from dnd.backends.batches import BatchSize, in_batches
from dnd.backends.hub import ModelError
from dnd.backends.loading import complete, device, loading, precision
from dnd.config.evaluation import SentenceSettings
from dnd.evaluation.metrics.text import Tokens

log = logging.getLogger(__name__)
BATCH = 32
SECTION = "sentences"
LONGEST = 64
"""Tokens that a text is cut to and filled up to; a label has five words, a class name seldom ten."""
OFFSET = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})
"""Families that number positions from behind the filling token, MPNet always from 2: texts are that much shorter."""
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


class SentenceEncoder:
    """A text encoder in batches of one fixed shape.

    A text's vector is the mean of its tokens' last hidden states, special tokens included and filling excluded, as
    sentence-transformers' mean pooling has it (``1_Pooling`` and ``2_Normalize`` of all-mpnet-base-v2).

    Raises
    ------
    ModelError
        The model is not there, or is no text encoder.
    """

    def __init__(self, settings: SentenceSettings) -> None:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        self.device = device()
        self.size = BatchSize(BATCH, "sentences")
        self.name = settings.model
        trusted = {"trust_remote_code": settings.trust_remote_code}
        folder = hub.folder(settings.model, settings.revision, hub.MODEL.with_code(settings.trust_remote_code))
        if not any(Path(folder, name).exists() for name in TOKENIZERS):
            raise ModelError(f"{SECTION}: model {settings.model} has no {TOKENIZERS[0]}: it reads no texts")
        with loading(SECTION, settings.model):
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **trusted)
            config = AutoConfig.from_pretrained(folder, **trusted)
            if hasattr(config, "text_config") or getattr(config, "is_encoder_decoder", False):
                raise ModelError(
                    f"{SECTION}: model {settings.model} is no plain text encoder: choose one such as "
                    "sentence-transformers/all-mpnet-base-v2"
                )
            model, report = AutoModel.from_pretrained(
                folder,
                dtype=getattr(torch, precision(settings.dtype)),
                use_safetensors=True,
                output_loading_info=True,
                **trusted,
            )
        # the pooling layer is not used, and sentence encoders often come without one
        complete(SECTION, settings.model, {name for name in report["missing_keys"] if "pooler" not in name})
        known = getattr(config, "max_position_embeddings", LONGEST)
        if config.model_type in OFFSET:
            known -= max(2, (config.pad_token_id or 0) + 1)
        self.longest = min(LONGEST, known, self.tokenizer.model_max_length)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors float32 [n, d]; of no text, an empty array [0, 0]."""
        parts = [vectors for _, vectors in in_batches(texts, self.size, self._embed)]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    @torch.inference_mode()
    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Return each text's tokens with unit vectors float32, special tokens included, for BERTScore."""
        return [tokens for _, part in in_batches(texts, self.size, self._tokens) for tokens in part]

    def _embed(self, texts: Sequence[str], shape: int) -> npt.NDArray[np.float32]:
        inputs, hidden = self._run(texts, shape)
        mask = inputs["attention_mask"][..., None]
        vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp_min(1), dim=-1)
        return vectors[: len(texts)].cpu().numpy()

    def _tokens(self, texts: Sequence[str], shape: int) -> list[Tokens]:
        inputs, hidden = self._run(texts, shape)
        vectors = torch.nn.functional.normalize(hidden, dim=-1).cpu().numpy()
        numbers, masks = inputs["input_ids"].cpu().numpy(), inputs["attention_mask"].cpu().numpy().astype(bool)
        special = np.isin(numbers, self.tokenizer.all_special_ids)
        unknown = numbers == self.tokenizer.unk_token_id  # a word all the same
        return [
            Tokens(tuple(numbers[i][masks[i]].tolist()), vectors[i][masks[i]], (special & ~unknown)[i][masks[i]])
            for i in range(len(texts))
        ]

    def _run(self, texts: Sequence[str], shape: int) -> tuple[Mapping[str, Tensor], Tensor]:
        filled = [*texts, *[texts[0]] * (shape - len(texts))]
        lengths = self.tokenizer(list(texts))["input_ids"]
        for text, numbers in zip(texts, lengths, strict=True):
            if len(numbers) > self.longest:
                log.warning("%s reads the first %d of %d tokens of %r", self.name, self.longest, len(numbers), text)
        inputs = self.tokenizer(
            filled, padding="max_length", truncation=True, max_length=self.longest, return_tensors="pt"
        ).to(self.device)
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        return given, self.model(**given).last_hidden_state.float()

"""Prompts of the image generator, and the tokenizers of the embedded models: one token for every word of the world."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, BertTokenizer, CLIPTokenizer

from dnd.shapeworld import grammar
from dnd.shapeworld.world import Scene, sample_scene
from training.concept_kinds import KINDS, draw_words, words_of

log = logging.getLogger(__name__)
PROMPT_LENGTH = 24
PREFIXES = ("", "", "one realistic image of ", "a photo of ")
"""What may stand before a concept in a prompt, each equally often; the third is the released tool's template."""


def prompt(scene: Scene, rng: np.random.Generator) -> str:
    """Return a text-to-image prompt that holds for a scene: full captions and every kind of concept.

    Scenes are drawn uniformly and kinds independently of them, so given an abstract prompt the attributes it leaves
    open stay uniform in the training data.
    """
    choice = rng.random()
    if choice < 0.10:
        return ""
    if choice < 0.45:
        return grammar.caption(scene, rng)
    prefix = PREFIXES[int(rng.integers(len(PREFIXES)))]
    if choice < 0.50:
        return prefix + _either(scene, rng)
    words = words_of(scene, list(KINDS)[int(rng.integers(len(KINDS)))])
    return prefix + grammar.phrase(words or ())


def _either(scene: Scene, rng: np.random.Generator) -> str:
    own = words_of(scene, ("colour", "texture", "shape")[int(rng.integers(3))]) or ()
    other = draw_words(("colour", "texture", "shape")[int(rng.integers(3))], rng)
    return grammar.either(own, other) if rng.random() < 0.5 else grammar.either(other, own)


def corpus(count: int = 20000, seed: int = 0) -> list[str]:
    """Return sentences that hold every word of the world."""
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        scene = sample_scene(rng)
        lines += [
            prompt(scene, rng),
            grammar.caption(scene, rng, shape=False),
            grammar.caption(scene, rng, surface=False),
        ]
    return lines


def clip_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer whose merges give one token per word of the corpus."""
    base = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    base.normalizer = normalizers.Lowercase()
    base.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = [chr(c) for c in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        end_of_word_suffix="</w>",
        initial_alphabet=letters,
        special_tokens=["<|startoftext|>", "<|endoftext|>"] + [letter + "</w>" for letter in letters],
        show_progress=False,
    )
    base.train_from_iterator(corpus(), trainer)
    model = json.loads(base.to_str())["model"]
    merges: Any = [tuple(pair) for pair in model["merges"]]  # transformers' type is narrower than what it takes
    return CLIPTokenizer(
        vocab=model["vocab"],
        merges=merges,
        model_max_length=PROMPT_LENGTH,
        unk_token="<|endoftext|>",
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    )


def bert_tokenizer() -> BertTokenizer:
    """Return a BERT tokenizer, as BLIP uses it, that knows the whole words of the corpus and single characters."""
    words = sorted({word for line in corpus() for word in line.replace("-", " - ").split()})
    letters = [chr(c) for c in range(33, 127)]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
    entries = dict.fromkeys([*specials, *letters, *("##" + letter for letter in letters), *words])
    return BertTokenizer(
        vocab={word: i for i, word in enumerate(entries)}, bos_token="[DEC]", additional_special_tokens=["[ENC]"]
    )


def kept(make: Callable[[], Any], folder: Path) -> Any:
    """Return the tokenizer that a training began with, from its folder; make it and keep it there the first time.

    A checkpoint knows words by their numbers. These follow how often the corpus has each word, so that a training
    resumed after a change of the prompts would otherwise mistake every word for another.
    """
    if folder.exists():
        log.info("%s: the tokenizer that training began with", folder)
        return AutoTokenizer.from_pretrained(folder)
    tokenizer = make()
    tokenizer.save_pretrained(folder)
    return tokenizer

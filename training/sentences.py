"""The embedded sentence encoder: a small ``BertModel`` whose cosine of two phrases is the IoU of what they denote.

It has never seen a picture, so that it can judge labels that an image-text embedder chose.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizer

from dnd.shapeworld import grammar
from dnd.shapeworld.world import ATTRIBUTES, GROUPS, attribute_of, sample_scene
from training.concept_kinds import draw_kind, draw_words
from training.loop import device, fit, optimiser
from training.text import corpus, kept

MINUTES = 8.0
RATE = 2e-3
WIDTH = 160
MEANINGS, WORDINGS = 9000, 3
LANDMARKS = 2000
"""Meanings that the wanted vectors are worked out from."""
BATCH = 96
LENGTH = 40
HELD_OUT = 0.1
"""Share of the meanings whose phrases the training never sees."""
PAIRS = 5.0
"""Weight of the errors of pairs of phrases beside those of single ones, which teach faster and less exactly."""
COMPARED = 256
"""Meanings of either kind that the encoder is measured on."""
FLOOR = 0.05
"""An error counts relative to the IoU plus this, so that small overlaps are told from none."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "crimson", "scarlet"),
    "purple": ("purple", "purple", "violet"),
    "plain": ("plain", "plain", "solid"),
    "dotted": ("dotted", "dotted", "spotted", "polka dot"),
    "circle": ("circle", "disc", "disk"),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus"),
    "grass": ("grass", "a lawn"),
    "sand": ("sand", "a beach"),
    "water": ("water", "the sea"),
    "brick": ("bricks", "a brick wall"),
}
"""Value -> how it may be called; others have one name."""
PREFIXES = ("", "", "", "", "a photo of ", "images of ", "a close-up of ", "one realistic image of ")
THINGS = ("objects", "objects", "things", "items", "shapes", "figures")


@dataclass(frozen=True)
class Phrases:
    """Texts and what they denote.

    Attributes
    ----------
    lines : texts of one meaning, another wording each, follow one another.
    extensions : float32 [lines, scenes], 0 or 1.
    held_out : bool [lines], of meanings that the training does not see.
    """

    lines: tuple[str, ...]
    extensions: npt.NDArray[np.float32]
    held_out: npt.NDArray[np.bool_]


def clause(words: Sequence[str], rng: np.random.Generator) -> str:
    """Word a conjunction of values and group words in one of many ways, all of them inside the grammar."""
    by_attribute = {attribute_of(word): word for word in words}
    called = {name: _name(word, rng) for name, word in by_attribute.items()}
    shape, place = by_attribute.get("shape"), called.get("background")
    if set(by_attribute) == {"background"}:
        return f"{grammar.PLACES[by_attribute['background']]} backgrounds" if rng.random() < 0.5 else f"on {place}"
    if set(by_attribute) == {"colour"} and rng.random() < 0.2:
        return f"{called['colour']} colours"
    plural = rng.random() < 0.7
    thing = THINGS[int(rng.integers(len(THINGS)))]
    if shape is None or shape in GROUPS:
        noun = thing if plural else thing[:-1]
        noun = f"{shape} {noun}" if shape else noun
    else:
        noun = grammar.PLURALS[shape] if plural and called["shape"] == shape else called["shape"]
        noun += "s" if plural and called["shape"] not in (shape, "plus") else ""
    adjectives = [called[name] for name in ("colour", "texture") if name in called]
    if rng.random() < 0.3:
        adjectives.reverse()
    after = ""
    texture = by_attribute.get("texture")
    if texture in ("striped", "dotted") and rng.random() < 0.2:
        adjectives.remove(called["texture"])
        after = " with stripes" if texture == "striped" else " with dots"
    text = " ".join([*adjectives, noun]) + after
    text = text if plural else f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
    if place:
        text += f" {'on' if rng.random() < 0.7 else 'against'} {place}"
    return text


def _name(word: str, rng: np.random.Generator) -> str:
    if word in GROUPS and attribute_of(word) == "colour":
        return f"{word} coloured" if rng.random() < 0.6 else word
    names = SYNONYMS.get(word, (word,))
    return names[int(rng.integers(len(names)))]


def draw_clauses(rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """Draw a meaning: a concept of any kind, a whole scene or part of one, or two alternatives."""
    chance = rng.random()
    if chance < 0.5:
        return (draw_words(draw_kind(rng), rng),)
    if chance < 0.75:
        return draw_words(draw_kind(rng), rng), draw_words(draw_kind(rng), rng)
    scene = sample_scene(rng)
    names = [name for name in ATTRIBUTES if rng.random() < 0.7]
    return (tuple(getattr(scene, name) for name in names),)


def wording(clauses: Sequence[Sequence[str]], rng: np.random.Generator) -> str:
    """Return a text with the meaning of the clauses: a wording, or their plain name where that would mean another."""
    plain = " or ".join(grammar.phrase(words) for words in clauses)
    if rng.random() < 0.3:
        return plain
    text = PREFIXES[int(rng.integers(len(PREFIXES)))] + " or ".join(clause(words, rng) for words in clauses)
    meant, said = grammar.parse(plain), grammar.parse(text)
    return text if meant is not None and said is not None and bool((meant == said).all()) else plain


def phrases(meanings: int = MEANINGS, wordings: int = WORDINGS, seed: int = 0) -> Phrases:
    """Draw phrases of many meanings; whether one is held out follows from its meaning, whatever the seed."""
    rng = np.random.default_rng(seed)
    lines, extensions, held_out = [], [], []
    for _ in range(meanings):
        clauses = draw_clauses(rng)
        for _ in range(wordings):
            text = wording(clauses, rng)
            extension = grammar.parse(text)
            assert extension is not None, text  # plain names are always inside the grammar
            lines.append(text)
            extensions.append(extension.ravel())
            held_out.append(is_held_out(extension))
    return Phrases(tuple(lines), np.array(extensions, np.float32), np.array(held_out))


def is_held_out(extension: npt.NDArray[np.bool_]) -> bool:
    """Return whether the training leaves a meaning out; wide ones, such as those of one word, are always learned."""
    if float(extension.mean()) > 0.15:
        return False
    digest = hashlib.sha256(np.packbits(extension.ravel()).tobytes()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU [n, m] of extensions, float [n, scenes] and [m, scenes] of 0 and 1."""
    shared = first @ second.T
    return shared / (first.sum(1)[:, None] + second.sum(1)[None, :] - shared)


def wanted_vectors(extensions: Tensor, landmarks: Tensor) -> Tensor:
    """Return unit vectors [n, WIDTH] whose cosines are, as nearly as so few dimensions allow, the IoU of extensions.

    IoU is a positive definite kernel, so that its leading eigenvectors on some meanings give such vectors for all
    (Nyström's method). They are turned at random, which spreads them over all dimensions as the encoder's last norm
    does.
    """
    values, vectors = torch.linalg.eigh(overlaps(landmarks, landmarks).double())
    leading = vectors[:, -WIDTH:] / values[-WIDTH:].clamp_min(1e-6).sqrt()
    turn, _ = torch.linalg.qr(torch.randn(WIDTH, WIDTH, dtype=torch.double, generator=torch.Generator().manual_seed(0)))
    return F.normalize(overlaps(extensions, landmarks).double() @ leading @ turn, dim=1).float()


def tokenizer() -> BertTokenizer:
    """Return a tokenizer that knows the whole words of the world, synonyms included, and single characters."""
    said = {word for line in phrases(4000, seed=1).lines for word in line.replace("-", " - ").split()}
    words = sorted(
        said | {word for line in corpus() for word in line.replace("-", " - ").split()} | grammar.vocabulary()
    )
    letters = [chr(c) for c in range(33, 127)]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    entries = dict.fromkeys([*specials, *letters, *("##" + letter for letter in letters), *words])
    return BertTokenizer(vocab={word: i for i, word in enumerate(entries)}, model_max_length=LENGTH)


def build(words: int) -> BertModel:
    """Return an untrained encoder of a vocabulary, without the pooling layer that mean pooling has no use for."""
    config = BertConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertModel(config, add_pooling_layer=False)


def encode(model: BertModel, tools: Any, lines: Sequence[str]) -> Tensor:
    """Return unit vectors [n, WIDTH] of texts: the mean of their tokens' vectors."""
    encoded = tools(list(lines), padding=True, truncation=True, max_length=LENGTH, return_tensors="pt").to(device())
    hidden = model(input_ids=encoded.input_ids, attention_mask=encoded.attention_mask).last_hidden_state
    mask = encoded.attention_mask[..., None]
    return F.normalize((hidden.float() * mask).sum(1) / mask.sum(1), dim=1)


def train(work: Path) -> tuple[BertModel, Any]:
    """Train on phrases and their paraphrases; a phrase's meaning alone says how near it is to another."""
    torch.manual_seed(0)
    tools = kept(tokenizer, work / "sentences-tokenizer")
    model: Any = build(len(tools))
    model = model.to(device()).train()
    data = phrases()
    extensions = torch.from_numpy(data.extensions)
    learned = np.flatnonzero(~data.held_out)
    distinct = torch.unique(extensions[learned], dim=0)
    picked = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(0))[:LANDMARKS]
    vectors = wanted_vectors(extensions, distinct[picked])

    def loss(step: int) -> Tensor:
        rows = np.random.default_rng([11, step]).choice(learned, BATCH, replace=False)
        found = encode(model, tools, [data.lines[i] for i in rows])
        wanted = overlaps(extensions[rows], extensions[rows]).to(device())
        pairs = ((found @ found.T - wanted).square() / (wanted + FLOOR)).mean()
        return (found - vectors[rows].to(device())).square().sum(1).mean() + PAIRS * pairs

    fit(model, loss, optimiser(model, RATE), minutes=MINUTES, checkpoint=work / "sentences.pt")
    return model.eval(), tools


def save_sentences(model: BertModel, tools: Any, folder: Path) -> None:
    """Write model (float16) and tokenizer as ``from_pretrained`` reads them."""
    copy.deepcopy(model).cpu().half().save_pretrained(folder)
    tools.save_pretrained(folder)


def load_sentences(folder: Path) -> tuple[BertModel, Any]:
    """Return what :func:`save_sentences` wrote, in float32 and evaluation mode."""
    model: Any = BertModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False)
    return model.to(device()).eval(), AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def sentences_quality(model: BertModel, tools: Any, meanings: int = 8000, seed: int = 2) -> dict[str, float]:
    """Compare cosine and IoU on phrases drawn anew, of meanings that the training never saw.

    These are narrow, so that most pairs of two of them share nothing, which any noise puts in some order; with meanings
    of every width they overlap more often.

    Returns
    -------
    ``pairs``: how many pairs of an unseen meaning and any other; ``spearman``: rank correlation of their cosine and
    IoU; ``overlapping``: the same over the pairs that share a scene; ``error``: mean absolute difference;
    ``both_unseen``: rank correlation over pairs of two unseen meanings; ``paraphrase``: share of unseen phrases whose
    nearest neighbour among 64 others' is their own other wording.
    """
    drawn = phrases(meanings, 2, seed)
    _, distinct = np.unique(drawn.extensions[::2].astype(bool), axis=0, return_index=True)
    first = 2 * np.random.default_rng(seed).permutation(distinct)
    unseen, others = first[drawn.held_out[first]][:COMPARED], first[~drawn.held_out[first]][:COMPARED]
    extensions = torch.from_numpy(drawn.extensions)

    def vectors(rows: npt.NDArray[np.intp]) -> Tensor:
        return encode(model, tools, [drawn.lines[i] for i in rows]).cpu()

    own, other, again = vectors(unseen), vectors(others), vectors(unseen + 1)
    cosine = (own @ other.T).numpy().ravel()
    wanted = overlaps(extensions[unseen], extensions[others]).numpy().ravel()
    upper = np.triu_indices(len(unseen), 1)
    unseen_cosine = (own @ own.T).numpy()[upper]
    unseen_wanted = overlaps(extensions[unseen], extensions[unseen]).numpy()[upper]
    hits = [
        (own[part] @ again[part].T).argmax(1) == torch.arange(len(part)) for part in torch.arange(len(unseen)).split(64)
    ]
    return {
        "pairs": len(wanted),
        "spearman": _rank_correlation(cosine, wanted),
        "overlapping": _rank_correlation(cosine[wanted > 0], wanted[wanted > 0]),
        "error": round(float(np.abs(cosine - wanted).mean()), 4),
        "both_unseen": _rank_correlation(unseen_cosine, unseen_wanted),
        "paraphrase": round(float(torch.cat(hits).float().mean()), 4),
    }


def _rank_correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    from scipy.stats import spearmanr

    return round(float(spearmanr(first, second).statistic), 4)

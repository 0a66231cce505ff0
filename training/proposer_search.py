"""Searches by a proposer in this process, without a server: how often it finds what a unit answers to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from dnd.candidates.answers import normalise
from dnd.candidates.prompts import read_prompt
from dnd.shapeworld import grammar
from training import posterior, proposals
from training.proposer_prompts import PROMPT, Encoder, line

FOLDER = Path("resources/shapeworld/proposer")


class Proposer:
    """Answers questions as a server does, in this process.

    Parameters
    ----------
    temperature : 0 takes the likeliest word; else words are drawn from ``torch``'s generator.
    """

    def __init__(self, llama: LlamaForCausalLM, encoder: Encoder, temperature: float = 0.0) -> None:
        self.llama: Any = llama.eval()
        self.encoder = encoder
        self.temperature = temperature

    @torch.no_grad()
    def __call__(self, histories: Sequence[Sequence[str]]) -> list[str]:
        """Return the raw answer to each history."""
        words = self.encoder.words
        asked = [self.encoder.question(tried) for tried in histories]
        length, pad, end = max(map(len, asked)), words.pad_token_id, words.eos_token_id
        tokens = torch.tensor([[pad] * (length - len(row)) + row for row in asked], device=self.llama.device)
        how = {"do_sample": True, "temperature": self.temperature, "top_k": 0} if self.temperature else {}
        made = self.llama.generate(
            tokens,
            attention_mask=(tokens != pad).long(),
            max_new_tokens=10,
            pad_token_id=pad,
            **(how or {"do_sample": False}),
        )
        rows = [row[: row.index(end)] if end in row else row for row in made[:, length:].tolist()]
        return [str(words.decode(row, skip_special_tokens=True)) for row in rows]

    @classmethod
    def load(cls, folder: Path = FOLDER, temperature: float = 0.0) -> Proposer:
        """Return a trained one from its folder."""
        llama = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        words: Any = AutoTokenizer.from_pretrained(folder)
        return cls(llama, Encoder(words, read_prompt(PROMPT, "history")), temperature)


def search(
    propose: Callable[[Sequence[Sequence[str]]], Sequence[str]],
    answer: Sequence[Callable[[int], float]],
    rounds: int,
) -> list[list[tuple[int, float]]]:
    """Let a proposer search for what units answer to; return their concepts and activations in order of naming.

    What is named again moves to the end of a unit's list, and is not shown again. Answers that name no concept of
    ``posterior.hypotheses()`` are skipped.
    """
    concepts = posterior.hypotheses()
    shown: list[list[str]] = [[] for _ in answer]
    found: list[dict[int, float]] = [{} for _ in answer]
    for _ in range(rounds):
        for unit, text in enumerate(propose(shown)):
            extension = grammar.parse(normalise(text) or "?")
            number = None if extension is None else concepts.find(extension)
            if number is None:
                continue
            if number in found[unit]:
                found[unit][number] = found[unit].pop(number)
                continue
            found[unit][number] = answer[unit](number)
            shown[unit].append(line(concepts.phrases[number], round(found[unit][number])))
    return [list(one.items()) for one in found]


def settled(found: Sequence[tuple[int, float]], tolerance: float) -> int | None:
    """Return the concept named last among those whose activation is within a share of the best; None of none."""
    best = max((value for _, value in found), default=0.0)
    good = [concept for concept, value in found if value >= (1 - tolerance) * best]
    return good[-1] if good else None


def accuracy(propose: Proposer, units: int = 300, rounds: int = 15, tolerance: float = 0.15) -> dict[str, float]:
    """Return the share of simulated units, never trained on, whose concept is found."""
    rng = np.random.default_rng([7, 7])
    prior = proposals.prior().astype(np.float64)
    truths = rng.choice(len(prior), units, p=prior / prior.sum())
    answer = [proposals.simulated(int(truth), rng) for truth in truths]
    found = search(propose, answer, rounds)
    right = [settled(one, tolerance) == truth for one, truth in zip(found, truths, strict=True)]
    named = [truth in dict(one) for one, truth in zip(found, truths, strict=True)]
    return {"found": round(float(np.mean(right)), 3), "named": round(float(np.mean(named)), 3)}

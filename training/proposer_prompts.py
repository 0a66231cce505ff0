"""Histories of proposals as the embedded proposer reads them: its vocabulary, and batches to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dnd.candidates.prompts import Prompt, history_messages
from training import posterior, proposals
from training.summariser import CHAT_TEMPLATE, CONTEXT, SPECIALS
from training.text import corpus

PROMPT = Path("config/prompts/line.yaml")
NOTHING = "nothing yet"
"""What the prompt says when nothing was tried."""
HIGHEST = 200
"""Activations up to this number are one token."""


def line(concept: str, activation: int) -> str:
    """Return one line of a history, as ``dnd.rivals.line_search`` writes it."""
    return f"{concept}: {activation}"


def tokenizer(prompt: Prompt) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with one token for every word of the world, of the prompt and every number."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=2,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    phrases = posterior.hypotheses().phrases
    lines = corpus(2000) + list(phrases) * 2
    lines += [line(phrases[number], number) for number in range(HIGHEST + 1)] * 2
    lines += [str(message["content"]) for message in history_messages(prompt, [])] * 2
    core.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=SPECIALS[2:],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


@dataclass(frozen=True)
class Batch:
    """Histories with all their questions; tokens follow the fixed beginning of the prompt.

    Attributes
    ----------
    tokens : int64 [units, length], padded on the right.
    places : int64 [units, length], position of each token in the conversation that it belongs to.
    seen : bool [units, length, length], whether the token of a row sees that of a column.
    answers : int64 [answer tokens, 2], unit and position that predict each token of an answer.
    wanted : int64 [answer tokens].
    ends : int64 [lines, 2], unit and position of the last token of each line.
    beliefs : float32 [lines, concepts], posterior after each.
    """

    tokens: Tensor
    places: Tensor
    seen: Tensor
    answers: Tensor
    wanted: Tensor
    ends: Tensor
    beliefs: Tensor

    def to(self, where: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(**{name: value.to(where) for name, value in vars(self).items()})


class Encoder:
    """Turns histories into batches, through the workflow's own rendering of the prompt."""

    def __init__(self, words: PreTrainedTokenizerFast, prompt: Prompt) -> None:
        self.words = words
        self.prompt = prompt
        self.assistant: Any = words.convert_tokens_to_ids("<|assistant|>")
        self.newline = words.encode("\n", add_special_tokens=False)
        start = f"{words.apply_chat_template([dict(message) for message in prompt[:-1]], tokenize=False)}<|user|>"
        self.prefix = words.encode(start, add_special_tokens=False)
        self.known: dict[str, list[int]] = {}
        for sample in ([], ["red stars: 73"], ["red stars: 73", "objects on snow: 100"]):
            if self.question(sample) != self.prefix + self._shown(sample)[0] + [words.eos_token_id, self.assistant]:
                raise ValueError("the prompt's last message must be the history alone, one line for each concept")

    def question(self, tried: Sequence[str]) -> list[int]:
        """Return the tokens of a whole question, as a server makes them."""
        filled = cast(list[dict[str, str]], history_messages(self.prompt, tried))
        whole = self.words.apply_chat_template(filled, tokenize=False, add_generation_prompt=True)
        return self.words.encode(str(whole), add_special_tokens=False)

    def _text(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.words.encode(text, add_special_tokens=False)
        return self.known[text]

    def _shown(self, tried: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the tokens of a history and where each line ends."""
        if not tried:
            return list(self._text(NOTHING)), []
        tokens: list[int] = []
        ends = []
        for one in tried:
            tokens += (self.newline if tokens else []) + self._text(one)
            ends.append(len(tokens))
        return tokens, ends

    def __call__(self, drawn: proposals.Histories) -> Batch:
        phrases, end = posterior.hypotheses().phrases, self.words.eos_token_id
        rows, places, owners, answers, wanted, ends, beliefs = [], [], [], [], [], [], []
        for unit, asked in enumerate(drawn.proposals):
            # what is proposed again is not shown again, and the next question is then the same as before
            shown = np.sort(np.unique(asked, return_index=True)[1])
            lines = [line(phrases[asked[i]], int(drawn.activations[unit, i])) for i in shown]
            tokens, stops = self._shown(lines)
            place, owner = list(range(len(tokens))), [(-1, i) for i in range(len(tokens))]
            ends += [(unit, stop - 1) for stop in stops]
            beliefs.append(drawn.beliefs[unit, shown])
            for round_, concept in enumerate(drawn.wanted[unit, [0, *(shown + 1)]]):
                before = stops[round_ - 1] if round_ else 0
                answer = [*self._text(phrases[concept]), end]
                opening = [*([] if round_ else self._text(NOTHING)), end, self.assistant]
                branch = opening + answer[:-1]
                first = len(tokens) + len(opening) - 1
                answers += [(unit, first + i) for i in range(len(answer))]
                wanted += answer
                place += range(before, before + len(branch))
                owner += [(round_, before)] * len(branch)
                tokens += branch
            rows.append(tokens)
            places.append(place)
            owners.append(owner)
        length = max(map(len, rows))
        return Batch(
            tokens=torch.tensor([row + [self.words.pad_token_id] * (length - len(row)) for row in rows]),
            places=torch.tensor([row + [0] * (length - len(row)) for row in places]),
            seen=torch.stack([_seen(row, length) for row in owners]),
            answers=torch.tensor(answers),
            wanted=torch.tensor(wanted),
            ends=torch.tensor(ends),
            beliefs=torch.from_numpy(np.concatenate(beliefs)),
        )


def _seen(owners: Sequence[tuple[int, int]], length: int) -> Tensor:
    """Return which tokens of a history see which, bool [length, length].

    Parameters
    ----------
    owners : of each token: -1 and its place among the lines, or its branch and how many tokens of the lines that sees.
    """
    branch = torch.full((length,), -2)
    reach = torch.zeros(length, dtype=torch.long)
    branch[: len(owners)] = torch.tensor([one for one, _ in owners])
    reach[: len(owners)] = torch.tensor([other for _, other in owners])
    order = torch.arange(length)
    own = (branch[:, None] == branch[None]) & (order[:, None] >= order[None])
    lines = (branch[None] == -1) & (branch[:, None] >= 0) & (order[None] < reach[:, None])
    return own | lines

"""Train the embedded proposer: a tiny Llama that names the next concept to try on a unit, for the method LINE.

It begins with the summariser's weights, which know the world's words and how to name what lines have in common, and
learns the project's own prompt, ``config/prompts/line.yaml``, on histories of simulated units; the wanted answers are
those of an ideal proposer (``train.proposals``). The questions of all rounds of a history share its lines, so that
a batch holds each history once, with every round's question and answer as a branch that sees only the lines before it.
Besides the answers, an auxiliary head has to tell after every line what the unit may answer to; it is thrown away.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dnd.torchvision_ops  # noqa: F401  isort: skip  (before transformers)

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast

from dnd.answers import normalise
from dnd.backends.chat import Message
from dnd.prompts import history_messages, read_prompt
from dnd.shapeworld import grammar
from dnd.shapeworld.train import loop, posterior, proposals
from dnd.shapeworld.train.summariser import CHAT_TEMPLATE, CONTEXT, SPECIALS, Student, build, save
from dnd.shapeworld.train.text import corpus, kept

log = logging.getLogger(__name__)

PROMPT = Path("config/prompts/line.yaml")
FOLDER = Path("resources/shapeworld/proposer")
SUMMARISER = Path("resources/shapeworld/summariser")
MINUTES = 15.0
ROUNDS = 14
NOTHING = "nothing yet"
"""What the prompt says when nothing was tried."""
HIGHEST = 200
"""Activations up to this number are one token."""


def line(concept: str, activation: int) -> str:
    """Return one line of a history, as ``dnd.baselines.line`` writes it."""
    return f"{concept}: {activation}"


def tokenizer(prompt: Sequence[Message]) -> PreTrainedTokenizerFast:
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
    lines += [message["content"] for message in history_messages(prompt, [])] * 2
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


def begun(words: PreTrainedTokenizerFast, folder: Path = SUMMARISER) -> LlamaForCausalLM:
    """Return the summariser with the proposer's vocabulary: known tokens keep their vectors, numbers lie on a curve.

    Neighbouring numbers get similar vectors, so that what is learned of one holds for the next.
    """
    known: Any = AutoTokenizer.from_pretrained(folder)
    old: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = old.config
    model: Any = build(len(words), words.eos_token_id, words.pad_token_id, config.hidden_size, config.num_hidden_layers)
    vectors, taken = old.model.embed_tokens.weight.detach(), known.get_vocab()
    fresh = torch.randn(len(words), config.hidden_size, generator=torch.Generator().manual_seed(0)) * vectors.std()
    waves = torch.linspace(0.5, 12, config.hidden_size // 2) * torch.pi / HIGHEST
    for number in range(HIGHEST + 1):
        (token,) = words.encode(f" {number}", add_special_tokens=False)
        turned = torch.cat([torch.sin(waves * number), torch.cos(waves * number)])
        fresh[token] = turned * vectors.std() * 2**0.5
    for text, token in words.get_vocab().items():
        if text in taken:
            fresh[token] = vectors[taken[text]]
    state = old.state_dict() | {"model.embed_tokens.weight": fresh, "lm_head.weight": fresh}
    model.load_state_dict(state)
    return model


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

    def __init__(self, words: PreTrainedTokenizerFast, prompt: Sequence[Message]) -> None:
        self.words = words
        self.prompt = prompt
        self.assistant: Any = words.convert_tokens_to_ids("<|assistant|>")
        self.newline = words.encode("\n", add_special_tokens=False)
        start = f"{words.apply_chat_template(list(prompt[:-1]), tokenize=False)}<|user|>"
        self.prefix = words.encode(start, add_special_tokens=False)
        self.known: dict[str, list[int]] = {}
        for sample in ([], ["red stars: 73"], ["red stars: 73", "objects on snow: 100"]):
            if self.question(sample) != self.prefix + self._shown(sample)[0] + [words.eos_token_id, self.assistant]:
                raise ValueError("the prompt's last message must be the history alone, one line for each concept")

    def question(self, tried: Sequence[str]) -> list[int]:
        """Return the tokens of a whole question, as a server makes them."""
        filled = history_messages(self.prompt, tried)
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


def losses(student: Any, prefix: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the cross-entropies of the answers' tokens and of the posteriors after each line."""
    llama = student.llama
    cache: Any = DynamicCache(config=llama.config)
    llama.model(prefix[None], past_key_values=cache, use_cache=True)
    count, begin = len(batch.tokens), len(prefix)
    for layer in cache.layers:  # the beginning is the same for every history: computed once, with its gradient
        layer.keys = layer.keys.expand(count, -1, -1, -1)
        layer.values = layer.values.expand(count, -1, -1, -1)
    seen = F.pad(batch.seen, (begin, 0), value=True)[:, None]
    output = llama.model(
        batch.tokens,
        attention_mask=seen,
        position_ids=batch.places + begin,
        past_key_values=cache,
        use_cache=True,
        output_hidden_states=True,
    )
    last, earlier = output.last_hidden_state, output.hidden_states[-2]
    logits = llama.lm_head(last[batch.answers[:, 0], batch.answers[:, 1]]).float()
    belief = torch.zeros((), device=last.device)
    for hidden in (last, llama.model.norm(earlier)):
        told = student.posterior_head(hidden[batch.ends[:, 0], batch.ends[:, 1]]).float()
        belief = belief + F.cross_entropy(told, batch.beliefs) / 2
    return F.cross_entropy(logits, batch.wanted), belief


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


def train(
    work: Path,
    folder: Path = FOLDER,
    *,
    minutes: float = MINUTES,
    seed: int = 1,
    size: int = 16,
    rate: float = 2e-3,
) -> None:
    """Train for a wall-clock budget and save the averaged weights in a folder every few minutes.

    Parameters
    ----------
    size : histories in a batch, each with all its rounds.
    rate : AdamW's peak learning rate; Muon's is ten times that.
    """
    prompt = read_prompt(PROMPT, "history")
    words = kept(lambda: tokenizer(prompt), work / "proposer-tokenizer")
    encoder = Encoder(words, prompt)
    torch.manual_seed(seed)
    student = Student(begun(words)).to(loop.device())
    student.llama.set_attn_implementation("float32")
    average: Any = loop.averaged(student)
    prefix = torch.tensor(encoder.prefix, device=loop.device())

    def loss(step: int) -> Tensor:
        batch = encoder(proposals.draw(size, ROUNDS, np.random.default_rng([seed, step]))).to(loop.device())
        with loop.mixed():
            answer, belief = losses(student, prefix, batch)
        return answer + 0.5 * belief

    def report() -> dict[str, float]:
        save(average.llama, words, folder)
        return accuracy(Proposer(average.llama, encoder), 100)

    loop.fit(
        student,
        loss,
        loop.optimiser(student, rate),
        minutes=minutes,
        checkpoint=work / "proposer.pt",
        average=average,
        decay=0.995,
        report=report,
        report_minutes=5,
    )


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=Path(".training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(chosen.threads)
    train(
        chosen.work,
        chosen.folder,
        minutes=chosen.minutes,
        seed=chosen.seed,
        size=chosen.batch,
        rate=chosen.rate,
    )


if __name__ == "__main__":
    main()

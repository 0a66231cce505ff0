"""Train the embedded proposer: a tiny Llama that names the next concept to try on a unit, for the method LINE.

It begins with the summariser's weights, which know the world's words and how to name what lines have in common, and
learns the project's own prompt, ``config/prompts/line.yaml``, on histories of simulated units; the wanted answers are
those of an ideal proposer (``train.proposals``). The questions of all rounds of a history share its lines, so that
a batch holds each history once, with every round's question and answer as a branch that sees only the lines before it.
Besides the answers, an auxiliary head has to tell after every line what the unit may answer to; it is thrown away.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, DynamicCache, LlamaForCausalLM, PreTrainedTokenizerFast

from dnd.candidates.prompts import read_prompt
from training import loop, proposals
from training.proposer_prompts import HIGHEST, PROMPT, Batch, Encoder, tokenizer
from training.proposer_search import FOLDER, Proposer, accuracy
from training.summariser import Student, build, save
from training.text import kept

log = logging.getLogger(__name__)

SUMMARISER = Path("resources/shapeworld/summariser")
MINUTES = 20.0
ROUNDS = 14


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

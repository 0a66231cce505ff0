"""Train the embedded summariser: a tiny Llama that names what ten captions have in common.

It learns the project's own prompt, ``config/prompts/concept.yaml``, on sets of captions drawn from concepts of every
kind. The wanted answer is the ideal one (``train.posterior``), so that a set which happens to share more than its
concept says is named by what it shares. Besides the answer's words, an auxiliary head has to tell the posterior over
all concepts after every caption; it is thrown away. The prompt's fixed beginning is computed once per batch.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dnd.candidates.prompts import Prompt, messages, read_prompt
from dnd.shapeworld import grammar
from training import loop, posterior
from training.caption_sets import Task, draw_tasks, held_out_tasks
from training.text import corpus, kept

log = logging.getLogger(__name__)

PROMPT = Path("config/prompts/concept.yaml")
FOLDER = Path("resources/shapeworld/summariser")
MINUTES = 80.0
CONTEXT = 1024
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIALS = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]


def tokenizer(prompt: Prompt) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with one token for every word of the world and of the prompt."""
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
    lines = corpus(4000) + list(posterior.hypotheses().phrases) * 2
    lines += [str(message["content"]) for message in messages(prompt, ["a"])] * 2
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


def build(vocabulary: int, end: int, pad: int, width: int = 128, layers: int = 4) -> LlamaForCausalLM:
    """Return the untrained model; heads are 32 wide, the smallest size that vLLM's CPU attention has."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    return LlamaForCausalLM(config)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention in float32: on CPUs the backward pass of PyTorch's bfloat16 kernel takes three times as long."""
    with torch.autocast(query.device.type, enabled=False):
        mixed, weights = sdpa_attention_forward(module, query.float(), key.float(), value.float(), *args, **kwargs)
    return mixed, weights


AttentionInterface.register("float32", _attention)
AttentionMaskInterface.register("float32", sdpa_mask)


class Student(nn.Module):
    """The summariser and the auxiliary head that tells the posterior after each caption."""

    def __init__(self, llama: LlamaForCausalLM) -> None:
        super().__init__()
        self.llama = llama
        self.posterior_head = nn.Linear(llama.config.hidden_size, len(posterior.hypotheses().kinds))


@dataclass(frozen=True)
class Batch:
    """Tokens after the fixed beginning of the prompt.

    Attributes
    ----------
    tokens : int64 [sets, length], padded on the right.
    answers : int64 [answer tokens, 2], set and position that predict each token of an answer.
    wanted : int64 [answer tokens].
    ends : int64 [captions, 2], set and position of the last token of each caption.
    running : float32 [captions, concepts], posterior after each.
    """

    tokens: Tensor
    answers: Tensor
    wanted: Tensor
    ends: Tensor
    running: Tensor

    def to(self, where: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(**{name: value.to(where) for name, value in vars(self).items()})


class Encoder:
    """Turns tasks into batches, through the workflow's own rendering of the prompt."""

    def __init__(self, words: PreTrainedTokenizerFast, prompt: Prompt) -> None:
        self.words = words
        self.assistant: Any = words.convert_tokens_to_ids("<|assistant|>")
        self.newline = words.encode("\n", add_special_tokens=False)
        start = f"{words.apply_chat_template([dict(message) for message in prompt[:-1]], tokenize=False)}<|user|>"
        self.prefix = words.encode(start, add_special_tokens=False)
        self.lines: dict[str, list[int]] = {}
        sample = ["a red plain star on grass", "snow and nothing else"]
        filled = cast(list[dict[str, str]], messages(prompt, sample))
        whole = words.apply_chat_template(filled, tokenize=False, add_generation_prompt=True)
        if words.encode(str(whole), add_special_tokens=False) != self.prompt(sample):
            raise ValueError("the prompt's last message must be the captions alone, one per line")

    def prompt(self, captions: Sequence[str]) -> list[int]:
        """Return the tokens of the whole prompt."""
        return self.prefix + self._captions(captions)[0]

    def _line(self, text: str) -> list[int]:
        if text not in self.lines:
            self.lines[text] = self.words.encode(text, add_special_tokens=False)
        return self.lines[text]

    def _captions(self, captions: Sequence[str]) -> tuple[list[int], list[int]]:
        tokens: list[int] = []
        ends = []
        for caption in captions:
            tokens += (self.newline if tokens else []) + self._line(caption)
            ends.append(len(tokens))
        return [*tokens, self.words.eos_token_id, self.assistant], ends

    def __call__(self, tasks: Sequence[Task]) -> Batch:
        rows, answers, wanted, ends = [], [], [], []
        for number, task in enumerate(tasks):
            tokens, stops = self._captions(task.captions)
            answer = [*self._line(posterior.hypotheses().phrases[task.concept]), self.words.eos_token_id]
            answers += [(number, len(tokens) - 1 + i) for i in range(len(answer))]
            ends += [(number, stop) for stop in stops]  # the newline or <|end|> after a caption
            wanted += answer
            rows.append(tokens + answer[:-1])
        length = max(map(len, rows))
        padded = [row + [self.words.pad_token_id] * (length - len(row)) for row in rows]
        running = np.exp(np.concatenate([task.running for task in tasks]))
        return Batch(
            tokens=torch.tensor(padded),
            answers=torch.tensor(answers),
            wanted=torch.tensor(wanted),
            ends=torch.tensor(ends),
            running=torch.from_numpy(running),
        )


def losses(student: Any, prefix: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the cross-entropies of the answers' tokens and of the running posteriors.

    The posterior has to be told before the last layer too, where the later words of an answer can read what was
    decided when the captions ended.
    """
    llama = student.llama
    cache: Any = DynamicCache(config=llama.config)
    llama.model(prefix[None], past_key_values=cache, use_cache=True)
    count = len(batch.tokens)
    for layer in cache.layers:  # the beginning is the same for every set: computed once, with its gradient
        layer.keys = layer.keys.expand(count, -1, -1, -1)
        layer.values = layer.values.expand(count, -1, -1, -1)
    output = llama.model(batch.tokens, past_key_values=cache, use_cache=True, output_hidden_states=True)
    last, earlier = output.last_hidden_state, output.hidden_states[-2]
    logits = llama.lm_head(last[batch.answers[:, 0], batch.answers[:, 1]]).float()
    belief = torch.zeros((), device=last.device)
    for hidden in (last, llama.model.norm(earlier)):
        told = student.posterior_head(hidden[batch.ends[:, 0], batch.ends[:, 1]]).float()
        belief = belief + F.cross_entropy(told, batch.running) / 2
    return F.cross_entropy(logits, batch.wanted), belief


@torch.no_grad()
def accuracy(llama: Any, encoder: Encoder, tasks: Sequence[Task]) -> dict[str, float]:
    """Return the share of right greedy answers by kind, and ``all``: quick, without a server."""
    llama.eval()
    right: dict[str, list[bool]] = {}
    end = encoder.words.eos_token_id
    for begin in range(0, len(tasks), 50):
        part = tasks[begin : begin + 50]
        prompts = [encoder.prompt(task.captions) for task in part]
        length = max(map(len, prompts))
        pad = encoder.words.pad_token_id
        tokens = torch.tensor([[pad] * (length - len(row)) + row for row in prompts], device=llama.device)
        made = llama.generate(
            tokens, attention_mask=(tokens != pad).long(), max_new_tokens=10, do_sample=False, pad_token_id=pad
        )
        for task, row in zip(part, made[:, length:].tolist(), strict=True):
            text = encoder.words.decode(row[: row.index(end)] if end in row else row, skip_special_tokens=True)
            extension = grammar.parse(str(text))
            concepts = posterior.hypotheses()
            found = None if extension is None else concepts.find(extension)
            right.setdefault(concepts.kinds[task.concept], []).append(found == task.concept)
    figures = {kind: round(float(np.mean(right[kind])), 3) for kind in posterior.ALL_KINDS if kind in right}
    return figures | {"all": round(float(np.mean([one for found in right.values() for one in found])), 3)}


def save(llama: Any, words: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model and tokenizer in Hugging Face format, weights in half precision."""
    half: Any = build(
        llama.config.vocab_size,
        words.eos_token_id,
        words.pad_token_id,
        llama.config.hidden_size,
        len(llama.model.layers),
    )
    half.load_state_dict(llama.state_dict())
    half.to(torch.float16).save_pretrained(folder)
    words.save_pretrained(folder)


def train(
    work: Path,
    folder: Path = FOLDER,
    *,
    minutes: float = MINUTES,
    seed: int = 1,
    width: int = 128,
    layers: int = 4,
    size: int = 64,
    rate: float = 3e-3,
) -> None:
    """Train for a wall-clock budget and save the averaged weights in a folder every few minutes.

    Parameters
    ----------
    width, layers : of the model.
    size : tasks in a batch.
    rate : AdamW's peak learning rate; Muon's is ten times that.
    """
    prompt = read_prompt(PROMPT)
    words = kept(lambda: tokenizer(prompt), work / "summariser-tokenizer")
    encoder = Encoder(words, prompt)
    torch.manual_seed(seed)
    student = Student(build(len(words), words.eos_token_id, words.pad_token_id, width, layers)).to(loop.device())
    student.llama.set_attn_implementation("float32")
    average: Any = loop.averaged(student)
    prefix = torch.tensor(encoder.prefix, device=loop.device())
    held_out = held_out_tasks(20)

    def loss(step: int) -> Tensor:
        batch = encoder(draw_tasks(np.random.default_rng([seed, step]), size)).to(loop.device())
        with loop.mixed():
            answer, belief = losses(student, prefix, batch)
        return answer + 0.5 * belief

    def report() -> dict[str, float]:
        save(average.llama, words, folder)
        return accuracy(average.llama, encoder, held_out)

    loop.fit(
        student,
        loss,
        loop.optimiser(student, rate),
        minutes=minutes,
        checkpoint=work / "summariser.pt",
        average=average,
        decay=0.995,
        report=report,
        report_minutes=3,
    )


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=Path(".training"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(chosen.threads)
    train(
        chosen.work,
        chosen.folder,
        minutes=chosen.minutes,
        seed=chosen.seed,
        width=chosen.width,
        layers=chosen.layers,
        size=chosen.batch,
        rate=chosen.rate,
    )


if __name__ == "__main__":
    main()

"""MILAN's describer: features of masked exemplars, an attention LSTM p(d | E) and a language model p(d).

Source: Hernandez et al., ICLR 2022, section 3.2; the modules' parameters have the names of the released checkpoints
(``PyramidConvEncoder``, ``Decoder`` and ``LanguageModel`` of evandez/neuron-descriptions).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, NotRequired, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from dnd.shapeworld.target import ConceptResNet
from dnd.target.outputs import required_tensor, watched

PYRAMID = ("conv1", "layer1", "layer2", "layer3", "layer4")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the images that published encoders see."""


@dataclass(frozen=True)
class Vocabulary:
    """Words, and after them the numbers of start, stop, padding and unknown (``Indexer`` of the released code)."""

    words: tuple[str, ...]

    @property
    def start(self) -> int:
        """What a description begins with."""
        return len(self.words)

    @property
    def stop(self) -> int:
        """What ends a description."""
        return len(self.words) + 1

    @property
    def pad(self) -> int:
        """What fills up short descriptions."""
        return len(self.words) + 2

    @property
    def unknown(self) -> int:
        """What stands for any other word."""
        return len(self.words) + 3

    def __len__(self) -> int:
        return len(self.words) + 4

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's words, without start and stop."""
        return [self._numbers.get(word, self.unknown) for word in re.findall(r"\w+|[^\w\s]", text.lower())]

    def text(self, tokens: Sequence[int]) -> str:
        """Return the words before the first stop, special tokens left out.

        Spaces go as in the released ``Indexer.reconstruct``, which also begins with a capital.
        """
        kept = list(tokens[: tokens.index(self.stop)] if self.stop in tokens else tokens)
        joined = " ".join(self.words[token] for token in kept if token < len(self.words))
        return re.sub(r" ([.,;:])", r"\1", re.sub(r" ?- ?", "-", joined)).strip()


def pooled(maps: Tensor, masks: Tensor) -> Tensor:
    """Return the mean of feature maps over the masked part.

    Parameters
    ----------
    maps : float [n, channels, h, w]
    masks : float [n, 1, h', w'], scaled to the maps bilinearly and then to a sum of one.

    Returns
    -------
    float [n, channels]; zeros where the mask is empty. Source: ``PyramidConvEncoder.forward``.
    """
    weights = F.interpolate(masks, size=maps.shape[-2:], mode="bilinear", align_corners=False)
    total = weights.sum((2, 3), keepdim=True)
    return (maps * weights / torch.where(total > 0, total, 1)).sum((2, 3))


def joined(maps: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Return the pyramid's features float [n, features]: the maps of all layers under masks float [n, 1, h, w]."""
    return torch.cat([pooled(layer, masks) for layer in maps], dim=1)


class PyramidEncoder(nn.Module):
    """Features of an image under a mask: those of several layers of a frozen network, pooled and joined.

    Parameters
    ----------
    network : with modules named as ``layers``.
    size : side of the images in pixels.
    features : length of the joined features.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        features: int,
        size: int = 224,
        mean: Sequence[float] = IMAGENET[0],
        std: Sequence[float] = IMAGENET[1],
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"model": network})  # so the released checkpoints name it
        self.layers, self.features, self.size = tuple(layers), features, size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the layers' outputs for images float [n, 3, size, size] in [0, 1].

        They are not copied, so that a ReLU in place shows, as in the released code: AlexNet's features are above zero.
        """
        network, outputs = self.encoder["model"], dict[str, Tensor]()

        def after(layer: str, module: nn.Module, inputs: object, output: object) -> None:
            outputs[layer] = required_tensor(output)

        with watched({layer: network.get_submodule(layer) for layer in self.layers}, after):
            network((images - self.mean) / self.std)
        return [outputs[layer] for layer in self.layers]

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Return features [n, features] of images [n, 3, size, size] in [0, 1] under masks [n, 1, size, size]."""
        return joined(self.maps(images), masks)


class Attention(nn.Module):
    """Additive attention of a query over keys (Xu et al., ICML 2015)."""

    def __init__(self, query: int, key: int, hidden: int | None) -> None:
        super().__init__()
        width = hidden or min(query, key)
        self.query_to_hidden = nn.Linear(query, width)
        self.key_to_hidden = nn.Linear(key, width)
        self.output = nn.Sequential(nn.Linear(width, 1), nn.Softmax(dim=1))

    def forward(self, query: Tensor, projected: Tensor) -> Tensor:
        """Return the weights [n, keys] for queries [n, query]; ``projected`` is ``key_to_hidden`` of the keys."""
        return self.output(torch.tanh(self.query_to_hidden(query)[:, None] + projected))[..., 0]


class LanguageModel(nn.Module):
    """An LSTM that knows how descriptions read, whatever the unit."""

    def __init__(self, words: int, pad: int, embedding: int = 128, hidden: int = 512, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=pad)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.output = nn.Sequential(nn.Linear(hidden, words), nn.LogSoftmax(dim=-1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return log-probabilities [n, length, words] of what follows each token of int64 [n, length]."""
        return self.output(self.lstm(self.embedding(tokens))[0])


class Exemplars(NamedTuple):
    """What a unit's exemplars look like: features float [n, exemplars, features], and the attention's keys of them."""

    features: Tensor
    keys: Tensor

    def spread(self, count: int) -> Exemplars:
        """Return those of one unit so many times."""
        return Exemplars(self.features.expand(count, -1, -1), self.keys.expand(count, -1, -1))


class State(NamedTuple):
    """What the decoder remembers: float [n, hidden] each."""

    h: Tensor
    c: Tensor


class Describer(nn.Module):
    """The decoder with its encoder and its language model.

    Parameters
    ----------
    vocabulary : of the descriptions.
    encoder : of masked images.
    lm : None where there is none; descriptions are then ranked by p(d | E) alone.
    embedding, hidden, attention, dropout : sizes and dropout of the decoder; ``attention`` None: the smaller of
        ``hidden`` and the features' length.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        encoder: PyramidEncoder,
        lm: LanguageModel | None,
        *,
        embedding: int = 128,
        hidden: int = 512,
        attention: int | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.encoder, self.lm = encoder, lm
        features, words = encoder.features, len(vocabulary)
        self.init_h = nn.Sequential(nn.Linear(features, hidden), nn.Tanh())
        self.init_c = nn.Sequential(nn.Linear(features, hidden), nn.Tanh())
        self.embedding = nn.Embedding(words, embedding)
        self.attend = Attention(hidden, features, attention)
        self.feature_gate = nn.Sequential(nn.Linear(hidden, features), nn.Sigmoid())
        self.lstm = nn.LSTMCell(embedding + features, hidden)
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, words), nn.LogSoftmax(dim=-1))

    def look(self, features: Tensor) -> Exemplars:
        """Return exemplars of their features float [n, exemplars, features]."""
        return Exemplars(features, self.attend.key_to_hidden(features))

    def initial(self, seen: Exemplars) -> State:
        """Return the state before the first word."""
        mean = seen.features.mean(1)
        return State(self.init_h(mean), self.init_c(mean))

    def step(self, seen: Exemplars, tokens: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Read one token of each description.

        Parameters
        ----------
        seen : exemplars of n units.
        tokens : int64 [n]

        Returns
        -------
        Log-probabilities [n, words] of the next token, the next state, and the attention [n, exemplars].
        """
        weights = self.attend(state.h, seen.keys)
        looked_at = (weights[:, None] @ seen.features)[:, 0] * self.feature_gate(state.h)
        state = State(*self.lstm(torch.cat([self.embedding(tokens), looked_at], dim=1), tuple(state)))
        return self.output(state.h), state, weights

    def forward(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Read whole descriptions int64 [n, length], start token first, of features float [n, exemplars, features].

        Returns
        -------
        Log-probabilities [n, length, words] of what follows each token, and the attentions [n, length, exemplars].
        """
        seen = self.look(features)
        state, logs, weights = self.initial(seen), [], []
        for column in tokens.T:
            log, state, weight = self.step(seen, column, state)
            logs.append(log)
            weights.append(weight)
        return torch.stack(logs, 1), torch.stack(weights, 1)


def log_probability(logs: Tensor, tokens: Tensor, stop: int) -> Tensor:
    """Return the log-probability float [n] of token sequences, up to and with the first stop; not divided by length.

    Parameters
    ----------
    logs : float [n, length, words], of the token at each place given those before it.
    tokens : int64 [n, length], without the start token.

    Source: ``LanguageModel.forward(reduce=True)`` of the released code.
    """
    stops = (tokens == stop).long()
    counted = stops.cumsum(1) - stops == 0
    return (logs.gather(2, tokens[..., None])[..., 0] * counted).sum(1)


class EncoderSettings(TypedDict):
    """An encoder: widths and blocks of our own network; of its images what differs from the published ones."""

    network: str
    widths: NotRequired[Sequence[int]]
    blocks: NotRequired[Sequence[int]]
    size: NotRequired[int]
    mean: NotRequired[Sequence[float]]
    std: NotRequired[Sequence[float]]


class DecoderSizes(TypedDict):
    """Sizes and dropout as :class:`Describer` takes them."""

    embedding: int
    hidden: int
    attention: int | None
    dropout: float


class LanguageModelSizes(TypedDict, total=False):
    """Sizes as :class:`LanguageModel` takes them."""

    embedding: int
    hidden: int
    layers: int


ALEXNET = ("features.0", "features.3", "features.6", "features.8", "features.10")
NETWORKS: dict[str, tuple[Callable[[], nn.Module] | None, tuple[str, ...], int]] = {
    "alexnet": (models.alexnet, ALEXNET, 1152),
    "resnet18": (models.resnet18, PYRAMID, 1024),
    "resnet50": (models.resnet50, PYRAMID, 3904),
    "resnet101": (models.resnet101, PYRAMID, 3904),
    "shapeworld": (None, PYRAMID, 0),
}
"""Name -> network of an encoder, the layers read, and how many features they have; our own depends on its widths."""


def encoder(settings: EncoderSettings) -> PyramidEncoder:
    """Return an encoder without its weights.

    Raises
    ------
    ValueError
        There is no such network.
    """
    if settings["network"] not in NETWORKS:
        raise ValueError(f"encoder {settings['network']!r} is none of {', '.join(sorted(NETWORKS))}")
    make, layers, features = NETWORKS[settings["network"]]
    if make is None:
        widths = settings["widths"]
        network, features = _shapeworld(widths, settings["blocks"]), widths[0] + sum(widths)
    else:
        network = make()
    size, mean, std = settings.get("size", 224), settings.get("mean", IMAGENET[0]), settings.get("std", IMAGENET[1])
    return PyramidEncoder(network, layers, features, size=size, mean=mean, std=std)


def _shapeworld(widths: Sequence[int], blocks: Sequence[int]) -> nn.Module:
    network = ConceptResNet(tuple(widths), tuple(blocks), units=1, classes=1)
    network.concepts, network.fc = nn.Sequential(), nn.Identity()  # type: ignore[assignment]  # only maps are read
    return network

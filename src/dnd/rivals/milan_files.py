"""Read and write describers: folders of ours, and files in the structure of the published checkpoints.

A folder has ``config.json``, ``vocabulary.txt`` (a word a line) and ``model.safetensors``. A published file is what
``Decoder.save`` of evandez/neuron-descriptions writes: nested dictionaries ``{properties, children, state_dict}``, in
which ``properties`` are the arguments of the class, its parts in the same form.
"""

from __future__ import annotations

import json
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dnd.backends.hub import ModelError
from dnd.rivals.milan_model import (
    NETWORKS,
    DecoderSizes,
    Describer,
    EncoderSettings,
    LanguageModel,
    LanguageModelSizes,
    Vocabulary,
    encoder,
)

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocabulary.txt", "model.safetensors"
PYRAMID = "PyramidConvEncoder"
SPACY: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (OrderedDict, f"{module}.Config") for module in ("thinc.config", "confection")
]
"""What is read in place of the class of spaCy's configuration, which a published tokenizer brings along."""


class DescriberSettings(TypedDict):
    """What ``config.json`` holds; ``lm`` is null where there is no language model."""

    encoder: EncoderSettings
    decoder: DecoderSizes
    lm: LanguageModelSizes | None


def load(path: str | Path) -> Describer:
    """Return a describer in evaluation mode, float32, on the CPU.

    Parameters
    ----------
    path : a folder of ours, or a published file.

    Raises
    ------
    ModelError
        There is none, or it is of another kind; the message names the file and the field.
    """
    path = Path(path)
    try:
        describer = _folder(path) if path.is_dir() else _published(path)
    except ModelError:
        raise
    except Exception as error:  # of JSON, safetensors and torch
        raise ModelError(f"describer {path}: {' '.join(str(error).split()) or type(error).__name__}") from error
    return describer.float().eval().requires_grad_(False)


def save(describer: Describer, config: DescriberSettings, folder: Path) -> None:
    """Write a folder, weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    (folder / VOCABULARY).write_text("".join(f"{word}\n" for word in describer.vocabulary.words))
    half = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in describer.state_dict().items()
    }
    save_file(half, folder / WEIGHTS)


def _folder(path: Path) -> Describer:
    for name in (CONFIG, VOCABULARY, WEIGHTS):
        if not (path / name).is_file():
            raise ModelError(f"describer {path}: no file {name}")
    model = build(json.loads((path / CONFIG).read_text()), Vocabulary(tuple((path / VOCABULARY).read_text().split())))
    _fill(model, load_file(path / WEIGHTS), path)
    return model


def build(config: DescriberSettings, vocabulary: Vocabulary) -> Describer:
    """Return a describer with random weights, by a configuration as :func:`save` writes it."""
    sizes = config["lm"]
    lm = None if sizes is None else LanguageModel(len(vocabulary), vocabulary.pad, **sizes)
    return Describer(vocabulary, encoder(config["encoder"]), lm, **config["decoder"])


def _published(path: Path) -> Describer:
    if not path.is_file():
        raise ModelError(f"describer {path}: neither a folder nor a file")
    try:
        with torch.serialization.safe_globals(SPACY):
            content = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"describer {path}: is no file of torch.save, or not safe to load, since it holds more than tensors and "
            f"plain values: {_reason(error)}"
        ) from None
    decoder = _Part(path, "", content)
    kind = decoder.children.get("encoder")
    if kind != PYRAMID:
        raise ModelError(f"describer {path}: children.encoder is {kind!r}, only {PYRAMID!r} is supported")
    vocabulary = _words(decoder.part("indexer"))
    network = decoder.part("encoder").properties.get("config", "resnet50")
    if network not in NETWORKS or network == "shapeworld":
        raise ModelError(f"describer {path}: properties.encoder.properties.config: unknown network {network!r}")
    sizes: DescriberSettings = {
        "encoder": {"network": network},
        "decoder": {
            "embedding": decoder.properties.get("embedding_size", 128),
            "hidden": decoder.properties.get("hidden_size", 512),
            "attention": decoder.properties.get("attention_hidden_size"),
            "dropout": decoder.properties.get("dropout", 0.5),
        },
        "lm": None,
    }
    if decoder.properties.get("lm") is not None:
        lm = decoder.part("lm")
        if (spoken := _words(lm.part("indexer"))) != vocabulary:
            raise ModelError(
                f"describer {path}: the language model's {len(spoken.words)} words are not those of the decoder, "
                f"{len(vocabulary.words)}"
            )
        sizes["lm"] = {
            "embedding": lm.properties.get("embedding_size", 128),
            "hidden": lm.properties.get("hidden_size", 512),
            "layers": lm.properties.get("layers", 2),
        }
    model = build(sizes, vocabulary)
    _fill(model, decoder.state(), path)
    return model


def _reason(error: Exception) -> str:
    """What torch says of a file, without its advice to load it unsafely."""
    said = re.search(r"Unsupported [^.]*|Can only [^.]*|WeightsUnpickler error:\s*([^\n]*)", str(error))
    return " ".join((said[1] or said[0]).split()) if said else type(error).__name__


class _Part:
    """One serialised object of a published file."""

    def __init__(self, path: Path, place: str, content: object) -> None:
        self.path, self.place = path, place
        if not isinstance(content, Mapping) or not isinstance(content.get("properties"), Mapping):
            kind = sorted(map(str, content))[:5] if isinstance(content, Mapping) else type(content).__name__
            raise ModelError(
                f"describer {path}: {place or 'the file'} is no serialised object with `properties`, but has {kind}"
            )
        self._content, self.properties = content, content["properties"]

    @property
    def children(self) -> Mapping[str, str]:
        """Property -> the name of its class, where there are several."""
        return self._content.get("children") or {}

    def part(self, name: str) -> _Part:
        """Return a property that is itself such an object."""
        return _Part(self.path, f"{self.place}properties.{name}.", self.properties.get(name))

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights."""
        state = self._content.get("state_dict")
        if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ModelError(f"describer {self.path}: no `state_dict` of tensors")
        return state


def _words(indexer: _Part) -> Vocabulary:
    tokens = indexer.part("vocab").properties.get("tokens")
    if not isinstance(tokens, list | tuple) or not all(isinstance(word, str) for word in tokens):
        raise ModelError(f"describer {indexer.path}: {indexer.place}properties.vocab.properties.tokens is no list")
    return Vocabulary(tuple(tokens))


def _fill(model: Describer, state: Mapping[str, Tensor], path: Path) -> None:
    """Load all weights, and refuse those that are missing, left over or of another shape."""
    wanted = model.state_dict()
    lines = [f"{name} is missing" for name in wanted if name not in state]
    lines += [f"{name} is not of this describer" for name in state if name not in wanted]
    lines += [
        f"{name} is {list(state[name].shape)}, expected {list(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if lines:
        raise ModelError(f"describer {path}: {len(lines)} weights do not fit, such as: {'; '.join(lines[:3])}")
    model.load_state_dict(state)

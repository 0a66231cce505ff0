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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dnd.backends.hub import ModelError
from dnd.rivals.milan_model import NETWORKS, Describer, LanguageModel, Vocabulary, encoder

CONFIG, VOCABULARY, WEIGHTS = "config.json", "vocabulary.txt", "model.safetensors"
PYRAMID = "PyramidConvEncoder"


SPACY: list[Any] = [(OrderedDict, f"{module}.Config") for module in ("thinc.config", "confection")]
"""What is read in place of the class of spaCy's configuration, which a published tokenizer brings along."""


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
        found = _folder(path) if path.is_dir() else _published(path)
    except ModelError:
        raise
    except Exception as error:  # of JSON, safetensors and torch
        raise ModelError(f"describer {path}: {' '.join(str(error).split()) or type(error).__name__}") from error
    return found.float().eval().requires_grad_(False)


def save(describer: Describer, config: Mapping[str, Any], folder: Path) -> None:
    """Write a folder, weights in float16.

    Parameters
    ----------
    config : ``encoder`` with its ``network``, and ``decoder`` and ``lm`` with the sizes that :class:`Describer` and
        :class:`LanguageModel` take; ``lm`` null where there is none.
    """
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
    config = json.loads((path / CONFIG).read_text())
    vocabulary = Vocabulary(tuple((path / VOCABULARY).read_text().split()))
    model = build(config, vocabulary)
    _fill(model, load_file(path / WEIGHTS), path)
    return model


def build(config: Mapping[str, Any], vocabulary: Vocabulary) -> Describer:
    """Return a describer with random weights, by a configuration as :func:`save` writes it."""
    lm = config["lm"]
    return Describer(
        vocabulary,
        encoder(config["encoder"]["network"], config["encoder"]),
        None if lm is None else LanguageModel(len(vocabulary), vocabulary.pad, **lm),
        **config["decoder"],
    )


def _published(path: Path) -> Describer:
    if not path.is_file():
        raise ModelError(f"describer {path}: neither a folder nor a file")
    try:
        with torch.serialization.safe_globals(SPACY):
            found = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"describer {path}: is no file of torch.save, or not safe to load, since it holds more than tensors and "
            f"plain values: {_reason(error)}"
        ) from None
    outer = _Part(path, "", found)
    kind = outer.children.get("encoder")
    if kind != PYRAMID:
        raise ModelError(f"describer {path}: children.encoder is {kind!r}, only {PYRAMID!r} is supported")
    vocabulary = _words(outer.part("indexer"))
    lm = None if outer.get("lm", None) is None else outer.part("lm")
    if lm is not None and (spoken := _words(lm.part("indexer"))) != vocabulary:
        raise ModelError(
            f"describer {path}: the language model's {len(spoken.words)} words are not those of the decoder, "
            f"{len(vocabulary.words)}"
        )
    name = outer.part("encoder").get("config", "resnet50")
    if name not in NETWORKS or name == "shapeworld":
        raise ModelError(f"describer {path}: properties.encoder.properties.config: unknown network {name!r}")
    model = Describer(
        vocabulary,
        encoder(name, {}),
        None
        if lm is None
        else LanguageModel(
            len(vocabulary),
            vocabulary.pad,
            embedding=lm.get("embedding_size", 128),
            hidden=lm.get("hidden_size", 512),
            layers=lm.get("layers", 2),
        ),
        embedding=outer.get("embedding_size", 128),
        hidden=outer.get("hidden_size", 512),
        attention=outer.get("attention_hidden_size", None),
        dropout=outer.get("dropout", 0.5),
    )
    _fill(model, outer.state(), path)
    return model


def _reason(error: Exception) -> str:
    """What torch says of a file, without its advice to load it unsafely."""
    found = re.search(r"Unsupported [^.]*|Can only [^.]*|WeightsUnpickler error:\s*([^\n]*)", str(error))
    return " ".join((found[1] or found[0]).split()) if found else type(error).__name__


class _Part:
    """One serialised object of a published file."""

    def __init__(self, path: Path, place: str, found: Any) -> None:
        self.path, self.place = path, place
        if not isinstance(found, Mapping) or not isinstance(found.get("properties"), Mapping):
            kind = sorted(map(str, found))[:5] if isinstance(found, Mapping) else type(found).__name__
            raise ModelError(
                f"describer {path}: {place or 'the file'} is no serialised object with `properties`, but has {kind}"
            )
        self._found, self._properties = found, found["properties"]

    @property
    def children(self) -> Mapping[str, Any]:
        """Property -> the name of its class, where there are several."""
        return self._found.get("children") or {}

    def get(self, name: str, default: Any) -> Any:
        """Return a property."""
        return self._properties.get(name, default)

    def part(self, name: str) -> _Part:
        """Return a property that is itself such an object."""
        return _Part(self.path, f"{self.place}properties.{name}.", self._properties.get(name))

    def state(self) -> Mapping[str, Tensor]:
        """Return the weights."""
        found = self._found.get("state_dict")
        if not isinstance(found, Mapping) or not all(isinstance(one, Tensor) for one in found.values()):
            raise ModelError(f"describer {self.path}: no `state_dict` of tensors")
        return found


def _words(indexer: _Part) -> Vocabulary:
    tokens = indexer.part("vocab").get("tokens", None)
    if not isinstance(tokens, list | tuple) or not all(isinstance(word, str) for word in tokens):
        raise ModelError(f"describer {indexer.path}: {indexer.place}properties.vocab.properties.tokens is no list")
    return Vocabulary(tuple(tokens))


def _fill(model: Describer, state: Mapping[str, Tensor], path: Path) -> None:
    """Load all weights, and refuse those that are missing, left over or of another shape."""
    own = model.state_dict()
    lines = [f"{name} is missing" for name in own if name not in state]
    lines += [f"{name} is not of this describer" for name in state if name not in own]
    lines += [
        f"{name} is {list(state[name].shape)}, expected {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if lines:
        raise ModelError(f"describer {path}: {len(lines)} weights do not fit, such as: {'; '.join(lines[:3])}")
    model.load_state_dict(state)

"""Models of the hub: which of their files are loaded, and where these lie in the local cache."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from dnd.io import documents, store

WEIGHTS = "*.safetensors"
CODE = "*.py"
TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Configurations, indices of shards, vocabularies (merges.txt, spiece.model, tokenizer.model), chat templates."""

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Files that say how images are prepared."""


class ModelError(RuntimeError):
    """A model cannot be had; the message is one line that names it and the reason."""


@dataclass(frozen=True)
class Layout:
    """Which files of a repository are loaded, as patterns in which ``*`` stands for slashes too.

    Attributes
    ----------
    weights : of the files of weights among them.
    others : of all other files.
    unwanted : of files that are left out all the same.
    variant : of the weights, where they are there in several, such as ``fp16``.
    """

    weights: tuple[str, ...]
    others: tuple[str, ...]
    unwanted: tuple[str, ...]
    variant: str | None = None

    def with_code(self, trusted: bool) -> Layout:
        """Return the layout that has the repository's own code, too, where that is trusted."""
        return replace(self, others=(*self.others, CODE)) if trusted else self

    @property
    def has_code(self) -> bool:
        """Whether the repository's own code is among the files."""
        return CODE in self.others

    def of_variant(self, name: str | None) -> Layout:
        """Return the layout of a pipeline with a variant of its weights, where a part has it; None: the plain ones."""
        if name is None:
            return self
        unwanted = tuple(pattern for pattern in self.unwanted if pattern != VARIANTS)
        return replace(
            self, weights=(f"*/*.{name}.safetensors", f"*/*.{name}-*.safetensors"), unwanted=unwanted, variant=name
        )


VARIANTS = "*/*.*.safetensors"
"""A second dot marks variants such as fp16 and non_ema."""
# Folders hold other formats (onnx, original), consolidated.safetensors a second copy of the weights.
MODEL = Layout((WEIGHTS,), TEXTS, ("*/*", "consolidated*.safetensors", "model.*.safetensors"))
# One folder for each part; at the top lie second copies of all weights.
PIPELINE = Layout(
    (f"*/{WEIGHTS}",),
    ("model_index.json", *(f"*/{name}" for name in TEXTS)),
    ("safety_checker/*", "onnx/*", "*.non_ema*", VARIANTS),
)

_places: dict[str, str] = {}


def resolved() -> dict[str, str]:
    """Return what this process has loaded: model as asked, ``id`` or ``id@revision`` or folder -> what it was.

    That is the commit of a hub's repository, and the digest of a local folder's files.
    """
    return {name: store.revision(place) if name == place else Path(place).name for name, place in _places.items()}


def remember(model: str, snapshot: str | Path) -> None:
    """Let :func:`resolved` tell a model of the hub that a library has fetched by itself, by its snapshot's folder."""
    _places[model] = str(snapshot)


def folder(model: str, revision: str | None = None, layout: Layout = MODEL) -> str:
    """Return the local folder of a model; what the cache lacks of a hub id's files is downloaded first.

    Raises
    ------
    ModelError
        The hub and its cache do not have it, or not the variant of its weights.
    """
    if Path(model).is_dir():
        _places[model] = model
        return model
    name = f"{model}@{revision}" if revision else model
    _places[name] = snapshot = _snapshot(model, revision, name, layout)
    return snapshot


def _snapshot(model: str, revision: str | None, name: str, layout: Layout) -> str:
    from huggingface_hub import constants, errors, snapshot_download

    def fetch(*wanted: str) -> str:
        return snapshot_download(
            model, revision=revision, allow_patterns=list(wanted), ignore_patterns=list(layout.unwanted)
        )

    try:
        snapshot = fetch(*layout.weights, *layout.others)
        if layout.variant and next(Path(snapshot).rglob(f"*.{layout.variant}*.safetensors"), None):
            plain = [part for part in _models(snapshot) if next(part.glob(WEIGHTS), None) is None]
            if plain:  # parts whose weights have no variants
                fetch(*(f"{part.name}/{WEIGHTS}" for part in plain))
    except errors.GatedRepoError as error:
        raise ModelError(f"model {name}: accept its terms on the hub and set HF_TOKEN: {_line(error)}") from None
    except (errors.HFValidationError, errors.RevisionNotFoundError, errors.RepositoryNotFoundError) as error:
        raise ModelError(f"model {name}: neither a folder nor on the hub, or private: {_line(error)}") from None
    except errors.LocalEntryNotFoundError as error:
        raise absent(name, constants.HF_HUB_CACHE, error.__cause__ or error) from None
    except Exception as error:  # of the hub's client, the HTTP client below it, and the file system
        raise ModelError(f"model {name}: {_line(error)}") from error
    kind = f"{layout.variant} " if layout.variant else ""
    if next(Path(snapshot).rglob(f"*.{layout.variant}*.safetensors" if layout.variant else WEIGHTS), None) is None:
        if constants.HF_HUB_OFFLINE:  # another program may have fetched no more than the tokenizer
            raise absent(name, constants.HF_HUB_CACHE, FileNotFoundError(f"no {kind}safetensors weights"))
        raise ModelError(f"model {name}: no {kind}safetensors weights; another revision or variant may have them")
    return snapshot


def _models(pipeline: str) -> list[Path]:
    """The folders of a pipeline's parts that have weights."""
    index = Path(pipeline, "model_index.json")
    parts = json.loads(index.read_text()) if index.exists() else {}
    return [index.with_name(part) for part in parts if index.with_name(part).joinpath("config.json").exists()]


def sees_images(folder: str | Path) -> bool:
    """Tell whether a model's files say how images are prepared for it; those of timm do so in ``config.json``."""
    if any(os.path.isfile(os.path.join(folder, name)) for name in PROCESSORS):
        return True
    try:
        config = documents.read_json(os.path.join(folder, "config.json"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "pretrained_cfg" in config


def absent(model: str, cache: str, reason: BaseException) -> ModelError:
    """Return the error of a model that neither the cache nor, for a reason, the internet gives."""
    return ModelError(
        f"model {model} is not in the cache {cache}: run `snakemake prefetch` on a machine with internet "
        f"({_line(reason)})"
    )


def _line(error: BaseException) -> str:
    """The first line of an error, with its kind."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def online() -> None:
    """Let this process reach the hub whatever the shell says about jobs."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ.pop(name, None)  # the hub's client reads them when it is imported
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = False

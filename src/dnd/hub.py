"""Models of the hub: which of their files are loaded, and where these lie in the local cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")


class ModelError(RuntimeError):
    """A model cannot be had; the message is one line that names it and the reason."""


@dataclass(frozen=True)
class Layout:
    """Which files of a repository are loaded, as patterns in which ``*`` stands for slashes too."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


# Folders hold other formats (onnx, original), consolidated.safetensors a second copy of the weights.
MODEL = Layout(LOADED, ("*/*", "consolidated*.safetensors"))
# One folder for each part; at the top lie second copies of all weights, and a second dot marks variants such as fp16.
PIPELINE = Layout(
    ("model_index.json", *(f"*/{name}" for name in LOADED)), ("safety_checker/*", "*/*.*.safetensors", "onnx/*")
)


def folder(model: str, revision: str | None = None, layout: Layout = MODEL) -> str:
    """Return the local folder of a model; what the cache lacks of a hub id's files is downloaded first.

    Raises
    ------
    ModelError
        The hub and its cache do not have it.
    """
    if Path(model).is_dir():
        return model
    from huggingface_hub import constants, errors, snapshot_download

    name = f"{model}@{revision}" if revision else model
    try:
        found = snapshot_download(
            model, revision=revision, allow_patterns=list(layout.wanted), ignore_patterns=list(layout.unwanted)
        )
    except errors.GatedRepoError as error:
        raise ModelError(f"model {name}: accept its terms on the hub and set HF_TOKEN: {_line(error)}") from None
    except (errors.HFValidationError, errors.RevisionNotFoundError, errors.RepositoryNotFoundError) as error:
        raise ModelError(f"model {name}: neither a folder nor on the hub, or private: {_line(error)}") from None
    except errors.LocalEntryNotFoundError as error:
        raise absent(name, constants.HF_HUB_CACHE, error.__cause__ or error) from None
    except Exception as error:  # of the hub's client, the HTTP client below it, and the file system
        raise ModelError(f"model {name}: {_line(error)}") from error
    if next(Path(found).rglob("*.safetensors"), None) is None:
        if constants.HF_HUB_OFFLINE:  # another program may have fetched no more than the tokenizer
            raise absent(name, constants.HF_HUB_CACHE, FileNotFoundError("no safetensors weights"))
        raise ModelError(f"model {name}: no safetensors weights; another revision may have them")
    return found


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
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)  # the hub's client reads them when it is imported
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = False

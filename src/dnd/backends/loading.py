"""What models have in common: the device, precision, how pictures are prepared, and errors that name the setting."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from dnd.backends.hub import ModelError
from dnd.config.backends import CaptionSettings, EmbedderSettings
from dnd.config.sections import Precision
from dnd.io import faults

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedConfig

GPUS = Path("/dev")
"""Where the driver shows a machine's GPUs, as nvidia0, nvidia1 ..."""
UNLIKE = ((64, 64), (640, 480), (200, 900))
"""Width and height of pictures that a processor treats differently, if it treats any differently."""
Prepare = Callable[[Sequence[Image.Image]], "BatchFeature"]
"""What a model's forward pass takes, of RGB pictures."""
Loader = Callable[..., tuple[nn.Module, Mapping[str, Collection[str]]]]
"""A folder and settings -> the model, and what was missing, as transformers' ``from_pretrained`` tells it."""


def device() -> torch.device:
    """Return the GPU where there is one, else the CPU.

    Raises
    ------
    ModelError
        There is one that this CUDA build of torch cannot use: on the CPU, a job of an hour would take days.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles")
    if torch.version.cuda and not hidden and (gpus := sorted(GPUS.glob("nvidia[0-9]*"))):
        raise ModelError(
            f"{gpus[0]} is a GPU that torch {torch.__version__} cannot use: its driver may be too old for CUDA "
            f"{torch.version.cuda}. `make doctor` tells more; `export CUDA_VISIBLE_DEVICES=` computes on the CPU"
        )
    return torch.device("cpu")


def precision(asked: Precision) -> str:
    """Return the name of the precision that a model has on this machine: `auto` is float16 on a GPU, else float32."""
    if asked != "auto":
        return asked
    return "float16" if device().type == "cuda" else "float32"


@contextmanager
def loading(section: str, model: str) -> Iterator[None]:
    """Turn whatever goes wrong with a model's files into a ModelError of one line that names section and model.

    Raises
    ------
    ModelError
        Files are missing, damaged or of another kind of model, or the model asks to run code of its own.
    """
    try:
        yield
    except (ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of transformers, diffusers, safetensors, and code that a repository brings
        text = " ".join(str(error).split()) or type(error).__name__
        if "trust_remote_code=True" in text:
            text = f"it brings code of its own; when you trust that, set {section}.trust_remote_code: true"
        raise ModelError(f"{section}: model {model}: {text}") from error


def pretrained(
    load: Loader,
    folder: str,
    settings: CaptionSettings | EmbedderSettings,
    config: PreTrainedConfig | None = None,
) -> tuple[nn.Module, set[str]]:
    """Return a model on its device, for inference, and the names of its weights that the files lack.

    Parameters
    ----------
    load : ``from_pretrained`` of a class of transformers.
    folder : with the files.
    config : of the model; as the folder has it when None.
    """
    given = {} if config is None else {"config": config}
    model, info = load(
        folder,
        dtype=getattr(torch, precision(settings.dtype)),
        use_safetensors=True,
        trust_remote_code=settings.trust_remote_code,
        output_loading_info=True,
        **given,
    )
    return model.to(device()).eval(), set(info["missing_keys"])


def complete(section: str, model: str, missing: Collection[str]) -> None:
    """Refuse a model some of whose weights are not in its files: they would be random.

    Parameters
    ----------
    missing : names of weights.

    Raises
    ------
    ModelError
        There are some.
    """
    if missing:
        raise ModelError(
            f"{section}: model {model}: its files lack {len(missing)} weights, such as {min(missing)}: they are of "
            "another kind of model"
        )


def prepared(section: str, model: str, prepare: Prepare, images: Sequence[Image.Image]) -> BatchFeature:
    """Return what a processor makes of pictures.

    Raises
    ------
    ModelError
        It refuses one of them, such as one that is too small or too long for it.
    """
    try:
        return prepare(images)
    except (ModelError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # processors check pictures on their own, and fail in all ways
        if len(images) > 1:
            for image in images:  # which of them it is
                prepared(section, model, prepare, [image])
        width, height = images[0].size
        raise ModelError(
            f"{section}: model {model}: its processor cannot prepare a picture of {width} x {height} pixels: "
            f"{faults.line(error)}"
        ) from error


def pictures_at_once(prepare: Prepare, most: int) -> int:
    """Return how many pictures a model is given at once: one where the shape of its inputs depends on a picture.

    Beside others an input would be filled up to theirs, and its result would depend on them.
    """
    shapes = [
        {name: value.shape for name, value in prepare([Image.new("RGB", size)]).items() if isinstance(value, Tensor)}
        for size in UNLIKE
    ]
    return most if all(shape == shapes[0] for shape in shapes) else 1

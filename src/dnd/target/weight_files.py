"""Files of weights, read without running what they hold."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dnd.target.outputs import TargetError

SHOWN = 3
"""Differences between a network and its weights that a message names."""
KEYS = 10
"""Keys of a checkpoint that a message names."""
NESTED = ("state_dict", "model", "model_state_dict", "net")
"""Keys below which checkpoints keep a network's state."""


def read(path: Path, stand_ins: Sequence[tuple[type, str]] = ()) -> object:
    """Return what a file of weights holds: tensors by name (.safetensors, .npz), a tensor (.npy), or what was saved.

    Parameters
    ----------
    path : .safetensors, .npy and .npz by their suffix; any other is taken for a file of ``torch.save``.
    stand_ins : classes that may take the place of those that a file of ``torch.save`` names, with these names.

    Raises
    ------
    TargetError
        The file is missing or damaged, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise TargetError(f"weights {path} {'are a folder, expected a file' if path.is_dir() else 'do not exist'}")
    try:
        match path.suffix:
            case ".safetensors":
                from safetensors.torch import load_file

                return load_file(path)
            case ".npy":
                return torch.from_numpy(np.load(path, allow_pickle=False))
            case ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    return {name: torch.from_numpy(arrays[name]) for name in arrays}
        with torch.serialization.safe_globals(list(stand_ins)):
            return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # of the formats' readers
        unpickling = isinstance(error, pickle.UnpicklingError)
        reasons = ["allow_pickle", "TorchScript"] + unpickling * ["GLOBAL"]
        if any(reason in str(error) for reason in reasons) or (unpickling and zipfile.is_zipfile(path)):
            raise TargetError(
                f"weights {path} hold more than tensors and plain values, which is not safe to load: save the "
                "network's state_dict() instead"
            ) from None
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if unpickling:  # the reader's reason is advice to load the file unsafely
            reason = "it is no file of torch.save"
        raise TargetError(f"weights {path} cannot be read: {reason}") from error


def state(content: object, path: Path) -> Mapping[str, Tensor]:
    """Return the tensors by name that a file holds, below any usual key; a TargetError where it holds no such."""
    tensors = unnested(content)
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        kind = type(content).__name__
        held = (
            f"a {kind} of {', '.join(map(str, list(content)[:KEYS]))}" if isinstance(content, Mapping) else f"a {kind}"
        )
        raise TargetError(f"weights {path}: expected a state dict, name -> tensor, but the file holds {held}")
    return tensors


def unnested(content: object, keys: Iterable[str] = NESTED) -> object:
    """Return what a checkpoint keeps under one of some keys; the content itself where it has none."""
    parts = [content.get(key) for key in keys] if isinstance(content, Mapping) else []
    return next((part for part in parts if isinstance(part, Mapping)), content)


def shapes(state: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Return the shapes of a network's weights, by their names."""
    return {name: list(value.shape) for name, value in state.items()}


def shapes_in(folder: Path) -> dict[str, list[int]]:
    """Return the shapes of the weights in a folder's safetensors files, by the files' own names for them."""
    from safetensors import safe_open

    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            shapes |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  it is no mapping
    return shapes


def lacking(names: Iterable[str], needed: Mapping[str, list[int]], given: Mapping[str, list[int]]) -> list[str]:
    """Return what a network lacks, each beside what in a file of weights is closest to it, by the end of its name.

    Parameters
    ----------
    names : of the network's weights that the file does not give.
    needed, given : shapes of the network's and of the file's weights.
    """

    def alike(name: str, candidate: str) -> tuple[int, bool]:
        parts = zip(reversed(name.split(".")), reversed(candidate.split(".")), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts)), needed.get(name) == given[candidate]

    lines = []
    for name in names:
        closest = max(sorted(given), key=partial(alike, name), default=None)
        beside = "" if closest is None else f" (closest in the file: {closest} {given[closest]})"
        lines.append(f"{name} {needed.get(name, '')}{beside}")
    return lines

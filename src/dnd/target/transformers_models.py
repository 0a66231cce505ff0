"""Target networks of transformers: which class, which part of it sees images, and how these are prepared for it."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from dnd.backends import hub
from dnd.config.targets import PreprocessSettings, TargetSettings
from dnd.io import faults
from dnd.target import weight_files
from dnd.target.imitation import Inimitable, Loaded, imitated, unpublished
from dnd.target.outputs import TargetError

log = logging.getLogger(__name__)

CLOSEST = 5
"""Classes that a message names."""
ENCODER_DECODER = "vision-encoder-decoder"
"""What transformers calls two models put together, of which the first sees images."""


def load(settings: TargetSettings) -> Loaded:
    """Load a network of transformers from a folder or the hub, with what tells how its images are prepared.

    Raises
    ------
    TargetError
        It cannot be read, takes no images, or weights are missing and nobody said that it is meant to be random.
    ModelError
        The hub and its cache do not have it.
    """
    import transformers
    from safetensors import SafetensorError

    folder = hub.folder(settings.factory, settings.revision, hub.MODEL.with_code(settings.trust_remote_code))
    trusted = {"trust_remote_code": settings.trust_remote_code}

    def read_class(name: str) -> tuple[nn.Module, list[str]]:
        chosen = _class_of(name, settings)
        read = chosen.from_pretrained
        if name == "TimmBackbone":  # whose own method takes the name of a timm model, not a folder
            read = super(chosen, chosen).from_pretrained
        # weights of other shapes count as missing, so that their names are told
        how = trusted | {"ignore_mismatched_sizes": True} | settings.arguments
        model, loaded = read(folder, use_safetensors=True, output_loading_info=True, **how)
        return model, sorted({*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"])})

    try:
        config = transformers.AutoConfig.from_pretrained(folder, **trusted)
        published = next(iter(config.architectures or []), "AutoModel")
        if settings.architecture is None and (hasattr(config, "vision_config") or config.model_type == ENCODER_DECODER):
            model, missing = _vision_tower(read_class, config, published)
        else:
            model, missing = read_class(settings.architecture or published)
            if missing and settings.architecture not in (None, published):
                model, missing = _part(read_class, published, type(model)) or (model, missing)
    except (TargetError, hub.ModelError, torch.OutOfMemoryError):
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise TargetError(f"{settings.factory}: {_untrusted(error)}") from error
    except (IndexError, AttributeError, ArithmeticError, RuntimeError) as error:  # of a configuration for other classes
        made = settings.architecture or "network"
        raise TargetError(f"{settings.factory}: its configuration makes no {made}: {faults.told(error)}") from error
    _require_images(model, settings)
    if missing:
        needed, given = weight_files.shapes(model.state_dict()), weight_files.shapes_in(Path(folder))
        lacking = weight_files.lacking(missing[: weight_files.SHOWN], needed, given)
        told = f"{settings.factory}: its weights lack {'; '.join(lacking)}: {len(missing)} in all"
        if not settings.random_weights:
            raise TargetError(
                f"{told}; set `architecture` to a class that does without, or `random_weights: true` where the network "
                "is meant to be random"
            )
        log.warning("%s, which stay random: describe no layer that they reach", told)
    return model, partial(_of_folder, folder, trusted)


def _of_folder(folder: str, trusted: Mapping[str, bool]) -> PreprocessSettings:
    """Translate what the image processor in a folder of transformers does."""
    import transformers

    if not hub.sees_images(folder):
        return unpublished()
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, **trusted)
    except Exception as error:  # of files that say something else, and of code that a repository brings
        raise Inimitable(f"it cannot be read how images are prepared for it: {_untrusted(error)}") from error
    return _of_transformers(processor)


def _untrusted(error: Exception) -> str:
    """An error of transformers on one line; where it asks to run code of a repository's, which setting allows that."""
    if "trust_remote_code=True" in str(error):
        return "it brings code of its own (auto_map); when you trust that, set `trust_remote_code: true` for the model"
    return faults.line(error)


def _vision_tower(
    load: Callable[[str], tuple[nn.Module, list[str]]], config: Any, published: str
) -> tuple[nn.Module, list[str]]:
    """The part of a model of images and texts that sees the images, and the names of its weights that are missing.

    Parameters
    ----------
    load : class -> model and the names of its weights that are missing.
    config, published : the whole model's configuration and class.
    """
    import transformers

    alone = type(config).__name__.replace("Config", "VisionModel")
    if hasattr(transformers, alone):
        tower, missing = load(alone)
        if not missing:
            return tower, missing
    whole, missing = load(published)  # which knows under what names its parts were saved
    modality = None if config.model_type == ENCODER_DECODER else "image"
    tower = whole.get_encoder(modality=modality)  # type: ignore[operator]
    if tower is whole:
        parts = sorted({type(part).__name__ for part in whole.modules()} & set(dir(transformers)) - {published})
        raise ValueError(f"{published} has no vision tower by a usual name; set `architecture`, to one of {parts} say")
    return tower, _of_part(tower, whole, missing)


def _part(
    load: Callable[[str], tuple[nn.Module, list[str]]], published: str, kind: type[nn.Module]
) -> tuple[nn.Module, list[str]] | None:
    """The first part of a published model that is of a class, and the names of its weights that are missing."""
    whole, missing = load(published)
    part = next((module for name, module in whole.named_modules() if name and type(module) is kind), None)
    return None if part is None else (part, _of_part(part, whole, missing))


def _of_part(part: nn.Module, whole: nn.Module, names: Iterable[str]) -> list[str]:
    """Those of a whole model's weights that belong to a part of it, named as there."""
    prefix = next(name for name, module in whole.named_modules() if module is part) + "."
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def _class_of(name: str, settings: TargetSettings) -> Any:
    """The class of a name in transformers; that of the repository's own code where it is trusted."""
    import transformers

    if hasattr(transformers, name):
        return getattr(transformers, name)
    if settings.trust_remote_code:
        return transformers.AutoModel
    closest = difflib.get_close_matches(name, dir(transformers), CLOSEST)
    told = f"{settings.factory}: transformers has no class {name!r}; set `architecture`"
    raise TargetError(f"{told} to such as {', '.join(closest)}" if closest else told)


def _require_images(model: nn.Module, settings: TargetSettings) -> None:
    """Raise a TargetError where a network takes something else than a batch of images."""
    config, parameters = getattr(model, "config", None), inspect.signature(model.forward).parameters
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    frames = getattr(config, "num_frames", getattr(config, "frames_per_clip", None))
    if frames is not None or len(needed) > 1:
        taken = " and ".join(needed) if frames is None else f"videos of {frames} frames"
        raise TargetError(
            f"{settings.factory}: {type(model).__name__} takes {taken}, not a batch of images: make them from images "
            "in a factory of your own (source python), or set `architecture` to a class that takes images"
        )


def _of_transformers(processor: Any) -> PreprocessSettings:
    """Translate what an image processor does, whatever its keys say."""

    def inputs(image: Image.Image) -> Tensor:
        try:
            made = processor(images=image, return_tensors="pt")
            values = made if isinstance(made, Tensor) else made.get("pixel_values")  # a tensor is of Idefics'
            if values is not None:
                values = torch.as_tensor(values)  # code of a repository's need not heed `return_tensors`
        except Exception as error:  # of a processor that takes something else, or checks on its own
            raise Inimitable(
                f"its {name} takes no image alone: {type(error).__name__}: {faults.line(error)}"
            ) from error
        if values is None:
            raise Inimitable(f"its {name} makes {', '.join(made)} of an image, not pixel_values")
        if values.ndim != 4 or len(values) != 1:
            raise Inimitable(f"its {name} makes inputs {list(values.shape)} of an image, not [1, 3, h, w]")
        return values[0]

    name = type(processor).__name__
    return imitated(inputs, f"its {name}")

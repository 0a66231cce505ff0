"""Where target networks come from: torchvision, timm, transformers, a factory of the user's own; and how images are
prepared for them."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from dnd.backends import hub
from dnd.backends.loading import device as available_device
from dnd.config.load import read_preprocess, read_token_order
from dnd.config.targets import WEIGHTS, PreprocessSettings, TargetSettings, file_of
from dnd.io import faults
from dnd.target import state_dicts, transformers_models, weight_files
from dnd.target.imitation import Inimitable, Loaded, unpublished
from dnd.target.network import COMPILED, Target
from dnd.target.outputs import TargetError
from dnd.target.preprocess import Preprocess
from dnd.target.tokens import Told

log = logging.getLogger(__name__)

CLOSEST = 5
PREFIXES = ("module.", "model.", "backbone.")
"""What DataParallel and Lightning put before the names of weights."""


def load(settings: TargetSettings, device: torch.device | None = None, *, sign: str = "positive") -> Target:
    """Load a target network with its preprocessing, frozen and in evaluation mode.

    Parameters
    ----------
    device : a GPU where there is one, when empty.
    sign : of the activations that are read, ``positive`` or ``negative``.

    Raises
    ------
    TargetError
        The factory, the weights or the preprocessing cannot be found or do not fit; the message says which.
    ModelError
        The hub and its cache do not have the model, the cache has other weights than were published, or torch cannot
        use the machine's GPU.
    ConfigError
        The file of the preprocessing holds something else.
    """
    device = device or available_device()
    cache = settings.arguments.get("cache_dir") if settings.source == "timm" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what no weights set is the same in every job
        with state_dicts.guarded(cache or torch.hub.get_dir()):
            model, published = _made(settings)
    given = settings.preprocess
    try:
        preprocess = read_preprocess(given) if isinstance(given, Path) else given or published()
    except Inimitable as error:
        raise TargetError(f"{settings.factory}: set `preprocess`, since {error}") from error
    try:
        model = model.to(device, getattr(torch, settings.dtype)).eval().requires_grad_(False)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of quantised and exported networks, which refuse some of it
        raise TargetError(
            f"{settings.factory}: its network cannot be put on {device} in {settings.dtype} and in evaluation mode: "
            f"{faults.told(error)}"
        ) from error
    order = None if settings.token_order is None else torch.tensor(read_token_order(settings.token_order))
    told = Told(settings.layout, settings.prefix_tokens, settings.suffix_tokens, order)
    return Target(model, Preprocess(preprocess), device, told, settings.basis, sign)


def _made(settings: TargetSettings) -> Loaded:
    """The network as its source makes it; whatever fails there is told as itself."""
    try:
        return _SOURCES[settings.source](settings)
    except (TargetError, hub.ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise TargetError(f"{settings.factory}: {faults.told(error)}") from error


def _torchvision(settings: TargetSettings) -> Loaded:
    from torchvision import models

    if settings.factory not in models.list_models():
        raise _unknown("torchvision", settings.factory, models.list_models())
    weights = published_weights(settings)
    if weights is None:
        model = models.get_model(settings.factory, weights=None, **settings.arguments)
        return _with_weights(model, settings), unpublished
    try:
        model = models.get_model(settings.factory, weights=weights, **settings.arguments)
    except URLError as error:
        raise hub.absent(f"{settings.factory} with {settings.weights}", torch.hub.get_dir(), error) from None
    return model, partial(_of_torchvision, weights)


def published_weights(settings: TargetSettings) -> Any:
    """Return torchvision's weights enum of a target, None for a file or none; a TargetError where it is unknown."""
    from torchvision import models

    name = settings.weights
    if settings.source != "torchvision" or name is None or name.endswith(WEIGHTS):
        return None
    known = models.get_model_weights(settings.factory)
    if name not in known.__members__:
        raise TargetError(f"{settings.factory} has no weights {name!r}; torchvision has {sorted(known.__members__)}")
    return known[name]


def _of_torchvision(weights: Any) -> PreprocessSettings:
    preset = weights.transforms()
    if not hasattr(preset, "crop_size"):  # of detection, segmentation, video
        return unpublished()
    return PreprocessSettings(
        size=preset.crop_size[0],
        resize=preset.resize_size[0],
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _timm(settings: TargetSettings) -> Loaded:
    import timm

    if settings.weights is not None and settings.weights != "pretrained" and not settings.weights.endswith(WEIGHTS):
        raise TargetError(
            f"weights {settings.weights!r} of timm's {settings.factory}: expected `pretrained` or a file "
            f"({', '.join(WEIGHTS)})"
        )
    name = settings.factory + (f"@{settings.revision}" if settings.revision and "/" in settings.factory else "")
    pretrained = settings.weights == "pretrained"
    try:
        model = timm.create_model(name, pretrained=pretrained, **settings.arguments)
    except hub.ModelError:
        raise
    except RuntimeError as error:
        if "Unknown model" in str(error):
            raise _unknown("timm", settings.factory, timm.list_models()) from None
        if isinstance(error.__cause__, pickle.UnpicklingError):  # timm's own words advise to load it all the same
            raise TargetError(
                f"timm's {settings.factory}: its weights hold more than tensors and plain values, which is not safe to "
                "load"
            ) from None
        raise TargetError(f"timm's {settings.factory}: {faults.line(error)}") from error
    except (OSError, URLError) as error:  # of the hub's client, too
        raise hub.absent(f"timm's {settings.factory}", str(torch.hub.get_dir()), error) from None
    if pretrained:
        _remember(getattr(model, "pretrained_cfg", {}), settings.revision)
    else:
        model = _with_weights(model, settings)
    return model, partial(_of_timm, timm.data.resolve_model_data_config(model))


def _remember(published: Any, revision: str | None) -> None:
    """Note which commit of a repository timm has taken weights from."""
    from huggingface_hub import try_to_load_from_cache

    name = published.get("hf_hub_id")
    file = try_to_load_from_cache(name, "config.json", revision=revision) if name else None
    if name and isinstance(file, str):
        hub.remember(f"{name}@{revision}" if revision else name, Path(file).parent)


def _of_timm(config: Mapping[str, Any]) -> PreprocessSettings:
    """Translate what timm's ``transforms_imagenet_eval`` is given."""
    fit = {"center": "crop", "squash": "squash", "border": "letterbox"}[config["crop_mode"]]
    size = tuple(config["input_size"][1:])
    resize = int(min(size) / config["crop_pct"])
    if resize < min(size):
        raise Inimitable(f"timm makes the shorter side of images {resize} pixels long and pads it to {min(size)}")
    return PreprocessSettings(
        size=size,
        fit=fit,
        resize=resize,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=tuple(round(255 * value) for value in config["mean"]) if len(config["mean"]) == 3 else 0,
    )


def _python(settings: TargetSettings) -> Loaded:
    name, _, function = settings.factory.rpartition(":")
    file, told = file_of(settings.factory), f"factory {settings.factory!r}"
    try:
        factory = attrgetter(function)(_imported(file) if file else importlib.import_module(name))
    except Exception as error:  # of what the user's module does when it is imported
        if wrong := _wrong_in_factory(error, name):
            raise TargetError(f"{told}: {wrong}") from error
        if not isinstance(error, ImportError | AttributeError | OSError | ValueError):  # of a package, not of its name
            raise TargetError(f"{told}: {faults.told(error)}") from error
        raise TargetError(f"{told}: {error}; expected package.module:function or file.py:function") from error
    try:
        model = factory(**settings.arguments)
    except (torch.OutOfMemoryError, hub.ModelError):
        raise
    except Exception as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # of the call itself
            raise TargetError(f"{told} with arguments {settings.arguments}: {error}") from error
        wrong = _wrong_in_factory(error, name) or faults.told(error)
        raise TargetError(f"{told} with arguments {settings.arguments} fails: {wrong}") from error
    if not isinstance(model, nn.Module):
        raise TargetError(f"{told} returns {type(model).__name__}, expected a torch.nn.Module")
    return _with_weights(_uncompiled(model), settings), unpublished


def _uncompiled(model: nn.Module) -> nn.Module:
    """A network with its own names of layers, to which torch.compile's wrappers add theirs."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # under all names of a child
            if name != COMPILED and hasattr(child, COMPILED):
                setattr(parent, name, getattr(child, COMPILED))
    return getattr(model, COMPILED, model)


def _wrong_in_factory(error: Exception, module: str) -> str | None:
    """What the user's code lacks or where it fails; None where it has not begun."""
    if package := faults.missing_package(error, module):
        return f"it needs the package {package!r}, which is not installed in the environment that runs it"
    return faults.in_users_code(error)


def _imported(file: Path) -> ModuleType:
    """The module of a file, whose neighbours it may import."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent.resolve()))
    return module


def _with_weights(model: nn.Module, settings: TargetSettings) -> nn.Module:
    """Load a file of weights, of any precision, into a network; a TargetError tells what does not fit."""
    if settings.weights is None:
        log.warning("%s: no `weights` are given: the network is as its factory makes it", settings.factory)
        return model
    path = Path(settings.weights)
    state = _without_prefix(weight_files.state(weight_files.read(path), path), model.state_dict())
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        needed, given = weight_files.shapes(model.state_dict()), weight_files.shapes(state)
        strange = {name: shape for name, shape in given.items() if name not in needed}
        lines = [
            f"{name} is {given[name]}, the network has {shape}"
            for name, shape in needed.items()
            if given.get(name, shape) != shape
        ]
        missing = [name for name in needed if name not in given]
        lines += [f"{line} is missing" for line in weight_files.lacking(missing, needed, strange)]
        lines += [f"{name} is not of this network" for name in strange]
        raise TargetError(
            f"weights {path} do not fit {settings.factory}: {len(lines)} differences, such as: "
            f"{'; '.join(lines[: weight_files.SHOWN]) or faults.line(error)}"
        ) from None
    return model


def _without_prefix(state: Mapping[str, Tensor], needed: Iterable[str]) -> Mapping[str, Tensor]:
    """The state without what wrappers put before all its names."""
    names = set(needed)
    state = {name.replace(f"{COMPILED}.", ""): value for name, value in state.items()}
    while not names & set(state):
        prefix = next((prefix for prefix in PREFIXES if state and all(name.startswith(prefix) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _unknown(package: str, name: str, known: Iterable[str]) -> TargetError:
    closest = difflib.get_close_matches(name, list(known), CLOSEST, cutoff=0)
    return TargetError(f"{package} has no model {name!r}; the closest names are {', '.join(closest)}")


_SOURCES: dict[str, Callable[[TargetSettings], Loaded]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": transformers_models.load,
    "python": _python,
}

"""Fetch every model and dataset that the sweep needs into the local caches, for jobs on machines without internet."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from dnd.backends import hub
from dnd.config.backends import CaptionSettings, GeneratorSettings, LlmSettings
from dnd.config.load import Config
from dnd.config.redaction import without_secrets
from dnd.config.sweep import SweepRow
from dnd.config.targets import WEIGHTS, ProbeSettings, TargetSettings

USES = {
    "captions": "captioner",
    "generator": "generator",
    "embedder": "embedder",
    "llm": "llm",
    "refinement.llm": "llm",
}
"""Part of a recipe that names a model -> what it is for."""


@dataclass(frozen=True)
class Wanted:
    """A model or dataset that jobs will load.

    Attributes
    ----------
    use : what for.
    name : as the user knows it.
    fetch : makes sure that it is in the cache, and returns the file or folder.
    """

    use: str
    name: str
    fetch: Callable[[], str] = field(compare=False)


def wanted(config: Config, rows: Sequence[SweepRow]) -> list[Wanted]:
    """Return the models and datasets that the rows of the sweep need, each once; none that a server has."""
    found = [_target(config.models[row.model]) for row in rows]
    for row in rows:
        probe = config.probes[row.probe]
        found += [_dataset(config.probes[member]) for member in probe.members or [row.probe]]
        found += [_model(USES[key], part) for key, part in config.recipes[row.recipe].models().items()]
    evaluation = {"embedder": config.evaluation.embedder, "generator": config.evaluation.generator}
    found += [_model(f"evaluation {use}", part) for use, part in evaluation.items() if part is not None]
    found.append(_model("llm", config.llm))
    return list(dict.fromkeys(one for one in found if one is not None))


def _model(use: str, part: Any) -> Wanted | None:
    """What a section with ``model`` needs; nothing where a server has it, or no model is needed."""
    if getattr(part, "base_url", None) is not None or getattr(part, "oracle", False):
        return None
    layout = hub.MODEL
    if isinstance(part, GeneratorSettings):
        layout = hub.PIPELINE.of_variant(part.variant)
    return _hub(use, part.model, part.revision, layout.with_code(part.trust_remote_code))


def _hub(use: str, model: str, revision: str | None, layout: hub.Layout = hub.MODEL) -> Wanted:
    name = f"{model}@{revision}" if revision else model
    kind = [*([layout.variant] if layout.variant else []), *(["with its code"] if layout.has_code else [])]
    if kind:
        name += f" ({', '.join(kind)})"
    return Wanted(use, name, lambda: hub.folder(model, revision, layout))


def _target(settings: TargetSettings) -> Wanted | None:
    """The published weights of a target; a file or a factory of the user's own is left alone."""
    if settings.source == "transformers":
        layout = hub.MODEL.with_code(settings.trust_remote_code)
        return _hub("target", settings.factory, settings.revision, layout)
    if settings.source == "python" or settings.weights is None or settings.weights.endswith(WEIGHTS):
        return None
    place = _torchvision_file if settings.source == "torchvision" else _timm_folder
    return Wanted("target", f"{settings.factory} with {settings.weights}", lambda: place(settings))


def _torchvision_file(settings: TargetSettings) -> str:
    import torch

    from dnd.target import sources

    url = sources.published_weights(settings).url
    sources.load(settings, torch.device("cpu"))
    return str(Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name))


def _timm_folder(settings: TargetSettings) -> str:
    import torch
    from huggingface_hub import constants

    from dnd.target import sources

    published: Any = sources.load(settings, torch.device("cpu")).model.pretrained_cfg
    if published.get("hf_hub_id"):
        return str(Path(constants.HF_HUB_CACHE, f"models--{published['hf_hub_id'].replace('/', '--')}", "snapshots"))
    if published.get("url"):
        return str(Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(published["url"]).path).name))
    return settings.factory  # a folder


def _dataset(settings: ProbeSettings) -> Wanted | None:
    """The dataset of a hub that a probe's images are in."""
    name = settings.dataset
    if name is None:
        return None
    asked = [*([f"{name}@{settings.revision}"] if settings.revision else [name]), settings.subset, settings.split]

    def fetch() -> str:
        import datasets

        found = datasets.load_dataset(name, settings.subset, split=settings.split, revision=settings.revision)
        parts = found.values() if isinstance(found, dict) else [found]
        return str(Path(next(file["filename"] for part in parts for file in part.cache_files)).parent)

    return Wanted("probe", " ".join(word for word in asked if word), fetch)


def run(models: Sequence[Wanted], say: Callable[[str], None]) -> list[str]:
    """Fetch models and datasets, say where each is and how large, and return one line for each that cannot be had."""
    hub.online()
    places, failures = {}, []
    for number, one in enumerate(models, 1):
        say(f"[{number}/{len(models)}] {one.use} {one.name}")
        try:
            places[one] = one.fetch()
        except Exception as error:  # whatever it is, the others may do
            kind = "" if isinstance(error, hub.ModelError) else f"{one.name}: {type(error).__name__}: "
            failures.append(f"{one.use}: {kind}{error}")
    sizes = {one: _bytes(Path(place)) for one, place in places.items()}
    say("")
    for one, place in places.items():
        say(f"{sizes[one] / 1e6:10.1f} MB  {one.use:9}  {one.name}  {place}")
    say(f"{sum(sizes.values()) / 1e6:10.1f} MB  in all")
    return failures


def asked(config: Config, rows: Sequence[SweepRow], say: Callable[[str], None]) -> list[str]:
    """Ask the external servers of the sweep for their models, and return one line for each that will not do."""
    from dnd.backends.llm import check

    parts = [item for row in rows for item in config.recipes[row.recipe].models().items()]
    named = [*parts, ("llm", config.llm)]
    servers = [
        (one.base_url, one.api_key_env, one.model, section)
        for section, one in named
        if isinstance(one, CaptionSettings | LlmSettings) and one.base_url
    ]
    failures = []
    for url, key, model, section in dict.fromkeys(servers):
        say(f"{section}: {model} at {without_secrets(url)}")
        if problem := check(url, key, model, section):
            failures.append(problem)
    return failures


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def exports() -> list[str]:
    """Return the shell lines with which jobs use the caches of this process, and nothing else."""
    import torch
    from huggingface_hub import constants

    variables = {"HF_HUB_OFFLINE": "1", "HF_HOME": constants.HF_HOME}
    if Path(constants.HF_HUB_CACHE) != Path(constants.HF_HOME, "hub"):
        variables["HF_HUB_CACHE"] = constants.HF_HUB_CACHE
    if "HF_DATASETS_CACHE" in os.environ:
        variables["HF_DATASETS_CACHE"] = os.environ["HF_DATASETS_CACHE"]
    variables["TORCH_HOME"] = str(Path(torch.hub.get_dir()).parent)
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]

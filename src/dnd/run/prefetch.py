"""Fetch every model and dataset that the sweep needs into the local caches, for jobs on machines without internet."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

from dnd.backends import hub
from dnd.config.backends import CaptionSettings, GeneratorSettings, LlmSettings
from dnd.config.evaluation import ModelSettings
from dnd.config.load import Config
from dnd.config.redaction import without_secrets
from dnd.config.sweep import SweepRow
from dnd.config.targets import WEIGHTS, ProbeSettings, TargetSettings

USES = {
    "captions": "captioner",
    "generator": "generator",
    "embedder": "embedder",
    "llm": "llm",
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
    needed = [_target(config.models[row.model]) for row in rows]
    for row in rows:
        probe = config.probes[row.probe]
        needed += [_dataset(config.probes[member]) for member in probe.members or [row.probe]]
        needed += [_model(USES[key], part) for key, part in config.recipes[row.recipe].models().items()]
    evaluation = {"embedder": config.evaluation.embedder, "generator": config.evaluation.generator}
    needed += [_model(f"evaluation {use}", part) for use, part in evaluation.items() if part is not None]
    needed.append(_model("llm", config.llm))
    return list(dict.fromkeys(model for model in needed if model is not None))


def _model(use: str, part: ModelSettings) -> Wanted | None:
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

    published = getattr(sources.load(settings, torch.device("cpu")).model, "pretrained_cfg", {})
    name, url = (str(published.get(key) or "") for key in ("hf_hub_id", "url"))
    if name:
        return str(Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}", "snapshots"))
    if url:
        return str(Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name))
    return settings.factory  # a folder


def _dataset(settings: ProbeSettings) -> Wanted | None:
    """The dataset of a hub that a probe's images are in."""
    name = settings.dataset
    if name is None:
        return None
    asked = [*([f"{name}@{settings.revision}"] if settings.revision else [name]), settings.subset, settings.split]

    def fetch() -> str:
        import datasets

        dataset = datasets.load_dataset(name, settings.subset, split=settings.split, revision=settings.revision)
        parts = dataset.values() if isinstance(dataset, dict) else [dataset]
        return str(Path(next(file["filename"] for part in parts for file in part.cache_files)).parent)

    return Wanted("probe", " ".join(word for word in asked if word), fetch)


def run(models: Sequence[Wanted], say: Callable[[str], None]) -> list[str]:
    """Fetch models and datasets, say where each is and how large, and return one line for each that cannot be had."""
    hub.online()
    lines, total, failures = [], 0, []
    for number, model in enumerate(models, 1):
        say(f"[{number}/{len(models)}] {model.use} {model.name}")
        try:
            place = Path(model.fetch())
        except Exception as error:  # whatever it is, the others may do
            kind = "" if isinstance(error, hub.ModelError) else f"{model.name}: {type(error).__name__}: "
            failures.append(f"{model.use}: {kind}{error}")
            continue
        size = sum(file.stat().st_size for file in [place, *place.rglob("*")] if file.is_file())
        total += size
        lines.append(f"{size / 1e6:10.1f} MB  {model.use:9}  {model.name}  {place}")
    for line in ["", *lines, f"{total / 1e6:10.1f} MB  in all"]:
        say(line)
    return failures


def asked(config: Config, rows: Sequence[SweepRow], say: Callable[[str], None]) -> list[str]:
    """Ask the external servers of the sweep for their models, and return one line for each that will not do."""
    from dnd.backends.llm import check

    parts = [item for row in rows for item in config.recipes[row.recipe].models().items()]
    servers = [
        (part.base_url, part.api_key_env, part.model, section)
        for section, part in [*parts, ("llm", config.llm)]
        if isinstance(part, CaptionSettings | LlmSettings) and part.base_url
    ]
    failures = []
    for url, key, model, section in dict.fromkeys(servers):
        say(f"{section}: {model} at {without_secrets(url)}")
        if problem := check(url, key, model, section):
            failures.append(problem)
    return failures


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

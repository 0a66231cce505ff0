"""Fetch every model that the sweep needs into the local caches, for jobs on machines without internet."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

from dnd import hub
from dnd.config import Config
from dnd.settings import TargetSettings
from dnd.sweep import SweepRow


@dataclass(frozen=True)
class Wanted:
    """A model that jobs will load.

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
    """Return the models that the rows of the sweep need, each once."""
    found = [_target(config.models[row.model]) for row in rows]
    for row in rows:
        recipe = config.recipes[row.recipe]
        found.append(_hub("captioner", recipe.captions.model, recipe.captions.revision))
        found.append(_hub("generator", recipe.generator.model, recipe.generator.revision, hub.PIPELINE))
        found.append(_hub("embedder", recipe.embedder.model, recipe.embedder.revision))
    if config.llm.base_url is None:
        found.append(_hub("llm", config.llm.model, config.llm.revision))
    return list(dict.fromkeys(one for one in found if one is not None))


def _hub(use: str, model: str, revision: str | None, layout: hub.Layout = hub.MODEL) -> Wanted:
    return Wanted(use, f"{model}@{revision}" if revision else model, lambda: hub.folder(model, revision, layout))


def _target(settings: TargetSettings) -> Wanted | None:
    """The published weights of a target; a factory of the user's own is left alone."""
    if settings.source != "torchvision" or settings.weights is None:
        return None

    def fetch() -> str:
        import torch

        from dnd import targets

        weights = targets.published_weights(settings)
        if weights is None:
            return str(settings.weights)
        targets.load(settings, torch.device("cpu"))
        return str(Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(weights.url).path).name))

    return Wanted("target", f"{settings.factory} with {settings.weights}", fetch)


def run(models: Sequence[Wanted], say: Callable[[str], None]) -> list[str]:
    """Fetch models, say where each is and how large, and return one line per model that cannot be had."""
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
    variables["TORCH_HOME"] = str(Path(torch.hub.get_dir()).parent)
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]

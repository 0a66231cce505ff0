"""What the files and names in a configuration hold, looked at without torch before any job starts.

Each check yields the key and what is wrong. What needs a library that is not installed here is left to jobs: a head
node may have none but Snakemake's own.
"""

from __future__ import annotations

import os  # its questions of a path that cannot be have an answer, those of pathlib an error
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec

from dnd.backends import hub
from dnd.candidates import prompts
from dnd.candidates.prompts import Shown
from dnd.config import known_answers
from dnd.config.backends import SET_BY, EmbedderSettings, GeneratorSettings, LlmSettings
from dnd.config.evaluation import ModelSettings
from dnd.config.load import (
    Config,
    ConfigError,
    examined,
    models,
    read_preprocess,
    read_token_order,
    refuse,
)
from dnd.config.recipes import Recipe
from dnd.config.rivals import ConceptListRecipe, ForeignRecipe, LineRecipe, MilanRecipe, RivalRecipe
from dnd.config.targets import WEIGHTS, ProbeSettings, TargetSettings, file_of
from dnd.io import documents, installed
from dnd.probe import broden
from dnd.rivals import concept_sets
from dnd.run import code_digest
from dnd.selection import verdict

P = ParamSpec("P")
Wrong = Iterator[tuple[str, str]]
HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?")
LONGEST_HUB_ID = 96
"""As the hub has it."""


def load(values: Mapping[str, object], file: str | Path = "config/config.yaml") -> Config:
    """Check the values of config.yaml as :func:`dnd.config.load.load` does, and what the files that they name hold.

    Raises
    ------
    ConfigError
        With one line per mistake.
    """
    config, told = examined(values)
    refuse([*told, *misread(config, told)], file)
    return config


def misread(config: Config, told: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the keys of files and names that do not hold what they should, but for those that were told already."""
    keys = {key for key, _ in told}
    return [(key, message) for key, message in wrong(config) if key not in keys]


def wrong(config: Config) -> Wrong:
    """Yield the key of every file or name that does not hold what it should, and what is wrong with it."""
    for name, target in config.models.items():
        yield from _target(f"models.{name}", target)
    for key, section in models(config):
        yield from _model(key, section)
    for name, probe in config.probes.items():
        yield from _annotations(f"probes.{name}.annotations", probe)
    for name, recipe in config.recipes.items():
        yield from _recipe(f"recipes.{name}", recipe)
    if config.evaluation.concepts is not None:
        yield from _told("evaluation.concepts", concept_sets.read, config.evaluation.concepts)
    for name, audit in config.audits.items():
        if audit.classes is not None:
            yield from _told(f"audits.{name}.classes", documents.read_text, audit.classes)
    if os.path.isfile(config.store):
        yield "store", f"{config.store} is a file, expected a folder"


def _told(key: str, read: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> Wrong:
    """What a reader of files says, line by line; nothing where it needs what is not installed here."""
    try:
        read(*arguments, **named)
    except ModuleNotFoundError:
        return
    except (ValueError, ConfigError) as error:
        yield from ((key, line) for line in str(error).splitlines())
    except OSError as error:
        yield key, f"{error.filename} cannot be read: {error.strerror}"


def _target(key: str, target: TargetSettings) -> Wrong:
    if isinstance(target.preprocess, Path):
        yield from _told(f"{key}.preprocess", read_preprocess, target.preprocess)
    if target.token_order is not None:
        yield from _told(f"{key}.token_order", read_token_order, target.token_order)
    if target.known_answers is not None:
        yield from _told(f"{key}.known_answers", _read_known_answers, target.known_answers)
    for layer, path in target.class_names.items():
        yield from _told(f"{key}.class_names.{layer}", documents.read_text, path)
    if target.basis is not None and target.basis.path is not None and os.path.isfile(target.basis.path):
        yield from _told(f"{key}.basis.path", _read_header, target.basis.path)
    is_file = target.weights is not None and target.weights.endswith(WEIGHTS)
    if is_file:
        yield from _told(f"{key}.weights", _read_header, Path(str(target.weights)))
    if target.source == "python":
        module, colon, function = target.factory.rpartition(":")
        if not colon or not function:
            yield f"{key}.factory", f"{target.factory!r} is neither package.module:function nor file.py:function"
        elif (file := file_of(target.factory) or code_digest.located(module, sys.path)) and os.path.isfile(file):
            yield from _told(f"{key}.factory", _require_function, file, function)
    elif target.source == "transformers":
        yield from _folder_or_hub_id(f"{key}.factory", target.factory, ("config.json",))
    elif ":" not in target.factory:  # timm's `hf-hub:` and `local-dir:`
        network = target.factory
        if target.source == "timm":  # whose names may have an owner before them and a tag behind
            network = network.rpartition("/")[2].partition(".")[0]
        if told := installed.unknown_network(target.source, network):
            yield f"{key}.factory", told
        elif target.weights is not None and not is_file:
            yield from _published_weights(key, target, target.weights)


def _published_weights(key: str, target: TargetSettings, weights: str) -> Wrong:
    if target.source == "torchvision" and (told := installed.unknown_weights(target.factory, weights)):
        yield f"{key}.weights", told
    if target.source == "timm" and weights != "pretrained":
        yield f"{key}.weights", f"expected `pretrained` or a file of timm's {target.factory}, not {weights!r}"


def _read_known_answers(path: Path) -> None:
    from dnd.shapeworld import world  # needs numpy, which a head node may not have

    for layer, answers in known_answers.load(path).items():
        for answer in answers.values():
            try:
                world.extension(answer)
            except known_answers.KnownAnswersError as error:
                raise known_answers.KnownAnswersError(f"{path}: layer {layer}, {error}") from None


def _require_function(file: Path, function: str) -> None:
    if told := installed.missing_function(file, function):
        raise ValueError(told)


def _read_header(path: Path) -> None:
    """Check that a file of weights has something in it, and a .safetensors file all that its head tells.

    Raises
    ------
    ValueError
        It has not.
    """
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ValueError(f"{path} is no file of safetensors, or a part of one: {error}") from None


def _folder_or_hub_id(key: str, name: str, wanted: tuple[str, ...]) -> Wrong:
    """Check that a name is that of a folder with one of some files, or may be that of a model of the hub."""
    path = Path(name)
    if os.path.isdir(path):
        if not any(os.path.isfile(path / file) for file in wanted):
            yield key, f"{name} has no {' or '.join(wanted)}: it is no folder of such a model"
        for file in wanted:
            if os.path.isfile(path / file):
                yield from _told(key, documents.read_json, path / file)
    elif os.path.exists(path):
        yield key, f"{name} is a file, expected the folder or the hub id of a model"
    elif not HUB_ID.fullmatch(name) or len(name) > LONGEST_HUB_ID or "--" in name or ".." in name:
        yield key, f"{name[:LONGEST_HUB_ID]!r} is neither a folder nor a hub id such as owner/name"


def _model(key: str, section: ModelSettings) -> Wrong:
    path = Path(section.model)
    if isinstance(section, LlmSettings):
        yield from _server(key, section)
        if path.suffix == ".gguf" and os.path.isfile(path):  # vLLM reads them
            return
    wanted: tuple[str, ...] = ("model_index.json",) if isinstance(section, GeneratorSettings) else ("config.json",)
    if isinstance(section, LlmSettings):
        wanted = ("config.json", "params.json")  # the second is Mistral's own
    mistakes = list(_folder_or_hub_id(f"{key}.model", section.model, wanted))
    yield from mistakes
    if os.path.isdir(path) and not mistakes:
        if isinstance(section, EmbedderSettings) and not hub.sees_images(path):
            yield f"{key}.model", f"{section.model} has no {hub.PROCESSORS[0]}: it sees no images"
        pattern = "*/*.safetensors" if isinstance(section, GeneratorSettings) else "*.safetensors"
        if not isinstance(section, LlmSettings) and next(path.glob(pattern), None) is None:
            yield f"{key}.model", f"{section.model} has no weights ({pattern})"
    if isinstance(section, GeneratorSettings):
        yield from _generator(key, section)


def _server(key: str, section: LlmSettings) -> Wrong:
    if section.python is not None and shutil.which(section.python) is None:
        yield f"{key}.python", f"{section.python} is no interpreter"
    template = section.chat_template
    if template is not None and (os.path.isfile(template) or template.endswith(".jinja")):
        yield from _told(f"{key}.server_arguments", documents.read_text, template)


def _generator(key: str, section: GeneratorSettings) -> Wrong:
    if section.scheduler is not None and (told := installed.unknown_scheduler(section.scheduler)):
        yield f"{key}.scheduler", told
    for argument in SET_BY.keys() & section.arguments:
        yield f"{key}.arguments.{argument}", f"it is set by {SET_BY[argument]}"
    index = Path(section.model, "model_index.json")
    if not section.arguments or not os.path.isfile(index):
        return
    try:
        values = documents.read_json(index)
    except documents.DocumentError:
        return  # told already
    name = values.get("_class_name") if isinstance(values, dict) else None
    known = installed.parameters_of_pipeline(name) if isinstance(name, str) else []
    for argument in section.arguments:
        if known and argument not in known:
            told = f"{name} takes no such argument{installed.closest(argument, set(known) - SET_BY.keys())}"
            yield f"{key}.arguments.{argument}", told


def _annotations(key: str, probe: ProbeSettings) -> Wrong:
    asked = probe.annotations
    if asked is None:
        return
    if asked.parents is not None and os.path.isfile(asked.parents):
        yield from _told(f"{key}.parents", _read_hypernyms, asked.parents)
    if asked.path is not None and os.path.isdir(asked.path):
        yield from _told(f"{key}.path", broden.Broden(asked.path, asked.categories).check)


def _read_hypernyms(path: Path) -> None:
    from dnd.probe import annotations

    annotations.hypernyms(path)


def _recipe(key: str, recipe: Recipe | RivalRecipe) -> Wrong:
    if isinstance(recipe, Recipe):
        asked = recipe.concepts
        if not asked.known_answers:
            used: list[tuple[str, Path | None, Shown]] = [("prompt", asked.prompt, asked.shows)]
            used += [(f"prompts.{i}", path, asked.shows) for i, path in enumerate(asked.prompts)]
            used += [("simplify", asked.simplify, "captions"), ("again", asked.again, "captions")]
            for name, path, shows in used:
                if path is not None:
                    yield from _told(f"{key}.concepts.{name}", prompts.read_prompt, path, shows)
        if recipe.scores.verdict is not None:
            yield from _told(f"{key}.scores.verdict", _holds_for, recipe.scores.verdict, recipe)
    if isinstance(recipe, LineRecipe):
        yield from _told(f"{key}.prompt", prompts.read_prompt, recipe.prompt, "history")
    if isinstance(recipe, ConceptListRecipe):
        yield from _told(f"{key}.concepts", concept_sets.read, recipe.concepts)
    if isinstance(recipe, MilanRecipe) and os.path.isdir(recipe.describer):
        yield from _folder_or_hub_id(f"{key}.describer", str(recipe.describer), ("config.json",))
    if isinstance(recipe, ForeignRecipe):
        yield from _told(f"{key}.labels", _read_labels, recipe)


def _holds_for(path: Path, recipe: Recipe) -> None:
    unlike = verdict.differences(verdict.load(path), recipe)
    if unlike is not None:
        raise ValueError(
            f"{path} was fitted with other settings: this recipe has {unlike}; fit it by `dnd fit-verdict`"
        )


def _read_labels(recipe: ForeignRecipe) -> None:
    from dnd.rivals import foreign

    list(foreign.table(recipe.labels, foreign.format_of(recipe).needs))

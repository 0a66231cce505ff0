"""The typed configuration, config.yaml, checked before any job starts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError

from dnd.config import mistakes, shipped
from dnd.config.backends import LlmSettings, Settings, ShardSettings
from dnd.config.evaluation import AuditSettings, EvaluationSettings, ImportanceSettings
from dnd.config.recipes import Recipe
from dnd.config.redaction import SHORTEST, secrets_of
from dnd.config.rivals import (
    ClipDissectRecipe,
    CompositionalRecipe,
    ForeignRecipe,
    InvertRecipe,
    LineRecipe,
    MilanRecipe,
    NetworkDissectionRecipe,
)
from dnd.config.targets import PreprocessSettings, ProbeSettings, TargetSettings
from dnd.io import documents

LETTERS = "letters, digits, '_', '.' and '-'"
LONGEST_NAME = 64
"""The name of a log joins up to three names with numbers, and a file's name has 255 bytes at most."""
SLUG = rf"^[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}$"

WEIGHTS = (".safetensors", ".pt", ".pth", ".tar", ".ckpt", ".bin")
"""Suffixes of a file of weights, as against a name."""


def _method(recipe: Any) -> str:
    """The method of a recipe, ours where it names none."""
    named = recipe.get("method", "dnd") if isinstance(recipe, dict) else getattr(recipe, "method", "dnd")
    return str(named)


AnyRecipe = Annotated[
    Annotated[Recipe, Tag("dnd")]
    | Annotated[ClipDissectRecipe, Tag("clip-dissect")]
    | Annotated[NetworkDissectionRecipe, Tag("network-dissection")]
    | Annotated[CompositionalRecipe, Tag("compositional")]
    | Annotated[InvertRecipe, Tag("invert")]
    | Annotated[MilanRecipe, Tag("milan")]
    | Annotated[LineRecipe, Tag("line")]
    | Annotated[ForeignRecipe, Tag("foreign")],
    Discriminator(_method),
]


class ConfigError(Exception):
    """A mistake in the configuration; the message names the file, the key or row, and what was expected."""


class Config(Settings):
    """config.yaml."""

    run: str = Field(pattern=SLUG, description="name of the results folder")
    sweep: Path = Field(description="table of what to describe; layers.tsv lies beside it")
    models: dict[str, TargetSettings] = Field(min_length=1)
    probes: dict[str, ProbeSettings] = Field(min_length=1)
    recipes: dict[str, AnyRecipe] = Field(min_length=1)
    llm: LlmSettings
    audits: dict[str, AuditSettings] = Field(default_factory=dict)
    importance: ImportanceSettings | None = None
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    shards: ShardSettings = Field(default_factory=ShardSettings)
    store: Path = Field(
        Path("results/store"),
        description="folder of finished captions, answers, images and vectors of images; `$DND_STORE` wins over it",
    )

    @property
    def results(self) -> Path:
        """The folder of the run's results."""
        return Path("results", self.run)


class _Sound(Config):
    """What is sound in a configuration that has mistakes; all that is not has its default or is left out."""

    run: str = "run"
    sweep: Path = Path(os.devnull)
    models: dict[str, TargetSettings] = Field(default_factory=dict)
    probes: dict[str, ProbeSettings] = Field(default_factory=dict)
    recipes: dict[str, AnyRecipe] = Field(default_factory=dict)
    llm: LlmSettings = LlmSettings(model=mistakes.STAND_IN)


def load(values: Mapping[str, Any], file: str | Path = "config/config.yaml") -> Config:
    """Check the values of config.yaml, and that every path they name exists; what lies there is not read.

    Raises
    ------
    ConfigError
        With one line per mistake.
    """
    config, told = examined(values)
    refuse(told, file)
    return config


def refuse(told: Sequence[tuple[str, str]], file: str | Path) -> None:
    """Raise ConfigError with one line per mistake, each a key and a message, if there are any."""
    if told:
        raise ConfigError("\n".join(f"{file}: {key}: {message}" for key, message in told))


def examined(values: Mapping[str, Any]) -> tuple[Config, list[tuple[str, str]]]:
    """Return what is sound in the values of config.yaml, and the key and the message of each mistake.

    Paths that do not exist are among them; no file is read.
    """
    config, found = _sound(values)
    told = {mistakes.spelt(key): message for key, message in found}
    for key, message in (*_paths_mistaken(config), *_references(config, values)):
        told.setdefault(key, message)
    return config, list(told.items())


def names(values: Mapping[str, Any], kind: str) -> list[str]:
    """Return the names of models, probes, recipes or audits in the values of config.yaml, sound or not."""
    section = values.get(kind)
    return sorted(name for name in section if isinstance(name, str)) if isinstance(section, Mapping) else []


def _sound(values: Mapping[str, Any]) -> tuple[Config, list[mistakes.Mistake]]:
    """What is sound in values, and what is not: a mistake is taken out and hides no other."""
    left, found = mistakes.plain(values)
    if found and not left:
        return _Sound(), found
    left = shipped.resolved(left)
    removed = [key for key, _ in found]
    schema: type[Config] = Config
    while True:
        try:
            # as JSON, of whose values neither `true` nor "1600" is a number
            return schema.model_validate_json(json.dumps(left), strict=True), found
        except ValidationError as error:
            if mistakes.read_exponents(error, left):
                continue
            schema = _Sound
            # once something is taken out of a section, that may be all that it lacks
            told = [one for one in mistakes.of(error, left) if not any(key[: len(one[0])] == one[0] for key in removed)]
            places = [key for key, _ in mistakes.of(error, left)]
            found += told
            removed += [*places, *(mistakes.remove(left, key) for key in places)]


def refuse_code(path: str | Path) -> None:
    """Refuse a configuration whose values are Python expressions; one that cannot be read is left to who reads it.

    Raises
    ------
    ConfigError
        It has the key ``__use_yte__``, at which Snakemake runs what stands in the file.
    """
    try:
        values = yaml.load(Path(path).read_bytes(), yaml.FullLoader)  # as Snakemake does, which knows more tags
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return
    if isinstance(values, dict) and "__use_yte__" in values:
        raise ConfigError(
            f"{path}: __use_yte__: expected plain values; Snakemake runs such a file as Python code, and has run it "
            "where --configfile names it"
        )


def config_file(path: str | Path) -> dict[str, Any]:
    """Return the values of a configuration file, unchecked.

    Raises
    ------
    ConfigError
        It cannot be read, or holds no keys and values.
    """
    try:
        values = documents.read_yaml(path)
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values")
    return values


def read_recipe(path: str | Path) -> tuple[Recipe, LlmSettings]:
    """Read the recipe and the language model of a configuration file, whatever else it holds.

    Raises
    ------
    ConfigError
        It has no recipe or several, or one line per mistake in them.
    """
    values = shipped.resolved(config_file(path))
    recipes = values.get("recipes")
    if not isinstance(recipes, dict) or len(recipes) != 1 or "llm" not in values:
        raise ConfigError(f"{path}: expected one recipe below `recipes`, and `llm`")
    try:
        return Recipe.model_validate(next(iter(recipes.values()))), LlmSettings.model_validate(values["llm"])
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(path, error, values))) from None


def read_preprocess(path: Path) -> PreprocessSettings:
    """Read a JSON file of preprocessing.

    Raises
    ------
    ConfigError
        It holds something else.
    """
    try:
        values = documents.read_json(path)
        return PreprocessSettings.model_validate_json(json.dumps(values), strict=True)
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from None
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(path, error, values))) from None


def read_token_order(path: Path) -> list[int]:
    """Read a JSON file of the order of tokens: every whole number from 0 on once.

    Raises
    ------
    ConfigError
        It holds something else.
    """
    try:
        order = documents.read_json(path)
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from None
    if isinstance(order, list) and all(type(token) is int for token in order) and sorted(order) == [*range(len(order))]:
        return order
    raise ConfigError(f"{path}: expected a list of the tokens 0 to n - 1, each once, by position row by row")


def _lines(file: str | Path, error: ValidationError, values: Any) -> list[str]:
    """One line per mistake."""
    return [f"{file}: {mistakes.spelt(key)}: {message}" for key, message in mistakes.of(error, values)]


class _Path(NamedTuple):
    """A path of the configuration that has to exist before a run.

    Attributes
    ----------
    kind : file, folder, or either when empty.
    needs : what wants it so, for people.
    """

    key: str
    path: Path
    kind: str = ""
    needs: str = ""


def _paths_mistaken(config: Config) -> Iterator[tuple[str, str]]:
    for key, asked, kind, needs in _paths(config):
        path = shipped.path(asked)
        if not os.path.exists(path):  # of Path this raises an error where the name is too long
            yield key, f"{path} does not exist"
        elif kind and (not os.path.isdir(path)) != (kind == "file"):
            yield key, f"{path} is no {kind}, as {needs or 'this'} needs"


def _paths(config: Config) -> Iterator[_Path]:
    yield _Path("sweep", config.sweep, "file")
    for name, target in config.models.items():
        yield from _paths_of_target(f"models.{name}", target)
    for name, probe in config.probes.items():
        if probe.path:
            kinds = {"folder": "folder", "huggingface": "folder", "manifest": "file"}
            yield _Path(f"probes.{name}.path", probe.path, kinds.get(probe.source, ""), probe.source)
        if probe.annotations and probe.annotations.path:
            yield _Path(f"probes.{name}.annotations.path", probe.annotations.path, "folder")
        if probe.annotations and probe.annotations.parents:
            yield _Path(f"probes.{name}.annotations.parents", probe.annotations.parents, "file")
    for name, recipe in config.recipes.items():
        for key, path in recipe.files().items():
            yield _Path(f"recipes.{name}.{key}", path, "" if key == "describer" else "file")
    for name, audit in config.audits.items():
        if audit.classes is not None:
            yield _Path(f"audits.{name}.classes", audit.classes, "file")
    if config.evaluation.concepts is not None:
        yield _Path("evaluation.concepts", config.evaluation.concepts, "file")
    for key, part in models(config):
        # a path rather than a hub id (`owner/name`) when it has more than one slash or starts like a path
        if part.model.count("/") > 1 or part.model.startswith((".", "/", "~")):
            yield _Path(f"{key}.model", Path(part.model))


def _paths_of_target(key: str, target: TargetSettings) -> Iterator[_Path]:
    if isinstance(target.preprocess, Path):
        yield _Path(f"{key}.preprocess", target.preprocess, "file")
    if target.basis and target.basis.path:
        yield _Path(f"{key}.basis.path", target.basis.path)
    if target.token_order:
        yield _Path(f"{key}.token_order", target.token_order, "file")
    if target.known_answers:
        yield _Path(f"{key}.known_answers", target.known_answers, "file")
    for layer, path in target.class_names.items():
        yield _Path(f"{key}.class_names.{layer}", path, "file")
    if target.source == "python" and (file := file_of(target.factory)):
        yield _Path(f"{key}.factory", file, "file")
    named = target.factory
    if target.source == "transformers" and (named.count("/") > 1 or named.startswith((".", "/", "~"))):
        yield _Path(f"{key}.factory", Path(named), "folder")
    if target.weights and target.weights.endswith(WEIGHTS):
        yield _Path(f"{key}.weights", Path(target.weights), "file")


def models(config: Config) -> Iterator[tuple[str, Any]]:
    """Yield the key and the section of every model that is no target and that no server of the user's has."""
    sections: list[tuple[str, Any]] = [("llm", config.llm)]
    for name in ("embedder", "generator", "sentences"):
        sections.append((f"evaluation.{name}", getattr(config.evaluation, name)))
    for name, recipe in config.recipes.items():
        sections += [(f"recipes.{name}.{key}", part) for key, part in recipe.models().items()]
    for key, part in sections:
        if part is not None and getattr(part, "base_url", None) is None and not getattr(part, "oracle", False):
            yield key, part


def known_secrets(config: Config) -> list[str]:
    """Return the keys and tokens that a configuration's addresses and this process' environment hold."""
    parts = [config.llm, *(part for recipe in config.recipes.values() for part in recipe.models().values())]
    names = {"HF_TOKEN", *(part.api_key_env for part in parts if hasattr(part, "api_key_env"))}
    held = [os.environ.get(name, "") for name in sorted(names)]
    addresses = dict.fromkeys(part.base_url for part in parts if getattr(part, "base_url", None))
    return [value for value in held if len(value) >= SHORTEST] + [
        secret for address in addresses for secret in secrets_of(address)
    ]


def _references(config: Config, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names that do not fit what they name."""
    results = config.results.resolve()
    if "run" in values and config.store.resolve() == results:
        yield "run", f"{config.run!r} is the folder of the item store; choose another"
    elif "run" in values and results in config.store.resolve().parents:
        yield "store", f"{config.store} lies in the results folder of the run; choose another"
    for name, probe in config.probes.items():
        for member in probe.members:
            other = config.probes.get(member)
            if member not in names(values, "probes") or (other is not None and other.source == "union"):
                yield f"probes.{name}.members", f"{member!r} is no other probe that is no union"
    held_out = config.evaluation.held_out
    if held_out is not None and held_out not in (known := names(values, "probes")):
        yield "evaluation.held_out", f"unknown probe {held_out!r}; there are {known}"
    for kind in ("models", "probes", "recipes", "audits"):
        for name in names(values, kind):
            if not re.fullmatch(SLUG, name):
                yield f"{kind}.{name}", f"a name is {LETTERS}, {LONGEST_NAME} at most"


def file_of(factory: str) -> Path | None:
    """Return the file of a factory `file.py:function`, None for a `package.module:function`."""
    name = factory.rpartition(":")[0]
    return Path(name) if name.endswith(".py") else None

"""The typed configuration, config.yaml, checked before any job starts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationError

from dnd.config import mistakes, shipped
from dnd.config.backends import CaptionSettings, LlmSettings, ShardSettings
from dnd.config.evaluation import AuditSettings, EvaluationSettings, ImportanceSettings, ModelSettings
from dnd.config.recipes import Recipe
from dnd.config.redaction import SHORTEST, secrets_of
from dnd.config.rivals import (
    ClipDissectRecipe,
    CompositionalRecipe,
    ForeignRecipe,
    InvertRecipe,
    LinearExplanationsRecipe,
    LineRecipe,
    MilanRecipe,
    NetworkDissectionRecipe,
)
from dnd.config.sections import File, Settings, is_path
from dnd.config.targets import PreprocessSettings, ProbeSettings, TargetSettings
from dnd.io import documents

LETTERS = "letters, digits, '_', '.' and '-'"
LONGEST_NAME = 64
"""The name of a log joins up to three names with numbers, and a file's name has 255 bytes at most."""
SLUG = rf"^[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_NAME - 1}}}$"


def _name(text: str) -> str:
    if not re.fullmatch(SLUG, text):
        raise ValueError(f"a name is {LETTERS}, {LONGEST_NAME} at most")
    return text


SectionName = Annotated[str, AfterValidator(_name)]


def _method(recipe: object) -> str:
    """The method of a recipe, ours where it names none."""
    named = recipe.get("method", "dnd") if isinstance(recipe, dict) else getattr(recipe, "method", "dnd")
    return str(named)


AnyRecipe = Annotated[
    Annotated[Recipe, Tag("dnd")]
    | Annotated[ClipDissectRecipe, Tag("clip-dissect")]
    | Annotated[LinearExplanationsRecipe, Tag("linear-explanations")]
    | Annotated[NetworkDissectionRecipe, Tag("network-dissection")]
    | Annotated[CompositionalRecipe, Tag("compositional")]
    | Annotated[InvertRecipe, Tag("invert")]
    | Annotated[MilanRecipe, Tag("milan")]
    | Annotated[LineRecipe, Tag("line")]
    | Annotated[ForeignRecipe, Tag("foreign")],
    Discriminator(_method),
]


STAND_IN = "unknown"
"""A text that may pass for the name of a model."""


class ConfigError(Exception):
    """A mistake in the configuration; the message names the file, the key or row, and what was expected."""


class Config(Settings):
    """config.yaml."""

    run: str = Field(pattern=SLUG, description="name of the results folder")
    sweep: File = Field(description="table of what to describe; layers.tsv lies beside it")
    models: dict[SectionName, TargetSettings] = Field(min_length=1)
    probes: dict[SectionName, ProbeSettings] = Field(min_length=1)
    recipes: dict[SectionName, AnyRecipe] = Field(min_length=1)
    llm: LlmSettings
    audits: dict[SectionName, AuditSettings] = Field(default_factory=dict)
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
    models: dict[SectionName, TargetSettings] = Field(default_factory=dict)
    probes: dict[SectionName, ProbeSettings] = Field(default_factory=dict)
    recipes: dict[SectionName, AnyRecipe] = Field(default_factory=dict)
    llm: LlmSettings = LlmSettings(model=STAND_IN)


def load(values: Mapping[str, object], file: str | Path = "config/config.yaml") -> Config:
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


def examined(values: Mapping[str, object]) -> tuple[Config, list[tuple[str, str]]]:
    """Return what is sound in the values of config.yaml, and the key and the message of each mistake.

    What is not sound has its default or is left out. Paths that do not exist are mistakes, too, and leave their
    sections as they are; no file is read.
    """
    plain, wrong = mistakes.plain(values)
    plain = shipped.resolved(plain)
    taken_out = [key for key, _ in wrong]
    if plain or not wrong:
        # what something was taken out of is not blamed for what it lacks now
        for key, message in _mistakes(plain):
            if not any(place[: len(key)] == key for place in taken_out):
                wrong.append((key, message))
    config = _sound(plain)
    told = {mistakes.spelt(key): message for key, message in wrong}
    for place, message in (*_missing_models(config), *_references(config, values)):
        told.setdefault(place, message)
    return config, list(told.items())


def _mistakes(values: Mapping[str, object]) -> list[mistakes.Mistake]:
    """What pydantic finds, of paths that do not exist as well."""
    try:
        # as JSON, of whose values neither `true` nor "1600" is a number
        Config.model_validate_json(json.dumps(values), strict=True, context={"paths": True})
    except ValidationError as error:
        return mistakes.of(error, values)
    return []


def _sound(values: dict[str, object]) -> Config:
    """What is sound in values, of which the rest is taken out."""
    schema: type[Config] = Config
    while True:
        try:
            return schema.model_validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            schema = _Sound
            for key, _ in mistakes.of(error, values):
                _remove(values, key)


def _remove(values: dict[str, object], key: mistakes.Key) -> None:
    """Take what a mistake is about out of values.

    A list goes as a whole. What is lacking gets a stand-in; where that will not do, the section that lacks it goes.
    """
    sections = [values]
    for part in key[:-1]:
        inner = sections[-1].get(str(part))
        if not isinstance(inner, dict):
            break
        sections.append(inner)
    name = str(key[len(sections) - 1])
    if len(sections) > 1 and name not in sections[-1]:
        sections[-1][name] = STAND_IN
    elif len(sections) > 1 and sections[-1][name] == STAND_IN:
        del sections[-2][str(key[len(sections) - 2])]
    else:
        sections[-1].pop(name, None)


def names(values: Mapping[str, object], kind: str) -> list[str]:
    """Return the names of models, probes, recipes or audits in the values of config.yaml, sound or not."""
    section = values.get(kind)
    return sorted(name for name in section if isinstance(name, str)) if isinstance(section, Mapping) else []


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


def config_file(path: str | Path) -> dict[str, object]:
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


def _lines(file: str | Path, error: ValidationError, values: object) -> list[str]:
    """One line per mistake."""
    return [f"{file}: {mistakes.spelt(key)}: {message}" for key, message in mistakes.of(error, values)]


def _missing_models(config: Config) -> Iterator[tuple[str, str]]:
    for key, section in models(config):
        if is_path(section.model) and not os.path.exists(section.model):
            yield f"{key}.model", f"{Path(section.model)} does not exist"


def models(config: Config) -> Iterator[tuple[str, ModelSettings]]:
    """Yield the key and the section of every model that is no target and that no server of the user's has."""
    sections: list[tuple[str, ModelSettings | None]] = [("llm", config.llm)]
    for name in ("embedder", "generator", "sentences"):
        sections.append((f"evaluation.{name}", getattr(config.evaluation, name)))
    for name, recipe in config.recipes.items():
        sections += [(f"recipes.{name}.{key}", part) for key, part in recipe.models().items()]
    for key, part in sections:
        if part is not None and getattr(part, "base_url", None) is None and not getattr(part, "oracle", False):
            yield key, part


def known_secrets(config: Config) -> list[str]:
    """Return the keys and tokens that a configuration's addresses and this process' environment hold."""
    sections = [config.llm, *(section for recipe in config.recipes.values() for section in recipe.models().values())]
    served = [section for section in sections if isinstance(section, CaptionSettings | LlmSettings)]
    held = [os.environ.get(name, "") for name in sorted({"HF_TOKEN", *(section.api_key_env for section in served)})]
    addresses = dict.fromkeys(section.base_url for section in served if section.base_url)
    return [value for value in held if len(value) >= SHORTEST] + [
        secret for address in addresses for secret in secrets_of(address)
    ]


def _references(config: Config, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
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

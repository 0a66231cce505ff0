"""The typed configuration, config.yaml, checked before any job starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError

from dnd import shipped
from dnd.judging import AuditSettings, EvaluationSettings, ImportanceSettings
from dnd.methods import (
    ClipDissectRecipe,
    CompositionalRecipe,
    ForeignRecipe,
    InvertRecipe,
    LineRecipe,
    MilanRecipe,
    NetworkDissectionRecipe,
)
from dnd.recipes import Recipe
from dnd.redaction import without_secrets
from dnd.settings import LlmSettings, Settings, ShardSettings
from dnd.subjects import PreprocessSettings, ProbeSettings, TargetSettings

SLUG = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


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


def load(values: Mapping[str, Any], file: str | Path = "config/config.yaml") -> Config:
    """Check the values of config.yaml, and that every path they name exists.

    Raises
    ------
    ConfigError
        With one line per mistake.
    """
    try:
        config = Config.model_validate(shipped.resolved(values))
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(file, error))) from None
    missing = [f"{file}: {key}: {path} does not exist" for key, path in _paths(config) if not path.exists()]
    if missing:
        raise ConfigError("\n".join(missing))
    for target in config.models.values():
        if isinstance(target.preprocess, Path):
            read_preprocess(target.preprocess)
    for name, recipe in config.recipes.items():
        if isinstance(recipe, Recipe) and recipe.scores.verdict is not None:
            _check_verdict(f"{file}: recipes.{name}.scores.verdict", recipe.scores.verdict)
    if Path("results", config.run) == config.store:
        raise ConfigError(f"{file}: run: {config.run!r} is the folder of the item store; choose another")
    for name, probe in config.probes.items():
        if probe.path and probe.source in ("folder", "huggingface", "manifest"):
            kind = "file" if probe.source == "manifest" else "folder"
            if probe.path.is_file() != (kind == "file"):
                raise ConfigError(f"{file}: probes.{name}.path: {probe.path} is no {kind}, as {probe.source} needs")
        for member in probe.members:
            if member not in config.probes or config.probes[member].source == "union":
                raise ConfigError(f"{file}: probes.{name}.members: {member!r} is no other probe that is no union")
    for name, audit in config.audits.items():
        if audit.classes is not None and not audit.classes.exists():
            raise ConfigError(f"{file}: audits.{name}.classes: {audit.classes} does not exist")
    held_out = config.evaluation.held_out
    if held_out is not None and held_out not in config.probes:
        raise ConfigError(f"{file}: evaluation.held_out: unknown probe {held_out!r}; there are {sorted(config.probes)}")
    for kind in ("models", "probes", "recipes", "audits"):
        for name in getattr(config, kind):
            if not re.fullmatch(SLUG, name):
                raise ConfigError(f"{file}: {kind}.{name}: a name is letters, digits, '_', '.' and '-'")
    return config


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


def read_recipe(path: str | Path) -> tuple[Recipe, LlmSettings]:
    """Read the recipe and the language model of a configuration file, whatever else it holds.

    Raises
    ------
    ConfigError
        It has no recipe or several, or one line per mistake in them.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    values = shipped.resolved(values)
    recipes = values.get("recipes") if isinstance(values, dict) else None
    if not isinstance(recipes, dict) or len(recipes) != 1 or "llm" not in values:
        raise ConfigError(f"{path}: expected one recipe below `recipes`, and `llm`")
    try:
        return Recipe.model_validate(next(iter(recipes.values()))), LlmSettings.model_validate(values["llm"])
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(path, error))) from None


def read_preprocess(path: Path) -> PreprocessSettings:
    """Read a JSON file of preprocessing.

    Raises
    ------
    ConfigError
        It holds something else.
    """
    try:
        return PreprocessSettings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(path, error))) from None


def _check_verdict(key: str, path: Path) -> None:
    from dnd import verdict  # here: the libraries of numbers take longer to load than all else that reads settings

    try:
        verdict.load(path)
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def mistakes(error: ValidationError) -> list[tuple[str, str]]:
    """Return the key and the message of each mistake."""
    return [(_key(one["loc"]), _message(one)) for one in error.errors()]


def _lines(file: str | Path, error: ValidationError) -> list[str]:
    """One line per mistake."""
    return [f"{file}: {key}: {message}" for key, message in mistakes(error)]


def _key(place: tuple[int | str, ...]) -> str:
    """The key of a mistake; what pydantic tells of a recipe's method is no key."""
    if len(place) > 2 and place[0] == "recipes":
        place = (*place[:2], *place[3:])
    return ".".join(map(str, place)) or "top level"


def _message(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            return f"method {error['ctx']['tag']!r} is none of {error['ctx']['expected_tags']}"
    return f"{error['msg']}, not {without_secrets(error['input'])!r}"


def _paths(config: Config) -> list[tuple[str, Path]]:
    """Every path of the configuration that has to exist before a run."""
    found: list[tuple[str, Path | None]] = [("sweep", config.sweep)]
    for name, target in config.models.items():
        found += [
            (f"models.{name}.preprocess", target.preprocess if isinstance(target.preprocess, Path) else None),
            (f"models.{name}.basis.path", target.basis.path if target.basis else None),
            (f"models.{name}.known_answers", target.known_answers),
            *((f"models.{name}.class_names.{layer}", path) for layer, path in target.class_names.items()),
        ]
    found += [(f"probes.{name}.path", probe.path) for name, probe in config.probes.items() if probe.path]
    models = [("llm.model", config.llm.model)] if config.llm.base_url is None else []
    found.append(("evaluation.concepts", config.evaluation.concepts))
    for part in ("embedder", "generator", "sentences"):
        if (chosen := getattr(config.evaluation, part)) is not None:
            models.append((f"evaluation.{part}.model", chosen.model))
    for name, target in config.models.items():
        if target.source == "transformers":
            models.append((f"models.{name}.factory", target.factory))
        if target.source == "python" and file_of(target.factory):
            found.append((f"models.{name}.factory", file_of(target.factory)))
        if target.weights and target.weights.endswith(WEIGHTS):
            found.append((f"models.{name}.weights", Path(target.weights)))
    for name, recipe in config.recipes.items():
        found += [(f"recipes.{name}.{key}", path) for key, path in recipe.files().items()]
        models += [
            (f"recipes.{name}.{key}.model", part.model)
            for key, part in recipe.models().items()
            if getattr(part, "base_url", None) is None
        ]
    # a path rather than a hub id (`owner/name`) when it has more than one slash or starts like a path
    found += [(key, Path(model)) for key, model in models if model.count("/") > 1 or model.startswith((".", "/", "~"))]
    return [(key, Path(path)) for key, path in found if path is not None]


def file_of(factory: str) -> Path | None:
    """Return the file of a factory `file.py:function`, None for a `package.module:function`."""
    name = factory.rpartition(":")[0]
    return Path(name) if name.endswith(".py") else None

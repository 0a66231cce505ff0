"""The typed configuration: config.yaml, sweep.tsv and layers.tsv, checked before any job starts."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

SLUG = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
OWN_FOLDERS = {"activations", "benchmarks", "concepts", "images", "logs", "modules", "probe", "report"}
"""What a run's results folder holds besides one folder per sweep name."""
MOST_UNITS = 10_000_000


class ConfigError(Exception):
    """A mistake in the configuration; the message names the file, the key or row, and what was expected."""


class UnknownLayer(ConfigError):
    """The sweep names a layer that layers.tsv lacks: a mistake, or the inventory has yet to be taken."""


class Settings(BaseModel):
    """Base of every section: unknown keys are errors and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetSettings(Settings):
    """A network whose units are described."""

    source: Literal["python", "torchvision"] = Field(description="where the network comes from")
    factory: str = Field(description="`package.module:function` (python) or the model's name (torchvision)")
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    weights: str | None = Field(None, description="torchvision weights enum, or a local state dict (safetensors, .pt)")
    preprocess: Path | None = Field(
        None, description="JSON with `resize`, `crop`, `mean`, `std`; torchvision weights bring their own"
    )
    known_answers: Path | None = Field(None, description="JSON of each unit's true concept, for evaluation")


class ProbeSettings(Settings):
    """The images whose activations are looked at."""

    source: Literal["folder", "shapeworld"] = Field(description="a folder of images, or renders written to disk first")
    path: Path | None = Field(None, description="folder: where the images are, at any depth")
    images: int = Field(1600, ge=1, description="shapeworld: how many images to render")
    seed: int = Field(4, ge=0, description="shapeworld: stream of renders; 4 is kept for demonstrations")
    shards: int = Field(2, ge=1, description="into how many files and jobs the images are split")

    @model_validator(mode="after")
    def _path_fits_source(self) -> ProbeSettings:
        if self.source == "folder" and self.path is None:
            raise ValueError("source folder needs `path`")
        return self


class ExemplarSettings(Settings):
    """Attention crops and the ranking of a unit's most activating images (paper section 3, step 1)."""

    images: int = Field(10, ge=1, description="images that are looked at")
    reach: float = Field(
        0.65,
        gt=0,
        le=1,
        description="they are spread over those that reach this share of the best activation; 1: the very best",
    )
    pool: int = Field(200, ge=1, description="over so many of them at most")
    keep: int = Field(10, ge=1, description="exemplars kept")
    views_per_image: int = Field(1, ge=1, description="of an image and its crops, so many may be kept")
    crops_per_image: int = Field(4, ge=0, description="at most so many attention crops of one image")
    max_overlap: float = Field(0.5, ge=0, le=1, description="largest IoU of two crops of one image")
    max_frame: float = Field(0.8, gt=0, le=1, description="largest IoU of a crop with the whole image")
    min_side: float = Field(0.2, ge=0, le=1, description="smallest side of a crop, as a share of the image's side")


class CaptionSettings(Settings):
    """The image captioner."""

    model: str = Field(description="folder or hub id of an image-to-text model")
    revision: str | None = Field(None, description="hub revision")
    max_new_tokens: int = Field(32, ge=1, description="longest caption")
    min_length: int = Field(5, ge=0, description="shortest caption in tokens")


class ConceptSettings(Settings):
    """Candidate concepts from captions."""

    samples: int = Field(5, ge=1, description="answers asked for, each from its own order of the captions")
    temperature: float = Field(0.3, ge=0, description="sampling temperature")
    max_words: int = Field(5, ge=1, description="longest concept; longer answers are recorded and skipped")
    max_tokens: int = Field(24, ge=1, description="longest answer")
    prompt: Path = Field(Path("config/prompts/concept.yaml"), description="chat template")


class GeneratorSettings(Settings):
    """The text-to-image model that draws candidate concepts."""

    model: str = Field(description="folder or hub id of a Stable Diffusion pipeline")
    revision: str | None = Field(None, description="hub revision")
    images: int = Field(10, ge=5, description="images per concept")
    steps: int = Field(20, ge=1, description="sampling steps")
    guidance: float = Field(7.5, ge=0, description="classifier-free guidance scale")
    prompt: str = Field("One realistic image of {concept}", description="template; must hold {concept}")
    size: int | None = Field(None, ge=8, description="side in pixels; the model's own when empty")

    @field_validator("prompt")
    @classmethod
    def _prompt_names_the_concept(cls, value: str) -> str:
        if value.count("{concept}") != 1 or re.sub(r"\{concept\}", "", value).count("{"):
            raise ValueError("must hold {concept} once and no other braces")
        return value


class EmbedderSettings(Settings):
    """The image embedder (CLIP)."""

    model: str = Field(description="folder or hub id of a CLIP model")
    revision: str | None = Field(None, description="hub revision")


class ScoreSettings(Settings):
    """How the components are combined: score = sum of weight x component."""

    auc: float = Field(1.0, description="weight of P(generated image excites the unit more than a control image)")
    rank: float = Field(0.0, description="weight of 1 - mean squared rank of the best five / its largest value")
    image_similarity: float = Field(1.0, description="weight of the CLIP similarity with the exemplars")
    votes: float = Field(1.0, description="weight of the share of the LLM's answers")


class Recipe(Settings):
    """One way to describe units, from pooling to the final score."""

    pooling: Literal["mean", "max"] = Field("mean", description="activation map to one number")
    controls: int = Field(256, ge=2, description="random probe images that generated images are compared with")
    exemplars: ExemplarSettings = Field(default_factory=ExemplarSettings)
    captions: CaptionSettings
    concepts: ConceptSettings = Field(default_factory=ConceptSettings)
    generator: GeneratorSettings
    embedder: EmbedderSettings
    scores: ScoreSettings = Field(default_factory=ScoreSettings)


class LlmSettings(Settings):
    """The language model server."""

    model: str = Field(description="folder or hub id; with `base_url`, the name the server knows it by")
    revision: str | None = Field(None, description="hub revision")
    base_url: str | None = Field(None, description="an external OpenAI-compatible server instead of our own vLLM")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the external server's key")
    python: str | None = Field(
        None, description="interpreter that has vLLM; when empty `$DND_VLLM_PYTHON`, else `.venv-vllm/bin/python`"
    )
    concurrency: int = Field(32, ge=1, description="requests in flight")
    startup_seconds: int = Field(600, ge=1, description="deadline for the server's start")
    max_model_len: int = Field(1024, ge=64, description="longest prompt and answer together, in tokens")
    server_arguments: list[str] = Field(default_factory=list, description="further arguments of the vLLM server")


class ShardSettings(Settings):
    """How work is split into jobs. Nothing here changes a result."""

    units: int = Field(1024, ge=1, description="units per exemplar, caption and score job")
    llm_units: int = Field(10_000, ge=1, description="units per LLM job, across the layers of a model")
    images: int = Field(2, ge=1, le=999, description="image generation jobs per bundle")


class Config(Settings):
    """config.yaml."""

    run: str = Field(pattern=SLUG, description="name of the results folder")
    sweep: Path = Field(description="table of what to describe; layers.tsv lies beside it")
    models: dict[str, TargetSettings] = Field(min_length=1)
    probes: dict[str, ProbeSettings] = Field(min_length=1)
    recipes: dict[str, Recipe] = Field(min_length=1)
    llm: LlmSettings
    shards: ShardSettings = Field(default_factory=ShardSettings)
    store: Path = Field(
        Path("results/store"), description="folder of finished captions, answers and images; `$DND_STORE` wins over it"
    )


@dataclass(frozen=True)
class Layer:
    """One layer to describe: a sweep row and one of its layers."""

    name: str
    model: str
    layer: str
    slug: str
    probe: str
    recipe: str
    units: Sequence[int]


@dataclass(frozen=True)
class SweepRow:
    """A row of sweep.tsv; ``where`` is its file and line, ``units`` None when all are wanted."""

    where: str
    name: str
    model: str
    layers: tuple[str, ...]
    probe: str
    recipe: str
    units: tuple[int, ...] | None


SWEEP_COLUMNS = ["name", "model", "layers", "probe", "recipe", "units"]
LAYER_COLUMNS = ["model", "layer", "slug", "units"]


def load(values: Mapping[str, Any], file: str | Path = "config/config.yaml") -> Config:
    """Check the values of config.yaml, and that every path they name exists.

    Raises
    ------
    ConfigError
        With one line per mistake.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{file}: {'.'.join(str(part) for part in one['loc']) or 'top level'}: {_message(one)}"
            for one in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from None
    missing = [f"{file}: {key}: {path} does not exist" for key, path in _paths(config) if not path.exists()]
    if missing:
        raise ConfigError("\n".join(missing))
    if Path("results", config.run) == config.store:
        raise ConfigError(f"{file}: run: {config.run!r} is the folder of the item store; choose another")
    for kind in ("models", "probes", "recipes"):
        for name in getattr(config, kind):
            if not re.fullmatch(SLUG, name):
                raise ConfigError(f"{file}: {kind}.{name}: a name is letters, digits, '_', '.' and '-'")
    return config


def _message(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "is missing"
    return f"{error['msg']}, not {error['input']!r}"


def _paths(config: Config) -> list[tuple[str, Path]]:
    """Every path of the configuration that has to exist before a run."""
    found: list[tuple[str, Path | None]] = [("sweep", config.sweep)]
    for name, target in config.models.items():
        found += [
            (f"models.{name}.preprocess", target.preprocess),
            (f"models.{name}.known_answers", target.known_answers),
        ]
    found += [(f"probes.{name}.path", probe.path) for name, probe in config.probes.items() if probe.path]
    models = [("llm.model", config.llm.model)] if config.llm.base_url is None else []
    for name, recipe in config.recipes.items():
        found.append((f"recipes.{name}.concepts.prompt", recipe.concepts.prompt))
        for part in ("captions", "generator", "embedder"):
            models.append((f"recipes.{name}.{part}.model", getattr(recipe, part).model))
    # a path rather than a hub id (`owner/name`) when it has more than one slash or starts like a path
    found += [(key, Path(model)) for key, model in models if model.count("/") > 1 or model.startswith((".", "/", "~"))]
    return [(key, Path(path)) for key, path in found if path is not None]


def units(text: str) -> tuple[int, ...]:
    """Parse ``0-99,512`` to sorted unit numbers.

    Raises
    ------
    ValueError
        Something else than numbers and ranges, or a number twice.
    """
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise ValueError(f"{part!r} is neither a unit nor a range such as 0-99")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"range {part!r} runs backwards")
        if last >= MOST_UNITS:
            raise ValueError(f"{part!r} is beyond any layer")
        numbers += range(first, last + 1)
    if len(set(numbers)) != len(numbers):
        raise ValueError("a unit is listed twice")
    return tuple(sorted(numbers))


def spell(numbers: Sequence[int]) -> str:
    """Return sorted unit numbers as :func:`units` reads them: ``0-99,512``."""
    parts, first = [], 0
    for i, number in enumerate(numbers):
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            parts.append(f"{numbers[first]}-{number}" if number > numbers[first] else str(number))
            first = i + 1
    return ",".join(parts)


def inventory(config: Config) -> Path:
    """Return where the table of known layers is: beside the sweep."""
    return config.sweep.parent / "layers.tsv"


def rows(path: Path, columns: list[str]) -> list[tuple[str, dict[str, str]]]:
    """Return the rows of a table, each with its file and line.

    Raises
    ------
    ConfigError
        Other columns, or a row with more or fewer of them.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t")
        if reader.fieldnames != columns:
            raise ConfigError(f"{path}: the columns are {reader.fieldnames}, expected {columns}, separated by tabs")
        found = [(f"{path} line {reader.line_num}", row) for row in reader if any(row.values())]
    for where, row in found:
        if None in row or None in row.values():
            raise ConfigError(f"{where}: expected {len(columns)} columns, separated by tabs")
    return found


def sweep(config: Config) -> list[SweepRow]:
    """Return the rows of sweep.tsv.

    Raises
    ------
    ConfigError
        A row names something unknown, or there is none.
    """
    found = [_sweep_row(config, where, row) for where, row in rows(config.sweep, SWEEP_COLUMNS)]
    if not found:
        raise ConfigError(f"{config.sweep}: no rows")
    return found


def _sweep_row(config: Config, where: str, row: dict[str, str]) -> SweepRow:
    if not re.fullmatch(SLUG, row["name"]):
        raise ConfigError(f"{where}: name {row['name']!r} must be letters, digits, '_', '.' and '-'")
    if row["name"] in OWN_FOLDERS:
        raise ConfigError(f"{where}: name {row['name']!r} is the name of another results folder; choose another")
    for column, section in (("model", config.models), ("probe", config.probes), ("recipe", config.recipes)):
        if row[column] not in section:
            raise ConfigError(f"{where}: unknown {column} {row[column]!r}; config.yaml has {sorted(section)}")
    try:
        wanted = units(row["units"]) if row["units"] else None
    except ValueError as error:
        raise ConfigError(f"{where}: units: {error}") from None
    names = tuple(row["layers"].replace(" ", "").split(","))
    return SweepRow(where, row["name"], row["model"], names, row["probe"], row["recipe"], wanted)


def layers(config: Config) -> list[Layer]:
    """Return every layer of the sweep, in the order of the table.

    Raises
    ------
    UnknownLayer
        layers.tsv does not hold a layer that the sweep names.
    ConfigError
        A layer is listed twice, or a row asks for units that its layer does not have.
    """
    known = known_layers(config)
    found: dict[tuple[str, str], Layer] = {}
    for row in sweep(config):
        for name in row.layers:
            layer = _layer(row, name, known, inventory(config))
            if (layer.name, layer.slug) in found:
                raise ConfigError(f"{row.where}: name {layer.name!r} with layer {layer.slug!r} is listed twice")
            found[layer.name, layer.slug] = layer
    return list(found.values())


def known_layers(config: Config) -> dict[tuple[str, str], tuple[str, int]]:
    """Return (model, layer) -> slug and number of units; nothing while there is no layers.tsv.

    Raises
    ------
    ConfigError
        A row is malformed, or a layer is listed twice.
    """
    known: dict[tuple[str, str], tuple[str, int]] = {}
    table = inventory(config)
    for where, row in rows(table, LAYER_COLUMNS) if table.exists() else []:
        if not re.fullmatch(SLUG, row["slug"]):
            raise ConfigError(f"{where}: slug {row['slug']!r} must be letters, digits, '_', '.' and '-'")
        if not row["units"].isdigit() or not int(row["units"]):
            raise ConfigError(f"{where}: units is {row['units']!r}, expected a number above zero")
        if (row["model"], row["layer"]) in known:
            raise ConfigError(f"{where}: model {row['model']!r}, layer {row['layer']!r} is listed twice")
        known[row["model"], row["layer"]] = row["slug"], int(row["units"])
    return known


def _layer(row: SweepRow, name: str, known: Mapping[tuple[str, str], tuple[str, int]], table: Path) -> Layer:
    if (row.model, name) not in known:
        have = sorted(layer for model, layer in known if model == row.model)
        raise UnknownLayer(
            f"{row.where}: unknown layer {name!r} of model {row.model!r}; {table} has {have}. "
            "`snakemake inventory` adds the layers that the model has"
        )
    slug, count = known[row.model, name]
    if row.units and row.units[-1] >= count:
        raise ConfigError(f"{row.where}: unit {row.units[-1]} of layer {name!r}, which has {count}")
    return Layer(row.name, row.model, name, slug, row.probe, row.recipe, row.units or range(count))

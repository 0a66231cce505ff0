"""The typed configuration, config.yaml, checked before any job starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

SLUG = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class ConfigError(Exception):
    """A mistake in the configuration; the message names the file, the key or row, and what was expected."""


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

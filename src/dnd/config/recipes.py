"""What every recipe says, and the recipe of Describe-and-Dissect; those of rivals are in `dnd.config.rivals`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from dnd.config.backends import COMPUTE, CaptionSettings, EmbedderSettings, GeneratorSettings
from dnd.config.evaluation import ModelSettings
from dnd.config.sections import Settings
from dnd.config.stages import ConceptSettings, ExemplarSettings, ScoreSettings


class Method(Settings):
    """What every recipe says: how activations are read, and what is kept of them."""

    pooling: Literal["mean", "max", "cls"] = Field(
        "mean", description="activation map to one number; `cls`: that of a transformer's class token"
    )
    sign: Literal["positive", "negative"] = Field(
        "positive", description="`negative` describes what drives units below zero: activations change their sign"
    )
    controls: int = Field(
        10_000,
        ge=2,
        description="random probe images whose activations are kept, to choose and to judge labels by; or all of them",
    )

    def models(self) -> dict[str, ModelSettings]:
        """Return key -> section of every model that the recipe names."""
        return {key: part for key, part in _parts(self, "") if isinstance(part, ModelSettings)}

    def plain(self, part: str) -> JsonValue:
        """Return a part as plain values, without what changes no result."""
        value = getattr(self, part)
        return value.model_dump(mode="json", exclude=set(COMPUTE)) if isinstance(value, Settings) else value

    @property
    def oracles(self) -> tuple[str, ...]:
        """Keys of the parts that the truth stands in for: such a recipe is a yardstick and no method."""
        return tuple(name for name in type(self).model_fields if getattr(getattr(self, name), "oracle", False))

    def files(self) -> dict[str, Path]:
        """Return key -> path of every file or folder of the user's that the recipe names, models apart."""
        return {key: part for key, part in _parts(self, "") if isinstance(part, Path)}

    def changed(self) -> dict[str, JsonValue]:
        """Return key -> value, as JSON can hold it, of every setting that is not the default and may change results."""
        return dict(_flat(self.model_dump(mode="json", exclude_defaults=True), ""))


def _parts(section: Settings, prefix: str) -> Iterator[tuple[str, object]]:
    """Key and value of every setting, of those inside sections and lists as well."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        yield prefix + name, value
        if isinstance(value, Settings):
            yield from _parts(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield from ((f"{prefix}{name}.{i}", item) for i, item in enumerate(value))


def _flat(section: dict[str, JsonValue], prefix: str) -> Iterator[tuple[str, JsonValue]]:
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif name not in COMPUTE:
            yield prefix + name, value


class Recipe(Method):
    """Describe-and-Dissect, from pooling to the final score."""

    method: Literal["dnd"] = Field("dnd", description="Describe-and-Dissect; other methods and their keys follow below")
    exemplars: ExemplarSettings = Field(default_factory=ExemplarSettings)
    captions: CaptionSettings
    concepts: ConceptSettings = Field(default_factory=ConceptSettings)
    generator: GeneratorSettings | None = Field(
        None, description="draws the candidates; when empty, the answers alone decide between them"
    )
    embedder: EmbedderSettings | None = Field(None, description="needed with a generator")
    scores: ScoreSettings = Field(default_factory=ScoreSettings)
    later_pooling: Literal["mean", "max", "cls"] | None = Field(
        None, description="pooling for crops and generated images (released: `mean` always); as `pooling` when empty"
    )

    @property
    def pooling_of_views(self) -> Literal["mean", "max", "cls"]:
        """How activations of exemplars and of generated images are read."""
        return self.later_pooling or self.pooling

    @property
    def fits_scales(self) -> bool:
        """Whether pictures of its candidates tell when its embedder takes an image for one that shows a text."""
        scaled = self.embedder is not None and self.embedder.scale is None
        return scaled and self.generator is not None and self.scores.reads_probe

    @property
    def square(self) -> int | None:
        """Side of the square that exemplars are stretched to; None where they keep their proportions."""
        return self.exemplars.square

    @property
    def kept(self) -> int:
        """How many of a unit's most activating images are kept: of about half of them exemplars may be."""
        wanted = max(self.exemplars.images, self.exemplars.pool)
        return 2 * wanted if self.exemplars.halved else wanted

    def problems(self) -> Iterator[str]:
        if self.generator is not None and self.embedder is None:
            yield "a `generator` needs an `embedder`, which compares its images with the exemplars"
        if self.scores.verdict is not None and self.generator is None:
            yield "`scores.verdict` needs a `generator`, whose images it weighs"
        if self.concepts.reads_vectors and self.embedder is None:
            yield "`concepts.clusters` needs an `embedder`, which tells what resembles what"

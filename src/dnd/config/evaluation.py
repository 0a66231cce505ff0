"""What the configuration says about judging descriptions and units: metrics, audits, importance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from dnd.config.backends import PRECISION, CaptionSettings, EmbedderSettings, GeneratorSettings, LlmSettings
from dnd.config.sections import File, Name, Precision, Settings


class SentenceSettings(Settings):
    """A text encoder whose token vectors are averaged (sentence-transformers/all-mpnet-base-v2 ...)."""

    model: Name = Field(description="folder or hub id of a text encoder")
    revision: str | None = Field(None, description="hub revision")
    dtype: Precision = Field("float32", description=f"precision; {PRECISION}")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")


ModelSettings = CaptionSettings | EmbedderSettings | GeneratorSettings | LlmSettings | SentenceSettings
"""A section that names a foundation model."""


class AuditSettings(Settings):
    """What the network loses when some of its units are silenced (MILAN, Hernandez et al., ICLR 2022, section 5)."""

    row: str = Field(description="name of a row of the sweep")
    layer: str = Field(description="one of the row's layers")
    query: str | None = Field(
        None, description="units whose label has all of these words, in any case; `|` between alternatives"
    )
    units: str | None = Field(None, description="units by number, such as `0-9,31`, in place of `query`")
    probe: str | None = Field(None, description="labelled images that the network classifies; the row's when empty")
    truth: Literal["label", "predicted"] = Field(
        "label", description="class of an image: its label, or what the whole network takes it for"
    )
    classes: File | None = Field(
        None,
        description="text file of the network's classes in the order of its outputs, one per line; when empty they are "
        "those that the network knows itself, or else the probe's labels in order",
    )
    controls: int = Field(3, ge=0, description="sets of as many other units that are silenced for comparison")

    def problems(self) -> Iterator[str]:
        if (self.query is None) == (self.units is None):
            yield "needs either `query` or `units`"
        if self.query is not None and not any(re.search(r"[^\W_]", part) for part in self.query.split("|")):
            yield "`query` has no words"


class ImportanceSettings(Settings):
    """How much units add to the network's answers, by integrated gradients (Sundararajan et al., ICML 2017)."""

    images: int = Field(64, ge=1, description="random probe images that are looked at")
    steps: int = Field(20, ge=2, description="points between a silent layer and the real one")


class EvaluationSettings(Settings):
    """How good descriptions are, beyond known answers. What is left empty is not measured."""

    held_out: str | None = Field(
        None, description="probe of images that no recipe sees, whose activations the labels are to predict"
    )
    embedder: EmbedderSettings | None = Field(
        None,
        description="model of images and texts, best another than that of the recipes; without a `scale` it is taken "
        "for SigLIP so400m: 58 and -7.54",
    )
    pooling: Literal["mean", "max", "cls"] = Field("mean", description="activation map to one number, for all methods")
    generator: GeneratorSettings | None = Field(
        None, description="draws the labels anew; another than the one that chose them"
    )
    renderer: Literal["shapeworld"] | None = Field(None, description="draws labels of the embedded world exactly")
    images: int = Field(50, ge=2, description="renders of a label; with a generator it is `generator.images`")
    sentences: SentenceSettings | None = Field(
        None,
        description="text encoder that compares labels with class names, known answers and each other",
    )
    concepts: File | None = Field(None, description="text file of concepts for a baseline that labels at random")

    def problems(self) -> Iterator[str]:
        if self.generator is not None and self.renderer is not None:
            yield "labels are drawn by either a `generator` or the `renderer`"
        if self.held_out is not None and self.embedder is None:
            yield "`held_out` needs an `embedder`"

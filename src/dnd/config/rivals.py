"""Recipes other than Describe-and-Dissect's own: rival methods, and labels that another tool gave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from dnd.config.backends import EmbedderSettings, GeneratorSettings, LlmSettings
from dnd.config.recipes import Method
from dnd.config.sections import ConceptTemplate, File, FileOrFolder, Number


class RivalRecipe(Method):
    """What all of them say."""

    kept: int = Field(200, ge=1, description="most activating images that are kept of each unit")
    shown: int = Field(10, ge=1, description="of these, the best so many are listed as exemplars")
    embedder: EmbedderSettings | None = Field(
        None, description="with its `scale` and `bias`, tells how much of each unit its label explains (`explains`)"
    )


class ClipDissectRecipe(RivalRecipe):
    """CLIP-Dissect (Oikarinen & Weng, ICLR 2023): the word whose CLIP scores resemble the unit's activations."""

    method: Literal["clip-dissect"]
    concepts: File = Field(description="text file of concepts, one per line")
    embedder: EmbedderSettings
    prompt: ConceptTemplate = Field(
        "{concept}", description="text that the embedder sees for a concept; must hold {concept}"
    )
    similarity: Literal["cosine", "cosine-cubed", "rank-reorder", "wpmi", "soft-wpmi"] = Field(
        "soft-wpmi", description="how a concept's scores are compared with the unit's activations"
    )
    top: int = Field(100, ge=1, description="images that count: 28 in the released WPMI, 100 in its soft-WPMI")
    scale: Number = Field(10.0, gt=0, description="multiplier of CLIP's cosines before the softmax over concepts")
    penalty: Number = Field(1.0, ge=0, description="weight of a concept's log mean over the units: 0.6 in WPMI")
    inclusion: tuple[Number, Number] = Field(
        (0.998, 0.97), description="soft-wpmi: probability that the first and the last image counts"
    )

    @field_validator("inclusion")
    @classmethod
    def _chances(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[1] <= value[0] <= 1:
            raise ValueError("must be two probabilities, the second no larger than the first")
        return value


class DissectionSettings(RivalRecipe):
    """What methods share that look at pixel masks."""

    quantile: Annotated[Number, Field(gt=0, lt=1)] | Literal["otsu"] = Field(
        0.005,
        description="share of positions at which a unit counts as active; `otsu`: of each unit its own, where Otsu's "
        "method parts strong activations from weak ones",
    )
    minimum: Number = Field(0.04, ge=0, le=1, description="smallest IoU of a label; below it the unit stays unlabelled")


class NetworkDissectionRecipe(DissectionSettings):
    """Network Dissection (Bau et al., CVPR 2017): the annotated concept whose pixels overlap the unit's best."""

    method: Literal["network-dissection"]


class CompositionalRecipe(DissectionSettings):
    """Compositional Explanations (Mu & Andreas, NeurIPS 2020): the formula of annotated concepts that overlaps best."""

    method: Literal["compositional"]
    length: int = Field(3, ge=1, description="concepts in a formula at most")
    beam: int = Field(5, ge=1, description="formulas kept at each length")
    discount: Number = Field(1.0, gt=0, le=1, description="factor of the IoU for each concept beyond the first")


class InvertRecipe(RivalRecipe):
    """INVERT (Bykov et al., NeurIPS 2023): the formula of image labels that the activation separates best, by AUROC."""

    method: Literal["invert"]
    length: int = Field(3, ge=1, description="concepts in a formula at most")
    beam: int = Field(5, ge=1, description="formulas kept at each length")
    minimum: Number = Field(0.0, ge=0, le=1, description="smallest share of images that a formula holds for")
    maximum: Number = Field(0.5, ge=0, le=1, description="largest share of images that a formula holds for")
    negative: bool = Field(False, description="look for what the unit responds to least")
    significance: Number = Field(
        0.05, gt=0, le=1, description="largest p-value of the label; above it the unit stays unlabelled"
    )


class MilanRecipe(RivalRecipe):
    """MILAN (Hernandez et al., ICLR 2022): a trained describer reads the masked exemplars."""

    method: Literal["milan"]
    describer: FileOrFolder = Field(description="folder of a describer, or file of a published one")
    images: int = Field(15, ge=1, description="exemplars that the describer sees")
    quantile: Number = Field(0.99, gt=0, lt=1, description="of the unit's activations, above which a pixel is shown")
    beam: int = Field(50, ge=1, description="descriptions that are ranked anew")
    length: int = Field(15, ge=1, description="longest description in tokens")
    penalty: Number = Field(0.2, ge=0, description="weight of the language model's log-probability of a description")


class LineRecipe(RivalRecipe):
    """LINE (arXiv 2604.08039): a language model proposes, the generator draws, the next prompt tells activations."""

    method: Literal["line"]
    rounds: int = Field(10, ge=1, description="proposals at most")
    tolerance: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="a concept whose activation is lower than the best by at most this share counts as equally good; "
        "of those the one named last is the label. 0: the best activation alone decides, as published",
    )
    generator: GeneratorSettings
    llm: LlmSettings | None = Field(None, description="another language model than `llm`")
    prompt: File = Field(Path("config/prompts/line.yaml"), description="chat messages as templates")
    temperature: Number = Field(0.7, ge=0, description="sampling temperature")
    max_words: int = Field(5, ge=1, description="longest concept; longer answers are recorded and skipped")
    max_tokens: int = Field(24, ge=1, description="longest answer")


class ForeignRecipe(RivalRecipe):
    """Labels that another tool gave, read from a CSV file."""

    method: Literal["foreign"]
    labels: File = Field(description="CSV or TSV file of labels")
    format: Literal["columns", "dnd", "milan", "clip-dissect", "network-dissection", "invert", "falcon"] = Field(
        "columns", description="a published format, or `columns` as named below"
    )
    unit: str = Field("unit", description="columns: column of unit numbers")
    label: str | list[str] = Field("label", description="columns: column of labels, or several, best first")
    several_rows: bool = Field(
        False, description="whether a unit may have several rows, each with a label; else a second one is an error"
    )
    score: str | None = Field(None, description="columns: column of scores; higher is better")
    layer: str | None = Field(None, description="columns: column of layers, where the file holds several")
    first_unit: Literal[0, 1] = Field(0, description="columns: number of the first unit")
    layers: dict[str, str] = Field(
        default_factory=dict, description="name of a layer in this sweep -> its name in the file, where they differ"
    )

"""What a recipe of our own method says about its stages, models apart: one class for each section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from dnd.config.sections import LONGEST_SIDE, File, Number, Settings

SOURCES = ("captions", "words", "cluster", "layer", "union")
"""Sources of candidates that no prompt may be named after."""


class ExemplarSettings(Settings):
    """Attention crops and the ranking of a unit's most activating images (paper section 3, step 1)."""

    images: int = Field(16, ge=1, description="images that are looked at")
    reach: Number = Field(
        0.65,
        gt=0,
        le=1,
        description="they are spread over those that reach this share of the best activation; 1: the very best",
    )
    pool: int = Field(400, ge=1, description="over so many of them at most")
    keep: int = Field(16, ge=1, description="exemplars kept")
    halved: bool = Field(
        True, description="one half of the probe's images has them all; the other half tells what labels explain"
    )
    views_per_image: int = Field(1, ge=1, description="of an image and its crops, so many may be kept")
    crops_per_image: int = Field(4, ge=0, description="at most so many attention crops of one image")
    max_overlap: Number = Field(0.5, ge=0, le=1, description="largest IoU of two crops of one image")
    max_frame: Number = Field(0.8, gt=0, le=1, description="largest IoU of a crop with the whole image")
    min_side: Number = Field(0.2, ge=0, le=1, description="smallest side of a crop, as a share of the image's side")
    wrap_heatmaps: bool = Field(
        False, description="released: maps become bytes unscaled, so that values above one wrap around"
    )
    whole_image_boxes: bool = Field(
        False, description="released: boxes are cut as if the network saw the whole image, not its centre"
    )
    outer_parts: bool = Field(False, description="released: parts of a map inside a hole of another are left out")
    token_maps: bool = Field(
        False, description="released: a class token of 768 channels is taken for a picture, the heat map of every unit"
    )
    square: int | None = Field(
        None,
        ge=1,
        le=LONGEST_SIDE,
        description="released: images and crops are stretched to a square of so many pixels first (375)",
    )
    idle_units: bool = Field(False, description="released: dead and constant units are described, too")


class ConceptSettings(Settings):
    """Candidate concepts from captions."""

    samples: int = Field(5, ge=1, description="answers asked for, each from its own order of the captions")
    temperature: Number = Field(0.3, ge=0, description="sampling temperature")
    max_words: int | None = Field(
        5,
        ge=1,
        description="longest concept; longer answers, and any of more than 500 characters, are recorded and skipped; "
        "any number of words when empty",
    )
    max_tokens: int = Field(24, ge=1, description="longest answer")
    prompt: File = Field(
        Path("config/prompts/concept.yaml"),
        description="chat messages as templates; when empty and `show_images`, `config/prompts/concept-images.yaml`",
    )
    structured: bool = Field(
        False, description="ask for JSON of a given schema, where the server can; plain text otherwise"
    )
    known_answers: bool = Field(
        False, description="ask nothing: a unit's known answer is its only candidate, all there is to vote for"
    )
    show_images: bool = Field(
        False, description="show the exemplars themselves to the language model, which must see, instead of captions"
    )
    clean_captions: bool = Field(True, description="say what a caption repeats over and over only once")
    clean_answers: bool = Field(
        True, description="strip numbering, quotes and JSON from answers, and skip those without sense"
    )
    best_first: bool = Field(False, description="released: the first question has the captions in order of activation")
    simplify: File | None = Field(
        None, description="released: chat messages as templates that shorten each caption before all are summarised"
    )
    again: File | None = Field(
        None, description="released: chat messages as templates: the parts of an answer with commas are sent back once"
    )
    backgrounds: Literal["none", "all", "undotted"] = Field(
        "none",
        description="released: a concept that ends in `design` or `graphic` is also drawn with `background` after it; "
        "`undotted`: only if its answer had no full stop",
    )
    clusters: int = Field(
        3,
        ge=1,
        description="groups of captions at most, each also asked about alone; 1 asks about all together only, and is "
        "the default of `show_images`",
    )
    cluster_by: Literal["meaning", "words"] = Field(
        "words",
        description="`meaning`: similar captions, by the text side of the `embedder`; `words`: those that share a word",
    )
    cluster_samples: int = Field(1, ge=1, description="answers asked for about each of several groups")
    words: int = Field(
        3,
        ge=0,
        description="so many of the words that captions share are candidates, without votes: those that cover the "
        "captions together, or where one covers nearly all, those that nearly all have; 0 is the default of "
        "`show_images`",
    )
    prompts: list[File] = Field(
        default_factory=list,
        description="further prompts with all captions, such as `config/prompts/concept-specific.yaml`",
    )
    further_samples: int = Field(1, ge=1, description="answers asked for by each further prompt")
    split: bool = Field(True, description='an answer "a or b" gives the candidates a and b instead of itself')

    @property
    def reads_vectors(self) -> bool:
        """Whether text vectors decide which questions are asked."""
        return self.clusters > 1 and self.cluster_by == "meaning" and not self.known_answers

    @property
    def shows(self) -> Literal["captions", "images"]:
        """What the prompt and the further ones are given."""
        return "images" if self.show_images else "captions"

    @property
    def asked(self) -> list[Path]:
        """Every file of what the language model is asked."""
        return [path for path in (self.prompt, self.simplify, self.again, *self.prompts) if path is not None]

    @property
    def further(self) -> dict[str, Path]:
        """Source of candidates -> further prompt: the stem of its file, after ``concept-``."""
        return {path.stem.removeprefix("concept-"): path for path in self.prompts}

    @property
    def oracle(self) -> bool:
        """Whether nothing is asked."""
        return self.known_answers

    def problems(self) -> Iterator[str]:
        asking = {"show_images": self.show_images, "simplify": self.simplify, "again": self.again}
        if self.known_answers and any(asking.values()):
            yield f"`known_answers` asks nothing, and takes no {' or '.join(f'`{key}`' for key in asking)}"
        if self.show_images and self.simplify is not None:
            yield "`simplify` shortens captions, which `show_images` does without"
        wanted = {
            "clusters": self.clusters > 1,
            "words": self.words > 0,
            "prompts": self.prompts,
        }
        for key, is_wanted in wanted.items():
            if self.show_images and is_wanted:
                yield f"`{key}` needs captions, which `show_images` does without"
        if len(self.further) < len(self.prompts) or self.further.keys() & SOURCES:
            yield f"`prompts` name sources of candidates: their names must differ, also from {SOURCES}"

    @model_validator(mode="before")
    @classmethod
    def _images_have_defaults_of_their_own(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("show_images") is True:
            return {"prompt": "config/prompts/concept-images.yaml", "clusters": 1, "words": 0, **values}
        return values


class ScoreSettings(Settings):
    """Which candidate is the label, and when none is."""

    combination: Literal["evidence", "mean", "topk-sq-mean", "topk-compare", "image-products", "activation-rate"] = (
        Field(
            "evidence",
            description="what the probe's images and drawn pictures say of a candidate; a released function; SIEVE's "
            "activation rate, the share of its images that excite the unit as few images of the probe do",
        )
    )
    precision: Number = Field(
        0.7,
        ge=0,
        description="evidence: weight of how strongly images that show the concept excite the unit; large values "
        "prefer specific concepts, 0 the one that tells most of the unit's behaviour",
    )
    drawn: Number = Field(0.2, ge=0, description="evidence: weight of the correlation over drawn pictures")
    joining: Number = Field(0.03, ge=0, description="evidence: what a label has to gain by each joined concept")
    join: int = Field(
        2, ge=1, le=3, description="concepts that a label may join by `or`, for units that respond to several things"
    )
    borrow: int = Field(
        5, ge=0, description="concepts of the layer's other units that join a unit's candidates: those that fit best"
    )
    least_explains: Number = Field(
        0.1, ge=0, le=1, description="nothing is said of a unit whose label explains less (`explains`, a correlation)"
    )
    verdict: File | None = Field(
        None, description="JSON file of `dnd fit-verdict`, which gives labels a calibrated confidence"
    )
    rate_quantile: Number = Field(
        0.99,
        gt=0,
        lt=1,
        description="activation-rate: an image counts that excites the unit above this quantile of the control images",
    )
    rate_contrast: Number | None = Field(
        None,
        gt=0,
        description="activation-rate: nothing is said of a unit whose quantile is not above so many times the median "
        "of the control images (published: 10); no unit is passed over when empty",
    )
    least_rate: Number = Field(
        0.0, ge=0, le=1, description="activation-rate: candidates with a smaller share are discarded"
    )
    first_rank: Literal[0, 1] = Field(1, description="rank of the image that excites the unit most; released: 0")
    shrink: int | None = Field(
        None,
        ge=1,
        le=LONGEST_SIDE,
        description="released: generated images are shrunk to so many pixels before all else (32)",
    )
    compare_best: int | None = Field(
        None,
        ge=1,
        description="released: the similarity is that of images among so many of the unit's best (10)",
    )
    absent_similarity: Number | None = Field(
        None, description="released: the similarity of a candidate without an image among these (-1)"
    )

    @property
    def reads_probe(self) -> bool:
        """Whether the probe's images are asked about candidates, for which the embedder must read texts, too."""
        return self.combination == "evidence"

    def problems(self) -> Iterator[str]:
        if self.verdict is not None and not self.reads_probe:
            yield "`verdict` needs `combination: evidence`"

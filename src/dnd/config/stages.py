"""What a recipe of our own method says about its stages, models apart: one class for each section."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from dnd.config.backends import LlmSettings
from dnd.config.sections import LONGEST_SIDE, File, Number, Settings

SOURCES = ("captions", "words", "cluster", "refined", "union")
"""Sources of candidates that no prompt may be named after."""


class ExemplarSettings(Settings):
    """Attention crops and the ranking of a unit's most activating images (paper section 3, step 1)."""

    images: int = Field(10, ge=1, description="images that are looked at")
    reach: Number = Field(
        0.65,
        gt=0,
        le=1,
        description="they are spread over those that reach this share of the best activation; 1: the very best",
    )
    pool: int = Field(200, ge=1, description="over so many of them at most")
    keep: int = Field(10, ge=1, description="exemplars kept")
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
        1, ge=1, description="groups of captions at most, each also asked about alone; 1 asks about all together only"
    )
    cluster_by: Literal["meaning", "words"] = Field(
        "meaning",
        description="`meaning`: similar captions, by the text side of the `embedder`; `words`: those that share a word",
    )
    cluster_samples: int = Field(1, ge=1, description="answers asked for about each of several groups")
    words: int = Field(
        0,
        ge=0,
        description="so many of the words that captions share are candidates, without votes, where it takes several "
        "to cover them: what the language model generalises stays apart",
    )
    prompts: list[File] = Field(
        default_factory=list,
        description="further prompts with all captions, such as `config/prompts/concept-specific.yaml`",
    )
    further_samples: int = Field(1, ge=1, description="answers asked for by each further prompt")
    split: bool = Field(False, description='an answer "a or b" gives the candidates a and b instead of itself')
    merge: Number | None = Field(
        None,
        gt=0,
        le=1,
        description="cosine of the `embedder`'s text vectors from which candidates count as one, named by most votes",
    )
    also: str | None = Field(
        None, description="recipe whose best candidates for the same model, layer and probe join in, without votes"
    )
    also_top: int = Field(3, ge=1, description="so many of them")
    look_alikes: int = Field(
        0,
        ge=0,
        description="random probe images that resemble a unit's exemplars and excite it little, whose captions prompts "
        "are given as `others`",
    )

    @property
    def reads_vectors(self) -> bool:
        """Whether text vectors decide which questions are asked or which candidates there are."""
        by_meaning = self.clusters > 1 and self.cluster_by == "meaning"
        return (by_meaning or self.merge is not None) and not self.known_answers

    @property
    def shows(self) -> Literal["captions", "images", "contrast"]:
        """What the prompt and the further ones are given."""
        return "images" if self.show_images else "contrast" if self.look_alikes else "captions"

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
            "look_alikes": self.look_alikes,
        }
        for key, is_wanted in wanted.items():
            if self.show_images and is_wanted:
                yield f"`{key}` needs captions, which `show_images` does without"
        if len(self.further) < len(self.prompts) or self.further.keys() & SOURCES:
            yield f"`prompts` name sources of candidates: their names must differ, also from {SOURCES}"

    @model_validator(mode="before")
    @classmethod
    def _images_have_a_prompt_of_their_own(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("show_images") is True and "prompt" not in values:
            return {**values, "prompt": "config/prompts/concept-images.yaml"}
        return values


class RefinementSettings(Settings):
    """Further candidates, from a language model that is told what became of those before."""

    rounds: int = Field(2, ge=1, description="times that a unit is asked about at most")
    samples: int = Field(1, ge=1, description="answers asked for in each round")
    below: Number = Field(
        0.8,
        gt=0,
        le=1,
        description="a unit is asked about while every candidate excites it with less than this share of its images: "
        "half way, or more, from the lowest tenth of the control images to the exemplars",
    )
    images: int = Field(5, ge=1, description="images of each candidate that are looked at")
    failures: int = Field(
        6, ge=0, description="images that do not excite the unit, whose captions are shown; 0 spares the captioner"
    )
    prompt: File = Field(Path("config/prompts/refine.yaml"), description="chat messages as templates")
    temperature: Number = Field(0.7, ge=0, description="sampling temperature")
    max_words: int = Field(5, ge=1, description="longest concept; longer answers are recorded and skipped")
    max_tokens: int = Field(24, ge=1, description="longest answer")
    llm: LlmSettings | None = Field(None, description="another language model than `llm`")


class StoppingSettings(Settings):
    """Sequential stopping: images are drawn only until it is clear which candidate excites the unit most."""

    first: int = Field(2, ge=2, description="images of each candidate that are drawn in any case")
    step: int = Field(1, ge=1, description="then so many more of those that may still lead, up to `generator.images`")
    level: Number = Field(
        0.2,
        gt=0,
        lt=0.5,
        description="largest p-value at which the leader has beaten another candidate (exact Mann-Whitney test): two "
        "images against two reach 1/6, three 1/20, four 1/70",
    )


class ScoreSettings(Settings):
    """How the components are combined: score = sum of weight x component."""

    verdict: File | None = Field(
        None,
        description="JSON file of fitted weights, of which the score is the log odds that a label is right, with its "
        "calibrated confidence and when to say nothing; the weights below when empty",
    )
    join: int = Field(
        1, ge=1, le=3, description="candidates that a label may join by `or`, for units that respond to several things"
    )
    scale: Number | None = Field(
        None,
        gt=0,
        description="probability that an image shows a concept: sigmoid(scale x cosine + bias) of the `embedder`'s "
        "vectors; when empty, from the cosines of the concept's own images and random ones",
    )
    bias: Number | None = Field(None, description="see `scale`")

    auc: Number = Field(1.0, description="weight of P(generated image excites the unit more than a control image)")
    rank: Number = Field(0.0, description="weight of 1 - mean squared rank of the best five / its largest value")
    image_similarity: Number = Field(1.0, description="weight of the CLIP similarity with the exemplars")
    votes: Number = Field(1.0, description="weight of the share of the LLM's answers")
    combination: Literal["weighted", "mean", "topk-sq-mean", "topk-compare", "image-products", "activation-rate"] = (
        Field(
            "weighted",
            description="the sum above, or, without weights, a scoring function of the released code, or SIEVE's "
            "activation rate: the share of a candidate's images that excite the unit as few images of the probe do",
        )
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
        description="the similarity is that of images among so many of the unit's best of all candidates (released: "
        "10); of all images when empty",
    )
    absent_similarity: Number | None = Field(
        None,
        description="that of a candidate without an image among these (released: -1); of all its images when empty",
    )

    @property
    def reads_probe(self) -> bool:
        """Whether the probe's images are asked about candidates, for which the embedder must read texts, too."""
        return self.verdict is not None

    def problems(self) -> Iterator[str]:
        if (self.scale is None) != (self.bias is None):
            yield "`scale` and `bias` belong together"
        if self.join > 1 and self.verdict is None:
            yield "`join` needs a `verdict`, which weighs one label against several"
        if self.verdict is not None and self.combination != "weighted":
            yield "`verdict` has its own combination"

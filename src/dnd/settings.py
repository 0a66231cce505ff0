"""What the configuration says about targets, probes, recipes and the language model: one class for each section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator


class Settings(BaseModel):
    """Base of every section: unknown keys are errors and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Precision = Literal["auto", "float32", "float16", "bfloat16"]


def _server(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number, or half an IPv6 address
        good = False
    if not good:
        raise ValueError("must be a server's address, such as http://host:8000/v1")
    return url


BaseUrl = Annotated[str, AfterValidator(_server)]
COMPUTE = frozenset({"api_key_env", "base_url", "concurrency", "offload"})
"""Keys of a recipe's parts that say where or how fast, and change no result."""
PRECISION = "`auto` is half precision on a GPU and float32 on a CPU"


class PreprocessSettings(Settings):
    """How an image becomes the network's input. What is left out is taken from where the weights were published."""

    size: int | tuple[int, int] = Field(description="the input's side in pixels, or its height and width")
    fit: Literal["crop", "squash", "letterbox"] = Field(
        "crop", description="cut the centre, stretch the whole image, or pad it to the input's shape"
    )
    resize: int | None = Field(
        None, ge=1, description="length of the shorter side before the centre is cut; the input's own when empty"
    )
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = Field("bilinear", description="of the resize")
    mean: tuple[float, ...] = Field((0.0, 0.0, 0.0), description="per channel, of values in [0, 1]; one value: grey")
    std: tuple[float, ...] = Field((1.0, 1.0, 1.0), description="per channel, of values in [0, 1]")
    fill: int | tuple[int, int, int] = Field(0, description="letterbox: brightness or colour of the border, 0 to 255")

    @model_validator(mode="after")
    def _channels_fit(self) -> PreprocessSettings:
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError("`mean` and `std` must both have three values (colour) or one (grey)")
        shorter = self.size if isinstance(self.size, int) else min(self.size)
        if shorter < 1 or (self.resize is not None and self.resize < shorter):
            raise ValueError("`size` must be above zero, and `resize` no smaller than its shorter side")
        return self


class BasisSettings(Settings):
    """Units other than the channels of a layer: latents of a sparse autoencoder, directions, attention heads."""

    kind: Literal["sae", "directions", "heads"] = Field(
        description="latents of a sparse autoencoder, rows of a matrix, or attention heads"
    )
    path: Path | None = Field(None, description="sae, directions: file of the tensors (safetensors, .npy, .pt)")
    activation: Literal["relu", "topk", "batchtopk", "jumprelu"] = Field(
        "relu", description="sae: what follows the encoder"
    )
    k: int | None = Field(None, ge=1, description="topk: latents that stay active at a position")
    threshold: float | None = Field(
        None, description="jumprelu, batchtopk: latents below it are zero; the file's tensor `threshold` when empty"
    )
    tensors: dict[Literal["encoder", "bias", "decoder_bias", "threshold", "directions", "mean"], str] = Field(
        default_factory=dict, description="names of tensors in the file, where they are not usual ones"
    )
    subtract_decoder_bias: bool = Field(
        True, description="sae: take the decoder's bias, if there is one, off the input"
    )
    heads: int | None = Field(None, ge=1, description="heads: how many; the network's own number when empty")

    @model_validator(mode="after")
    def _keys_fit_kind(self) -> BasisSettings:
        if self.kind != "heads" and self.path is None:
            raise ValueError(f"kind {self.kind} needs `path`")
        if self.kind == "sae" and self.activation == "topk" and self.k is None:
            raise ValueError("activation topk needs `k`")
        return self


class TargetSettings(Settings):
    """A network whose units are described."""

    source: Literal["torchvision", "timm", "transformers", "python"] = Field(description="where the network comes from")
    factory: str = Field(
        description="the model's name (torchvision, timm), hub id or folder (transformers), "
        "`package.module:function` or `file.py:function`, where a method of a class is `Class.method` (python)"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    weights: str | None = Field(
        None,
        description="torchvision: weights enum; timm: `pretrained`; all but transformers: file of a state dict "
        "(safetensors, .pt); when empty the network is as its factory makes it, from seed 0",
    )
    revision: str | None = Field(None, description="hub revision")
    architecture: str | None = Field(
        None, description="transformers: class of the network; the one that the weights were published with when empty"
    )
    trust_remote_code: bool = Field(False, description="transformers: run code from the model's repository")
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="precision of the network")
    preprocess: Path | PreprocessSettings | None = Field(
        None, description="mapping as below or JSON file of one; the published preprocessing when empty"
    )
    layout: Literal["auto", "NCHW", "NHWC", "NTC", "TNC", "NC"] = Field(
        "auto", description="axes of the layers' outputs: N images, C units, H x W positions, T tokens"
    )
    prefix_tokens: int | None = Field(
        None, ge=0, description="tokens before those of the image (class token, registers); found out when empty"
    )
    basis: BasisSettings | None = Field(None, description="units other than the channels of the layers")
    known_answers: Path | None = Field(None, description="JSON of each unit's true concept, for evaluation")
    class_names: dict[str, Path] = Field(
        default_factory=dict,
        description="layer whose units are classes -> text file of their names, one per line, for evaluation",
    )


SOURCE_KEYS = {
    "folder": {"path", "label"},
    "webdataset": {"path", "image", "label"},
    "huggingface": {"path", "dataset", "subset", "split", "revision", "image", "label"},
    "parquet": {"path", "image", "label"},
    "manifest": {"path", "image", "label"},
    "union": {"members"},
    "shapeworld": {"images"},
}
"""Source of a probe -> the keys that belong to it alone; others belong to all."""


class AnnotationSettings(Settings):
    """What is known of a probe's images: the concepts they show, and at which pixels."""

    source: Literal["shapeworld", "broden", "labels"] = Field(
        description="renders of the shape world, which know their scenes; a data set in Broden's layout; or the labels "
        "of the probe's images"
    )
    path: Path | None = Field(None, description="broden: the folder with `index.csv`, `label.csv` and `images`")
    categories: list[str] = Field(default_factory=list, description="broden: categories that count; all when empty")
    parents: Path | None = Field(
        None, description="labels: table of two columns, parted by a tab, a label and what it is a kind of"
    )

    @model_validator(mode="after")
    def _keys_fit_source(self) -> AnnotationSettings:
        if (self.source == "broden") != (self.path is not None):
            raise ValueError("source broden, and no other, needs `path`")
        if self.source != "broden" and self.categories:
            raise ValueError(f"source {self.source} takes no `categories`")
        if self.source != "labels" and self.parents is not None:
            raise ValueError(f"source {self.source} takes no `parents`")
        return self


class ProbeSettings(Settings):
    """The images whose activations are looked at."""

    source: Literal["folder", "webdataset", "huggingface", "parquet", "manifest", "union", "shapeworld"] = Field(
        description="a folder of images, tar files, a dataset of the hub or on disk, Parquet files with image bytes, "
        "a table of image files, several probes together, or renders written to disk first"
    )
    path: Path | None = Field(
        None,
        description="folder: where the images are, at any depth; webdataset, parquet: a file or a folder of them; "
        "huggingface: a dataset on disk; manifest: a .csv or .tsv file",
    )
    dataset: str | None = Field(None, description="huggingface: hub id, in place of `path`")
    subset: str | None = Field(None, description="huggingface: the dataset's configuration")
    split: str | None = Field(None, description="huggingface: such as `validation`")
    revision: str | None = Field(None, description="huggingface: hub revision")
    members: list[str] = Field(default_factory=list, description="union: names of other probes")
    image: str | None = Field(
        None,
        description="column of images (huggingface, parquet; `image` when empty) or of their paths as seen from the "
        "table (manifest; `path` when empty); webdataset: suffix of the images, such as `jpg`; any when empty",
    )
    label: str | None = Field(
        None,
        description="column of labels; webdataset: suffix of the files that hold them, such as `cls`, or "
        "`json.FIELD`; folder: `folder`, the first folder's name is the label",
    )
    limit: int | None = Field(
        None, ge=1, description="the first so many images, by their ids, duplicates and unreadable ones included"
    )
    sample: int | None = Field(
        None, ge=1, description="a random sample of so many of these, the same for the same `seed`"
    )
    part: str | None = Field(
        None,
        pattern=r"^\d+/\d+$",
        description="one of several parts without a common image, such as `1/2`, to see how stable descriptions are",
    )
    images: int = Field(1600, ge=1, description="shapeworld: how many images to render")
    seed: int = Field(
        4, ge=0, description="of `sample`; shapeworld: stream of renders, of which 4 is for demonstrations"
    )
    shards: int = Field(2, ge=1, description="into how many files and jobs the images are split")
    annotations: AnnotationSettings | None = Field(
        None, description="concepts of the images, for methods that need them; renders of the shape world know theirs"
    )

    @model_validator(mode="after")
    def _keys_fit_source(self) -> ProbeSettings:
        if self.annotations is not None and (self.annotations.source == "shapeworld") > (self.source == "shapeworld"):
            raise ValueError("annotations of source shapeworld are those of a probe of source shapeworld")
        if self.annotations is not None and self.annotations.source == "labels" and not (self.label or self.members):
            raise ValueError("annotations of source labels need `label`")
        if self.source == "huggingface" and (self.path is None) == (self.dataset is None):
            raise ValueError("source huggingface needs either `path` or `dataset`")
        if self.source in ("folder", "webdataset", "parquet", "manifest") and self.path is None:
            raise ValueError(f"source {self.source} needs `path`")
        if self.source == "union" and (len(self.members) < 2 or len(set(self.members)) < len(self.members)):
            raise ValueError("source union needs two or more `members`, each once")
        for key in sorted(set().union(*SOURCE_KEYS.values()) - SOURCE_KEYS[self.source]):
            if getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True):
                raise ValueError(f"source {self.source} takes no `{key}`")
        if self.part is not None:
            number, parts = map(int, self.part.split("/"))
            if not 1 <= number <= parts:
                raise ValueError(f"`part` is {self.part}, expected a number from 1, and how many parts there are")
        if self.dataset is None and self.revision:
            raise ValueError("`revision` is that of a `dataset` of the hub")
        if self.source == "folder" and self.label not in (None, "folder"):
            raise ValueError("`label` of source folder is `folder` or empty")
        if self.source == "manifest" and self.path and self.path.suffix.lower() not in (".csv", ".tsv"):
            raise ValueError("`path` of source manifest is a .csv or .tsv file")
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
        None, ge=1, description="released: images and crops are stretched to a square of so many pixels first (375)"
    )
    idle_units: bool = Field(False, description="released: dead and constant units are described, too")


class CaptionSettings(Settings):
    """The image captioner."""

    model: str = Field(
        description="folder or hub id of an image-to-text model; with `base_url`, the name the server knows it by"
    )
    revision: str | None = Field(None, description="hub revision")
    base_url: BaseUrl | None = Field(None, description="OpenAI-compatible server of a vision-language model")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable with that server's key")
    concurrency: int = Field(16, ge=1, description="requests to that server in flight")
    prompt: str | None = Field(
        None, description="what the model is asked; a captioner such as BLIP needs none, Florence-2 takes `<CAPTION>`"
    )
    dtype: Precision = Field("float32", description=f"precision; {PRECISION}")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")
    max_new_tokens: int = Field(32, ge=1, description="longest caption")
    min_length: int = Field(5, ge=0, description="shortest caption in tokens, the one that ends it among them")

    @model_validator(mode="after")
    def _lengths_fit(self) -> CaptionSettings:
        if self.base_url is None and self.min_length > self.max_new_tokens:
            raise ValueError("`min_length` must not exceed `max_new_tokens`")
        return self


class ConceptSettings(Settings):
    """Candidate concepts from captions."""

    samples: int = Field(5, ge=1, description="answers asked for, each from its own order of the captions")
    temperature: float = Field(0.3, ge=0, description="sampling temperature")
    max_words: int | None = Field(
        5, ge=1, description="longest concept; longer answers are recorded and skipped; any length when empty"
    )
    max_tokens: int = Field(24, ge=1, description="longest answer")
    prompt: Path = Field(
        Path("config/prompts/concept.yaml"),
        description="chat messages as templates; when empty and `show_images`, `config/prompts/concept-images.yaml`",
    )
    structured: bool = Field(
        False, description="ask for JSON of a given schema, where the server can; plain text otherwise"
    )
    show_images: bool = Field(
        False, description="show the exemplars themselves to the language model, which must see, instead of captions"
    )
    clean_captions: bool = Field(True, description="say what a caption repeats over and over only once")
    clean_answers: bool = Field(
        True, description="strip numbering, quotes and JSON from answers, and skip those without sense"
    )
    best_first: bool = Field(False, description="released: the first question has the captions in order of activation")
    simplify: Path | None = Field(
        None, description="released: chat messages as templates that shorten each caption before all are summarised"
    )
    again: Path | None = Field(
        None, description="released: chat messages as templates: the parts of an answer with commas are sent back once"
    )
    backgrounds: Literal["none", "all", "undotted"] = Field(
        "none",
        description="released: a concept that ends in `design` or `graphic` is also drawn with `background` after it; "
        "`undotted`: only if its answer had no full stop",
    )

    @model_validator(mode="after")
    def _captions_are_shown(self) -> ConceptSettings:
        if self.show_images and self.simplify is not None:
            raise ValueError("`simplify` shortens captions, which `show_images` does without")
        return self

    @model_validator(mode="before")
    @classmethod
    def _images_have_a_prompt_of_their_own(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("show_images") is True and "prompt" not in values:
            return {**values, "prompt": "config/prompts/concept-images.yaml"}
        return values


class GeneratorSettings(Settings):
    """The text-to-image model that draws candidate concepts."""

    model: str = Field(description="folder or hub id of a text-to-image pipeline of diffusers")
    revision: str | None = Field(None, description="hub revision")
    images: int = Field(10, ge=5, description="images per concept")
    steps: int = Field(20, ge=1, description="sampling steps")
    guidance: float = Field(7.5, ge=0, description="classifier-free guidance scale")
    prompt: str = Field("One realistic image of {concept}", description="template; must hold {concept}")
    size: int | None = Field(None, ge=8, description="side in pixels; the model's own when empty")
    scheduler: str | None = Field(
        None, description="class of diffusers, such as `DPMSolverMultistepScheduler`; the pipeline's own when empty"
    )
    dtype: Precision = Field("auto", description=f"precision; {PRECISION}")
    variant: str | None = Field(None, description="variant of the weights' files, such as `fp16`")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of the pipeline's call, such as `max_sequence_length`"
    )
    offload: bool = Field(False, description="keep parts that are not at work out of a small GPU's memory; slower")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")

    @field_validator("prompt")
    @classmethod
    def _prompt_names_the_concept(cls, value: str) -> str:
        if value.count("{concept}") != 1 or re.sub(r"\{concept\}", "", value).count("{"):
            raise ValueError("must hold {concept} once and no other braces")
        return value


class EmbedderSettings(Settings):
    """The image embedder (CLIP, SigLIP, DINOv2 ...)."""

    model: str = Field(description="folder or hub id of a model that embeds images")
    revision: str | None = Field(None, description="hub revision")
    dtype: Precision = Field("float32", description=f"precision; {PRECISION}")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")


class ScoreSettings(Settings):
    """How the components are combined: score = sum of weight x component."""

    auc: float = Field(1.0, description="weight of P(generated image excites the unit more than a control image)")
    rank: float = Field(0.0, description="weight of 1 - mean squared rank of the best five / its largest value")
    image_similarity: float = Field(1.0, description="weight of the CLIP similarity with the exemplars")
    votes: float = Field(1.0, description="weight of the share of the LLM's answers")
    combination: Literal["weighted", "mean", "topk-sq-mean", "topk-compare", "image-products"] = Field(
        "weighted", description="the sum above, or a scoring function of the released code, which takes no weights"
    )
    first_rank: Literal[0, 1] = Field(1, description="rank of the image that excites the unit most; released: 0")
    shrink: int | None = Field(
        None, ge=1, description="released: generated images are shrunk to so many pixels before all else (32)"
    )
    compare_best: int | None = Field(
        None,
        ge=1,
        description="the similarity is that of images among so many of the unit's best of all candidates (released: "
        "10); of all images when empty",
    )
    absent_similarity: float | None = Field(
        None,
        description="that of a candidate without an image among these (released: -1); of all its images when empty",
    )


class Method(Settings):
    """What every recipe says: how activations are read, and what is kept of them."""

    pooling: Literal["mean", "max", "cls"] = Field(
        "mean", description="activation map to one number; `cls`: that of a transformer's class token"
    )
    sign: Literal["positive", "negative"] = Field(
        "positive", description="`negative` describes what drives units below zero: activations change their sign"
    )
    controls: int = Field(
        256, ge=2, description="random probe images whose activations are kept, to compare others with; or all of them"
    )

    def models(self) -> dict[str, Any]:
        """Return key -> section of every model that the recipe names."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in parts.items() if isinstance(part, Settings) and hasattr(part, "model")}

    def files(self) -> dict[str, Path]:
        """Return key -> path of every file or folder of the user's that the recipe names, models apart."""
        return dict(_files(self, ""))


def _files(section: Settings, prefix: str) -> Iterator[tuple[str, Path]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            yield prefix + name, value
        elif isinstance(value, Settings):
            yield from _files(value, f"{prefix}{name}.")


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
    def square(self) -> int | None:
        """Side of the square that exemplars are stretched to; None where they keep their proportions."""
        return self.exemplars.square

    @property
    def kept(self) -> int:
        """How many of a unit's most activating images are kept."""
        return max(self.exemplars.images, self.exemplars.pool)

    @model_validator(mode="after")
    def _pictures_can_be_compared(self) -> Recipe:
        if self.generator is not None and self.embedder is None:
            raise ValueError("a `generator` needs an `embedder`, which compares its images with the exemplars")
        return self


class LlmSettings(Settings):
    """The language model server."""

    model: str = Field(description="folder or hub id; with `base_url`, the name the server knows it by")
    revision: str | None = Field(None, description="hub revision")
    base_url: BaseUrl | None = Field(None, description="an external OpenAI-compatible server instead of our own vLLM")
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the external server's key")
    python: str | None = Field(
        None, description="interpreter that has vLLM; when empty `$DND_VLLM_PYTHON`, else `.venv-vllm/bin/python`"
    )
    concurrency: int = Field(32, ge=1, description="requests in flight")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")
    startup_seconds: int = Field(600, ge=1, description="deadline for the server's start")
    max_model_len: int = Field(
        1024, ge=64, description="longest prompt and answer together, in tokens; an image takes several hundred"
    )
    server_arguments: list[str] = Field(default_factory=list, description="further arguments of the vLLM server")

    @property
    def chat_template(self) -> str | None:
        """What `server_arguments` say of a chat template: its file or text, None where the model's own is used."""
        found = None
        for argument, following in pairwise([*self.server_arguments, ""]):
            option, separator, value = argument.partition("=")
            if option.replace("_", "-") == "--chat-template":
                found = value if separator else following
        return found


class ShardSettings(Settings):
    """How work is split into jobs. Nothing here changes a result."""

    units: int = Field(1024, ge=1, description="units per exemplar, caption and score job")
    llm_units: int = Field(10_000, ge=1, description="units per LLM job, across the layers of a model")
    images: int = Field(2, ge=1, le=999, description="image generation jobs per bundle")

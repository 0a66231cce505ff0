"""What the configuration says about foundation models and shards: one class for each section."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydantic import Field, JsonValue

from dnd.config.sections import LONGEST_SIDE, BaseUrl, ConceptTemplate, Name, Number, Precision, Settings

COMPUTE = frozenset({"api_key_env", "base_url", "concurrency", "offload"})
"""Keys of a recipe's parts that say where or how fast, and change no result."""
SERVERS = "DND_SERVERS"
"""Environment variable in which `dnd.run.serve` tells its command where servers are: JSON, model -> [base URL, key]."""
SHAPEWORLD = "shapeworld"
"""In the place of a model: what the shape world itself knows, to measure what a perfect model would give."""
PRECISION = "`auto` is half precision on a GPU and float32 on a CPU"


class CaptionSettings(Settings):
    """The image captioner."""

    model: Name = Field(
        description="folder or hub id of an image-to-text model; with `base_url`, the name the server knows it by; "
        "`shapeworld`: no model, what each view of a render shows"
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

    @property
    def oracle(self) -> bool:
        """Whether captions tell what is known of renders."""
        return self.model == SHAPEWORLD and self.base_url is None

    def problems(self) -> Iterator[str]:
        if self.base_url is None and self.min_length > self.max_new_tokens:
            yield "`min_length` must not exceed `max_new_tokens`"


SET_BY = {
    "prompt": "`prompt`",
    "num_inference_steps": "`steps`",
    "guidance_scale": "`guidance`",
    "height": "`size`",
    "width": "`size`",
    "num_images_per_prompt": "`images`",
    "generator": "each image's own seed",
    "output_type": "the stage",
    "return_dict": "the stage",
}
"""Arguments of a pipeline's call, and what sets them rather than a generator's `arguments`."""


class GeneratorSettings(Settings):
    """The text-to-image model that draws candidate concepts."""

    model: Name = Field(
        description="folder or hub id of a text-to-image pipeline of diffusers; `shapeworld`: no model, exact renders"
    )
    revision: str | None = Field(None, description="hub revision")
    images: int = Field(5, ge=1, description="images per concept")
    steps: int = Field(20, ge=1, description="sampling steps")
    guidance: Number = Field(7.5, ge=0, description="classifier-free guidance scale")
    prompt: ConceptTemplate = Field("One realistic image of {concept}", description="template; must hold {concept}")
    size: int | None = Field(None, ge=8, le=LONGEST_SIDE, description="side in pixels; the model's own when empty")
    scheduler: str | None = Field(
        None, description="class of diffusers, such as `DPMSolverMultistepScheduler`; the pipeline's own when empty"
    )
    dtype: Precision = Field("auto", description=f"precision; {PRECISION}")
    variant: str | None = Field(None, description="variant of the weights' files, such as `fp16`")
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="further arguments of the pipeline's call, such as `max_sequence_length`"
    )
    offload: bool = Field(False, description="keep parts that are not at work out of a small GPU's memory; slower")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")

    @property
    def oracle(self) -> bool:
        """Whether images are renders of what their concepts denote."""
        return self.model == SHAPEWORLD


class EmbedderSettings(Settings):
    """The image embedder (CLIP, SigLIP, DINOv2 ...)."""

    model: Name = Field(description="folder or hub id of a model that embeds images")
    revision: str | None = Field(None, description="hub revision")
    dtype: Precision = Field("float32", description=f"precision; {PRECISION}")
    trust_remote_code: bool = Field(False, description="run code from the model's repository")
    scale: Number | None = Field(
        None,
        gt=0,
        description="an image shows a text with the probability sigmoid(scale x cosine + bias); when empty, both are "
        "fitted to pictures that a recipe draws: each shows the text that it was drawn from, and no other",
    )
    bias: Number | None = Field(None, description="see `scale`")

    def problems(self) -> Iterator[str]:
        if (self.scale is None) != (self.bias is None):
            yield "`scale` and `bias` belong together"


class LlmSettings(Settings):
    """The language model server."""

    model: Name = Field(description="folder or hub id; with `base_url`, the name the server knows it by")
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
    def identity(self) -> list[str | int | None]:
        """What changes the model's answers: where and how it is served does not."""
        return [self.model, self.revision, self.max_model_len, self.chat_template]

    @property
    def chat_template(self) -> str | None:
        """What `server_arguments` say of a chat template: its file or text, None where the model's own is used."""
        template = None
        for argument, following in pairwise([*self.server_arguments, ""]):
            option, separator, value = argument.partition("=")
            if option.replace("_", "-") == "--chat-template":
                template = value if separator else following
        return template


class ShardSettings(Settings):
    """How work is split into jobs. Nothing here changes a result."""

    units: int = Field(1024, ge=1, description="units per exemplar, caption and score job")
    llm_units: int = Field(10_000, ge=1, description="units per LLM job, across the layers of a model")
    images: int = Field(2, ge=1, le=999, description="image generation jobs per bundle")

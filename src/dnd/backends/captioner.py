"""Image captions by any image-to-text model of transformers: BLIP, BLIP-2, GIT, Florence-2, ViT-GPT2, LLaVA ..."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

import torch
from PIL import Image
from torch import Tensor

from dnd.backends import hub
from dnd.backends.batches import BatchSize, in_batches
from dnd.backends.hub import ModelError
from dnd.backends.loading import (
    UNLIKE,
    Loader,
    complete,
    device,
    loading,
    pictures_at_once,
    precision,
    prepared,
    pretrained,
)
from dnd.backends.thoughts import one_line
from dnd.config.backends import CaptionSettings

if TYPE_CHECKING:
    from transformers import BatchFeature, PreTrainedConfig

BATCH = 32
SECTION = "captions"
NO_PROMPT = ("git", "vision-encoder-decoder")
"""Kinds of models whose text begins after the image, so that nothing can be asked."""
CODED = ("AutoModelForImageTextToText", "AutoModelForSeq2SeqLM", "AutoModelForCausalLM", "AutoModel")
"""What a repository with code of its own may offer its model as, best first."""


class Captioner(Protocol):
    """What the captions stage asks of a model."""

    def captions(self, images: Iterable[Image.Image]) -> Iterator[str]:
        """Yield one caption per RGB image of any size."""


def load(settings: CaptionSettings) -> Captioner:
    """Return the captioner that settings ask for: a model of the hub or a folder, or one behind an endpoint."""
    if settings.base_url is None:
        return TransformersCaptioner(settings)
    from dnd.backends.endpoint_captioner import EndpointCaptioner  # half a second for the client of a server

    return EndpointCaptioner(settings)


class TransformersCaptioner:
    """An image-to-text model of transformers, greedy, in batches of one fixed shape.

    A model whose input grows with the image (LLaVA-NeXT, Qwen-VL, Idefics3) takes one image at a time: what else is in
    a batch would change the length that its prompt is filled up to, and with it the last bits of a result.

    Raises
    ------
    ModelError
        The model is not there or writes no captions, or the prompt does not suit it.
    """

    def __init__(self, settings: CaptionSettings) -> None:
        from transformers import AutoConfig

        self.settings = settings
        self.device = device()
        self.dtype: torch.dtype = getattr(torch, precision(settings.dtype))
        trusted = settings.trust_remote_code
        folder = hub.folder(settings.model, settings.revision, hub.MODEL.with_code(trusted))
        with loading(SECTION, settings.model):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
            loader = _loader_of(config, settings)
            self.processor = _processor(folder, trusted)
        _check_prompt(settings, config.model_type, self.processor.must_be_asked)
        with loading(SECTION, settings.model):
            self.model, missing = pretrained(loader, folder, settings)
            self.size = BatchSize(pictures_at_once(self._inputs, BATCH), "captioner")
        complete(SECTION, settings.model, [name for name in missing if "pooler" not in name])
        with loading(SECTION, settings.model):  # what the processor makes may not be what the model takes
            self._captions(self._inputs([Image.new("RGB", UNLIKE[0])]), 1)

    def captions(self, images: Iterable[Image.Image]) -> Iterator[str]:
        """Yield one caption per image, in one line and without the prompt."""
        for part, texts in in_batches(images, self.size, self._captions, self._filled):
            yield from texts[: len(part)]

    def _filled(self, images: Sequence[Image.Image], shape: int) -> BatchFeature:
        return self._inputs([*images, *[images[0]] * (shape - len(images))])

    @torch.inference_mode()
    def _captions(self, inputs: BatchFeature, shape: int) -> list[str]:
        inputs = inputs.to(self.device, self.dtype)
        tokens = cast(_Writer, self.model).generate(
            **inputs,
            max_new_tokens=self.settings.max_new_tokens,
            min_new_tokens=max(0, self.settings.min_length - 1),  # without the token that ends it
            do_sample=False,
            num_beams=1,
        )
        prompts = inputs.get("input_ids")
        answers = tokens if prompts is None else list(map(after, tokens, prompts))
        texts = self.processor.batch_decode(answers, skip_special_tokens=True)
        return [one_line(text) for text in texts]

    def _inputs(self, images: Sequence[Image.Image]) -> BatchFeature:
        """What the model's forward pass takes, for some images with the prompt."""
        return prepared(SECTION, self.settings.model, self._prepare, images)

    def _prepare(self, images: Sequence[Image.Image]) -> BatchFeature:
        prompt = self.settings.prompt
        if self.processor.chat is not None:
            asked = {"type": "text", "text": prompt}
            chats = [[{"role": "user", "content": [{"type": "image", "image": image}, asked]}] for image in images]
            return self.processor.chat(
                chats, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
        if not prompt:
            return self.processor.prepare(images=list(images), return_tensors="pt")
        return self.processor.prepare(images=list(images), text=[prompt] * len(images), return_tensors="pt")


def after(answer: Tensor, prompt: Tensor) -> Tensor:
    """Return the tokens of an answer [n] after those with which it repeats its prompt [m]; most decoders do."""
    shared = min(len(answer), len(prompt))
    differs = (answer[:shared] != prompt[:shared]).nonzero()
    return answer[int(differs[0, 0]) if len(differs) else shared :]


def _loader_of(config: PreTrainedConfig, settings: CaptionSettings) -> Loader:
    """The function that loads a model with a configuration."""
    import transformers

    if type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return cast(Loader, transformers.AutoModelForImageTextToText.from_pretrained)
    if settings.trust_remote_code:
        for name in CODED:
            if name in (getattr(config, "auto_map", None) or ()):
                return getattr(transformers, name).from_pretrained
    names = config.architectures or []
    for name in names:
        model = getattr(transformers, name, None)
        if model is not None and hasattr(config, "vision_config") and model.can_generate():
            return model.from_pretrained
    raise ModelError(
        f"{SECTION}: model {settings.model} is {' or '.join(names) or config.model_type}, which writes no captions; "
        "expected an image-to-text model such as Salesforce/blip-image-captioning-large"
    )


class _Writer(Protocol):
    """A model that writes text."""

    def generate(self, **arguments: object) -> Tensor:
        """Return tokens [n, length]."""


class _Processor(NamedTuple):
    """What makes a model's inputs, and text of its tokens.

    Attributes
    ----------
    chat : writes a conversation as the model wants it; None where the model has no chat template.
    must_be_asked : whether it captions only with a prompt.
    """

    prepare: Callable[..., BatchFeature]
    batch_decode: Callable[..., list[str]]
    chat: Callable[..., BatchFeature] | None = None
    must_be_asked: bool = False


def _processor(folder: str, trusted: bool) -> _Processor:
    """A model's processor of images and texts; of a model that has none, one that is put together."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, ProcessorMixin

    try:
        whole = AutoProcessor.from_pretrained(folder, trust_remote_code=trusted)
    except ValueError:  # neither for the class nor for a part of it
        whole = None
    if isinstance(whole, ProcessorMixin):
        if getattr(whole, "chat_template", None) is not None:
            chat = cast("Callable[..., BatchFeature]", whole.apply_chat_template)
            return _Processor(whole, whole.batch_decode, chat, must_be_asked=True)
        return _Processor(whole, whole.batch_decode, must_be_asked=hasattr(whole, "task_prompts_without_inputs"))
    images = AutoImageProcessor.from_pretrained(folder, trust_remote_code=trusted)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
    return _Processor(images, tokenizer.batch_decode)


def _check_prompt(settings: CaptionSettings, kind: str, needed: bool) -> None:
    """Refuse a prompt that the model would not understand, and its absence where it must be asked.

    Raises
    ------
    ModelError
        The message says what to set.
    """
    if needed and not settings.prompt:
        example = "<CAPTION>" if kind == "florence2" else "Describe the image in one sentence."
        raise ModelError(f"{SECTION}.prompt is empty, but {settings.model} must be asked, such as `{example}`")
    if settings.prompt and kind in NO_PROMPT:
        raise ModelError(f"{SECTION}.prompt must be empty, since {settings.model} ({kind}) cannot be asked anything")

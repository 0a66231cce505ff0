"""Text to image by any pipeline of diffusers: Stable Diffusion, SDXL, Turbo and LCM, PixArt, Flux ..."""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from PIL import Image

from dnd.backends import hub
from dnd.backends.batches import BatchSize, in_batches
from dnd.backends.hub import ModelError
from dnd.backends.loading import device, loading, precision
from dnd.config.backends import SET_BY, GeneratorSettings

if TYPE_CHECKING:
    from diffusers import ConfigMixin

log = logging.getLogger(__name__)
BATCH = 20


class ImagesError(RuntimeError):
    """A model draws nothing that can be used; the message says what to set."""


class Drawn(NamedTuple):
    """A generated image.

    Attributes
    ----------
    image : RGB.
    problem : ``black``, every pixel is; ``flagged``, by the pipeline's own safety check; ``no such thing``, of renders,
        which know what they cannot show; None when all is well.
    """

    image: Image.Image
    problem: str | None


class Generator(Protocol):
    """What the images stage asks of a model."""

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Drawn]:
        """Return one image per prompt, each from its own seed."""


def load(settings: GeneratorSettings, section: str = "generator") -> Generator:
    """Return the generator that settings ask for: see :class:`DiffusersGenerator` for parameters and errors."""
    if settings.oracle:
        exact = import_module("dnd.shapeworld.oracle_images")  # by name: a change of it runs no other recipe again
        drawing: Generator = exact.Renderer(settings.prompt)
        return drawing
    return DiffusersGenerator(settings, section)


class DiffusersGenerator:
    """A text-to-image pipeline without safety checker, in batches of one fixed shape.

    Pixels depend on the shape of the batch (diffusers issue 2659), so that the last batch is filled up. The noise of
    each image is drawn on the CPU from its own seed.

    Parameters
    ----------
    section : where the settings are, for messages.

    Raises
    ------
    ModelError
        The pipeline is not there or draws no images from texts, or a scheduler or argument does not exist.
    """

    def __init__(self, settings: GeneratorSettings, section: str = "generator") -> None:
        from diffusers import DiffusionPipeline

        self.settings = settings
        self.section = section
        self.size = BatchSize(BATCH, "generator")
        trusted = settings.trust_remote_code
        scheduler = _scheduler(settings, section)
        layout = hub.PIPELINE.of_variant(settings.variant).with_code(trusted)
        folder = hub.folder(settings.model, settings.revision, layout)
        with loading(section, settings.model):
            parts = DiffusionPipeline.load_config(folder)
            unsafe = {"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in parts else {}
            pipeline = DiffusionPipeline.from_pretrained(
                folder,
                dtype=getattr(torch, precision(settings.dtype)),
                variant=settings.variant,
                use_safetensors=True,
                trust_remote_code=trusted,
                **unsafe,
            )
            if scheduler is not None:
                pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
        self.arguments = _arguments(type(pipeline), settings, section)
        pipeline.set_progress_bar_config(disable=True)
        if settings.offload and device().type == "cuda":
            pipeline.enable_model_cpu_offload()
        else:
            pipeline = pipeline.to(device())
        self.pipeline = pipeline

    @torch.inference_mode()
    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Drawn]:
        """Return one image per prompt.

        Raises
        ------
        ModelError
            The pipeline does not accept a setting's value.
        """
        asked = list(zip(prompts, seeds, strict=True))
        return [image for _, drawn in in_batches(asked, self.size, self._draw) for image in drawn]

    def _draw(self, asked: Sequence[tuple[str, int]], shape: int) -> list[Drawn]:
        filled = [*asked, *[("", 0)] * (shape - len(asked))]
        try:
            result = self.pipeline(
                prompt=[prompt for prompt, _ in filled],
                generator=[torch.Generator().manual_seed(seed) for _, seed in filled],
                **{name: _for_each(name, value, shape) for name, value in self.arguments.items()},
            )
        except (TypeError, ValueError) as error:  # of the pipeline's check of its inputs
            text = " ".join(str(error).split())
            raise ModelError(
                f"{self.section}: {self.settings.model} cannot draw with these settings: {text}"
            ) from error
        flagged = getattr(result, "nsfw_content_detected", None) or [False] * shape
        images = [image.convert("RGB") for image in result.images[: len(asked)]]
        return [Drawn(image, _problem(image, flag)) for image, flag in zip(images, flagged, strict=False)]


def _problem(image: Image.Image, flagged: bool) -> str | None:
    """What keeps an RGB image from being used."""
    if flagged:
        return "flagged"
    return "black" if image.getbbox() is None else None


def _for_each(name: str, value: object, images: int) -> object:
    """A text for all images as one for each, as pipelines want it beside a list of prompts."""
    return [value] * images if "prompt" in name and isinstance(value, str) else value


def _arguments(pipeline: type, settings: GeneratorSettings, section: str) -> dict[str, object]:
    """What a pipeline is called with, besides prompts and seeds.

    Raises
    ------
    ModelError
        Its class does not draw from a text, or takes no such argument as the settings have; the message names it.
    """
    known = inspect.signature(pipeline.__call__).parameters  # type: ignore[operator]
    if "prompt" not in known:
        raise ModelError(
            f"{section}.model: {settings.model} is a {pipeline.__name__}, which takes no prompt; expected a "
            "text-to-image pipeline"
        )
    for name in settings.arguments:
        if name in SET_BY:
            raise ModelError(f"{section}.arguments.{name}: it is set by {SET_BY[name]}")
        if name not in known:
            closest = difflib.get_close_matches(name, set(known) - {"self", *SET_BY}, 3, cutoff=0)
            raise ModelError(
                f"{section}.arguments.{name}: {pipeline.__name__} takes no such argument; the closest are "
                f"{', '.join(closest)}"
            )
    arguments: dict[str, object] = {"num_inference_steps": settings.steps, "guidance_scale": settings.guidance}
    if settings.size is not None:
        arguments |= {"height": settings.size, "width": settings.size}
    for name in [name for name in arguments if name not in known]:
        log.warning("%s takes no %s: %s has no effect", pipeline.__name__, name, SET_BY[name])
        del arguments[name]
    return arguments | settings.arguments


def _scheduler(settings: GeneratorSettings, section: str) -> type[ConfigMixin] | None:
    """The class of the scheduler that the settings name; None for the pipeline's own.

    Raises
    ------
    ModelError
        diffusers has none of that name.
    """
    import diffusers

    name = settings.scheduler
    if name is None:
        return None
    known = [kind for kind in dir(diffusers) if kind.endswith("Scheduler") and not kind.startswith("Flax")]
    if name not in known:
        closest = difflib.get_close_matches(name, known, 3, cutoff=0)
        raise ModelError(
            f"{section}.scheduler: diffusers has no scheduler {name!r}; the closest names are {', '.join(closest)}"
        )
    return getattr(diffusers, name)

"""Every stage that runs a vision model, beside the bare model on inputs that lie ready in memory."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.pairs import Case
from benchmarks.world import World
from dnd.backends import generator
from dnd.backends.captioner import TransformersCaptioner
from dnd.backends.embedder import Embedder, TransformersEmbedder, TransformersTextEmbedder
from dnd.backends.loading import precision
from dnd.candidates import captions
from dnd.io import pictures
from dnd.io.rows import Scales
from dnd.io.store import Store
from dnd.probe import pack
from dnd.selection import images, scores
from dnd.target import activations, exemplars
from dnd.target.network import Target

BATCH = 32
SCALES = Scales(36.2, -17.5)
"""Of the embedded embedder, by logistic regression on renders of stream 1."""
UNITS = range(16)
"""Whose exemplars are looked at, captioned and scored."""
VIEWS, CONCEPTS = 512, 4
BATCHES = (1, 5, 10, 20, 40)
"""Images that a bare pipeline is tried with at once."""


def cases(world: World) -> Iterator[Case]:
    """Yield one case after another, so that only its models are in memory."""
    yield activation_case(world, world.layers[-1:], 0.9)
    yield activation_case(world, world.layers, 0.85)
    yield exemplar_case(world)
    yield caption_case(world)
    yield generation_case(world)
    yield score_case(world)


def activation_case(world: World, layers: Sequence[str], least: float) -> Case:
    """One shard of the probe through the target, some layers watched."""
    target, shard, recipe = world.target(), world.probe[0], world.recipe
    controls = pack.controls(world.probe, recipe.controls)
    inputs = [target.preprocess.image(pictures.decode(row["image"])) for row in pictures.rows([shard])]

    def ours() -> pa.Table:
        wanted = {layer: layer for layer in layers}
        found = activations.run(
            target, wanted, shard, controls, pooling=recipe.pooling, k=recipe.exemplars.pool, batch=BATCH
        )
        return found[1]

    def agree(statistics: pa.Table, outputs: list[Tensor]) -> None:
        assert statistics["count"][0].as_py() == len(inputs) == sum(map(len, outputs))

    case = f"activations/{len(layers)}-layer" + "s" * (len(layers) > 1)
    return Case(case, "images/s", len(inputs), ours, _forwards(target.model, inputs), agree, least)


def exemplar_case(world: World) -> Case:
    """Images and attention crops of some units, ranked together."""
    target, top = world.target(), world.top(UNITS)
    settings, pooling = world.recipe.exemplars, world.recipe.pooling

    def ours() -> pa.Table:
        return exemplars.run(target, world.layer, top, world.probe, pooling=pooling, settings=settings, batch=BATCH)

    with _seen(target) as inputs:
        ours()

    def agree(found: pa.Table, outputs: list[Tensor]) -> None:
        assert len(found) == len(top) * settings.keep and sum(map(len, outputs)) == len(inputs)

    return Case("exemplars", "views/s", len(inputs), ours, _forwards(target.model, inputs), agree)


def caption_case(world: World) -> Case:
    """Captions of distinct exemplars."""
    settings, shown = world.recipe.captions, _distinct(world.exemplars(range(64)), VIEWS)
    captioner, seen = TransformersCaptioner(settings), _Images()

    def ours() -> list[str]:
        store = Store(tempfile.mkdtemp(dir=world.folder))  # removed with the world: that is no work of the stage
        return captions.run(captioner, shown, world.probe, settings, store)["caption"].to_pylist()

    captions.run(seen, shown, world.probe, settings, Store(tempfile.mkdtemp(dir=world.folder)))
    inputs = captioner._inputs(seen.images)["pixel_values"].to(captioner.device, captioner.dtype).split(BATCH)
    lengths = {"max_new_tokens": settings.max_new_tokens, "min_new_tokens": settings.min_length - 1}

    @torch.inference_mode()
    def bare() -> list[str]:
        tokens = [
            captioner.model.generate(pixel_values=part, do_sample=False, num_beams=1, **lengths) for part in inputs
        ]
        return [text for part in tokens for text in captioner.processor.batch_decode(part, skip_special_tokens=True)]

    def agree(found: list[str], expected: list[str]) -> None:
        assert found == expected

    return Case("captions", "captions/s", len(seen.images), ours, bare, agree, 0.9)


def generation_case(world: World) -> Case:
    """Images of concepts, beside the pipeline at the batch that is best for it."""
    settings = world.recipe.generator
    concepts = sorted({row.concept for row in world.concepts(range(64))})[:CONCEPTS]
    drawing = generator.DiffusersGenerator(settings)
    wanted = [(concept, sample) for concept in concepts for sample in range(settings.images)]
    prompts = [settings.prompt.format(concept=concept) for concept, _ in wanted]
    seeds = [images.seed_of(images.image_key(*one, settings)) for one in wanted]
    half = precision(settings.dtype) != "float32"

    def ours() -> list[bytes]:
        with tempfile.TemporaryDirectory() as store:
            return images.run(drawing, concepts, settings, Store(store))["image"].to_pylist()

    @torch.inference_mode()
    def bare(batch: int, count: int = len(wanted)) -> list[Image.Image]:
        found = []
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            noise = [torch.Generator().manual_seed(seed) for seed in seeds[part]]
            found += drawing.pipeline(prompt=prompts[part], generator=noise, **drawing.arguments).images
        return found

    def agree(found: list[bytes], expected: list[Image.Image]) -> None:
        pairs = zip(found, expected, strict=True)
        apart = [np.abs(np.asarray(Image.open(io.BytesIO(a)), float) - np.asarray(b)) for a, b in pairs]
        most = max(one.mean() if half else one.max() for one in apart)
        assert most <= 2, f"images differ by {most} of 255"  # of another batch's shape, in the last bits

    best = min((batch for batch in BATCHES if batch <= len(wanted)), key=lambda one: _seconds(partial(bare, one), one))
    return Case("generation", "images/s", len(wanted), ours, partial(bare, best), agree, 0.9)


def score_case(world: World) -> Case:
    """Candidates of some units: all images that the target and the embedder must see."""
    target, recipe, concepts = world.target(), world.recipe, world.concepts(UNITS)
    embedder, texts = TransformersEmbedder(recipe.embedder), TransformersTextEmbedder(recipe.embedder)
    shown = world.exemplars(UNITS).select(["unit", "rank", "image_id", "box"])

    def run(looking: Any) -> pa.Table:
        return scores.run(
            target,
            world.layer,
            looking,
            scores.DrawnShard(concepts, world.images, shown, world.topk, world.probe),
            pooling=recipe.pooling_of_views,
            weights=recipe.scores,
            texts=texts if recipe.scores.reads_probe else None,
            scales=SCALES,
        )

    seen = _Images(embedder.embed)
    with _seen(target) as inputs:
        run(seen)
    looked = embedder.processor(images=seen.images, return_tensors="pt")["pixel_values"].split(BATCH)
    own = _forwards(target.model, inputs)
    words = sorted({row.concept for row in concepts})

    @torch.inference_mode()
    def bare() -> list[Any]:
        found: list[Any] = own()
        for part in looked:
            found.append(embedder._vectors({"pixel_values": part.to(embedder.device, embedder.dtype)}).cpu())
        return [*found, texts.embed_texts(words)]

    def agree(found: pa.Table, outputs: list[Any]) -> None:
        assert {row["concept"] for row in concepts} <= set(found["concept"].to_pylist()) and outputs

    return Case("scores", "images/s", len(inputs) + len(seen.images), partial(run, embedder), bare, agree, 0.9)


class _Images(Embedder):
    """Stands in for a captioner or embedder, and keeps what it is shown."""

    def __init__(self, embed: Callable[[Sequence[Image.Image]], Any] | None = None) -> None:
        self.images: list[Image.Image] = []
        self._embed = embed

    def captions(self, images: Iterable[Image.Image]) -> Iterator[str]:
        for image in images:
            self.images.append(image)
            yield "seen"

    def embed(self, images: Sequence[Image.Image]) -> Any:
        assert self._embed is not None
        self.images += images
        return self._embed(images)


@contextmanager
def _seen(target: Target) -> Iterator[list[Tensor]]:
    """Inputs that a network is given while the context lasts, without what fills batches up."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor]) -> None:
        if len(args[0]) > 1:  # with one image, a target finds out how often its layers are called
            found.extend(one for one in args[0] if one.any())

    handle = target.model.register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        handle.remove()


def _forwards(model: nn.Module, inputs: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
    """What runs a network on inputs that lie on its device in batches."""
    first = next(model.parameters())
    batches = [part.to(first.device, first.dtype) for part in torch.stack(list(inputs)).split(BATCH)]

    @torch.inference_mode()
    def bare() -> list[Tensor]:
        return [model(part).cpu() for part in batches]

    return bare


def _distinct(shown: pa.Table, views: int) -> pa.Table:
    """Rows of so many different views."""
    known = pictures.places_of(shown)
    first = {place: number for number, place in reversed(list(enumerate(known)))}
    return shown.take(sorted(first.values())[:views])


def _seconds(work: Callable[[int], Any], batch: int) -> float:
    """Seconds per image of one batch, after a first."""
    work(batch)
    begun = time.perf_counter()
    work(batch)
    return (time.perf_counter() - begun) / batch

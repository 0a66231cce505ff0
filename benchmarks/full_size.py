"""The stages with models of real size: random weights, made from configurations, so that nothing is downloaded."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
import torchvision
from safetensors.torch import save_model
from torch import nn

from benchmarks import memory, stages
from benchmarks.pairs import Result, measure
from benchmarks.released import Driver
from benchmarks.sweep import LEAST
from benchmarks.world import ROOT, World
from dnd.backends.captioner import TransformersCaptioner
from dnd.backends.embedder import TransformersEmbedder, TransformersTextEmbedder
from dnd.backends.generator import DiffusersGenerator
from dnd.backends.loading import device
from dnd.candidates import captions
from dnd.config.recipes import Recipe
from dnd.config.targets import PreprocessSettings, TargetSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Concept, Scales
from dnd.io.store import Store
from dnd.probe import pack
from dnd.selection import images, scores
from dnd.target import activations, exemplars, sources
from dnd.target import topk as merging
from dnd.target.network import Target
from dnd.target.preprocess import Preprocess

IMAGES = 4096
CONTROLS = 256
WIDTH = 2048
"""Units of ``layer4``."""
DRIVEN = 5
"""Units that the driver describes."""
PREPROCESS = PreprocessSettings(size=memory.SIDE)
EMBEDDED = ROOT / "resources/shapeworld"
"""Whose tokenizers the models have."""


class FullSize(World):
    """ResNet-50, BLIP base, CLIP ViT-B/16 and Stable Diffusion 1.5, with candidates of the embedded sweep.

    The photographs are noise. Nobody asks a language model: units of ``layer4`` have the candidates of the units of
    that sweep, in their order, so that as many of them repeat.

    Parameters
    ----------
    candidates : of each unit; ``layer4`` has 2048.
    """

    layer = "layer4"
    layers = ("layer1", "layer2", "layer3", "layer4")

    def __init__(self, folder: Path, candidates: Sequence[Sequence[str]]) -> None:
        super().__init__(folder)
        self.candidates = candidates[:WIDTH]
        self.seconds: dict[str, float] = {}
        memory.write_probe(folder / "probe.parquet", IMAGES)
        torch.manual_seed(0)
        save_model(resnet(self.probe), str(folder / "resnet50.safetensors"))
        with torch.device(device()):
            blip(folder / "captioner")
            clip(folder / "embedder")
            stable_diffusion(folder / "generator")

    def target(self, model: str = "") -> Target:
        """Load the network from its file."""
        weights = str(self.folder / "resnet50.safetensors")
        settings = {"source": "torchvision", "factory": "resnet50", "weights": weights, "preprocess": PREPROCESS}
        return sources.load(TargetSettings(**settings))

    @cached_property
    def recipe(self) -> Recipe:
        """The demonstration's, with these models, and the defaults of the generator."""
        values = self.values["recipes"]["dnd"] | {"controls": CONTROLS}
        models = {part: {"model": str(self.folder / part)} for part in ("captioner", "generator", "embedder")}
        return Recipe(**values | {"captions": models.pop("captioner")} | models)

    @property
    def probe(self) -> list[Path]:  # type: ignore[override]
        """The one shard of the probe."""
        return [self.folder / "probe.parquet"]

    @property
    def topk(self) -> Path:  # type: ignore[override]
        """TOPK of the layer."""
        return self.folder / "topk.parquet"

    @property
    def images(self) -> list[Path]:
        """The one file of IMAGES."""
        return [self.folder / "images.parquet"]

    def exemplars(self, units: Sequence[int]) -> pa.Table:
        """EXEMPLARS of some units."""
        return tables.read(
            [self.folder / "exemplars.parquet"], schemas.EXEMPLARS, where=pc.field("unit").isin(list(units))
        )

    def concepts(self, units: Sequence[int] | None, name: str = "") -> list[Concept]:
        """CONCEPTS of some units, or of all."""
        return [
            Concept(name, "", unit, i, concept, 1, [], "captions")
            for unit in range(len(self.candidates))
            if units is None or unit in units
            for i, concept in enumerate(self.candidates[unit])
        ]

    def describe(self) -> pa.Table:
        """Return the SCORES of all units, whose stages run one after another, each with its models' loading."""
        units, recipe, folder = range(len(self.candidates)), self.recipe, self.folder
        with self._timed("activations"):
            controls = pack.controls(self.probe, recipe.controls)
            parts = [folder / f"{number}.parquet" for number in range(3)]
            kept = {"pooling": recipe.pooling, "k": recipe.kept}
            found = activations.run(self.target(), {self.layer: self.layer}, self.probe[0], controls, **kept)
            for path, table, schema in zip(parts, found, schemas.PARTS, strict=True):
                tables.write(path, table, schema)
            with tables.writing(self.topk, schemas.TOPK) as write:
                for rows in merging.merge(*([path] for path in parts), slug=self.layer, k=recipe.kept):
                    write(rows)
        with self._timed("exemplars"):
            looked = {"pooling": recipe.pooling, "settings": recipe.exemplars}
            shown = exemplars.run(self.target(), self.layer, self.top(units), self.probe, **looked)
            tables.write(folder / "exemplars.parquet", shown, schemas.EXEMPLARS)
        with self._timed("captions"):
            captioner, store = TransformersCaptioner(recipe.captions), Store(folder / "captions")
            captions.run(captioner, shown.select(["image_id", "box"]), self.probe, recipe.captions, store)
            del captioner
        asked = self.concepts(units)
        with self._timed("images"):
            generator, wanted = DiffusersGenerator(recipe.generator), {row.concept for row in asked}
            drawn = images.run(generator, wanted, recipe.generator, Store(folder / "images"))
            tables.write(self.images[0], drawn, schemas.IMAGES)
            del generator
        with self._timed("scores"):
            embedder, texts = TransformersEmbedder(recipe.embedder), TransformersTextEmbedder(recipe.embedder)
            return scores.run(
                self.target(),
                self.layer,
                embedder,
                scores.DrawnShard(
                    asked, self.images, shown.select(["unit", "rank", "image_id", "box"]), self.topk, self.probe
                ),
                pooling=recipe.pooling_of_views,
                weights=recipe.scores,
                texts=texts,
                scales=Scales(30.0, -8.0),  # which they are changes no time
            )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - begun
        print(f"{stage}: {self.seconds[stage]:.1f} s", flush=True)


def typical(candidates: Sequence[Sequence[str]]) -> list[int]:
    """Return some units whose numbers of candidates are spread as those of all: the middles of equal parts."""
    order = sorted(range(len(candidates)), key=lambda unit: (len(candidates[unit]), unit))
    parts = min(DRIVEN, len(order))
    return [order[(2 * part + 1) * len(order) // (2 * parts)] for part in range(parts)]


def end_to_end(world: FullSize) -> tuple[Result, dict[str, Any]]:
    """Describe all units, and some by the released driver; return units per second, and what there is to tell."""
    world.describe()
    released, each = Driver(world), []
    for unit in typical(world.candidates):
        begun = time.perf_counter()
        released.describe(unit)
        each.append(time.perf_counter() - begun)
        print(f"driver: {each[-1]:.1f} s for {len(world.candidates[unit])} candidates", flush=True)
    count, seconds = len(world.candidates), sum(world.seconds.values())
    per_image = world.recipe.generator.images if world.recipe.generator else 0
    told = {
        "units": count,
        "seconds": world.seconds,
        "driver": each,
        "images needed": per_image * sum(map(len, world.candidates)),
        "images drawn": per_image * len({concept for own in world.candidates for concept in own}),
    }
    rate = count / seconds
    one = statistics.mean(each)  # of units with one and with several candidates
    return Result("end to end", rate, 1 / one, "units/s", rate * one, len(each), LEAST), told


def results(folder: Path, candidates: Sequence[Sequence[str]], repeats: int, told: dict[str, Any]) -> Iterator[Result]:
    """Yield every result, and add to ``told`` what else there is to tell."""
    world = FullSize(folder, candidates)
    whole, told["end to end"] = end_to_end(world)
    yield whole
    for case in stages.cases(world):
        yield measure(case, repeats)


def resnet(shards: Sequence[Path]) -> nn.Module:
    """Return a ResNet-50 whose batch norms know images of a probe; without, units of ``layer4`` are dead."""
    network, preprocess = torchvision.models.resnet50(), Preprocess(PREPROCESS)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    seen = [preprocess.image(pictures.decode(row["image"])) for row in islice(pictures.rows(shards), 32)]
    with torch.no_grad():
        network.train().to(device())(torch.stack(seen).to(device()))
    return network.eval()


def blip(folder: Path) -> None:
    """Write a BLIP of the size of ``Salesforce/blip-image-captioning-base``."""
    from transformers import AutoTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED / "captioner")
    special = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id, "pad_token_id": 0}
    config = BlipConfig(text_config={"vocab_size": 30524, **special})
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 384, "width": 384}), tokenizer).save_pretrained(folder)


def clip(folder: Path) -> None:
    """Write a CLIP of the size of ``openai/clip-vit-base-patch16``."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED / "embedder")
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {"vocab_size": 49408, "max_position_embeddings": 77, **ends}
    CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 16})).save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)


def stable_diffusion(folder: Path) -> None:
    """Write a pipeline of the size of Stable Diffusion 1.5."""
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

    width = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    down = ["DownEncoderBlock2D"] * 4
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            down_block_types=down,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        ),
        text_encoder=CLIPTextModel(CLIPTextConfig(**width)),
        tokenizer=AutoTokenizer.from_pretrained(EMBEDDED / "generator/tokenizer", model_max_length=77),
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        scheduler=DPMSolverMultistepScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)

"""The stages with models of real size: random weights, made from configurations, so that nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

import dnd.torchvision_ops  # noqa: F401  before torchvision

# isort: split
import torchvision

from benchmarks import memory, stages
from benchmarks.pairs import Case
from benchmarks.world import ROOT
from dnd import schemas, tables
from dnd.backends.loading import device
from dnd.preprocess import Preprocess
from dnd.recipes import Recipe
from dnd.subjects import PreprocessSettings
from dnd.targets import Target

IMAGES = 4096
LAYERS = ("layer1", "layer2", "layer3", "layer4")
WORLD = ROOT / "resources/shapeworld"


class FullSize:
    """Gives the cases of ``stages`` a ResNet-50, BLIP base and Stable Diffusion 1.5, and photographs of noise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        memory.write_probe(folder / "probe.parquet", IMAGES)
        self.probe = [folder / "probe.parquet"]

    @cached_property
    def recipe(self) -> Recipe:
        """The defaults, with these models."""
        return Recipe(
            captions={"model": blip(self.folder / "captioner"), "dtype": "auto"},
            concepts={"prompt": str(ROOT / "config/prompts/concept.yaml")},
            generator={"model": stable_diffusion(self.folder / "generator")},
            embedder={"model": str(WORLD / "embedder")},
        )

    def target(self) -> Target:
        """Return the network that is looked at."""
        network = torchvision.models.resnet50().eval().to(device())
        return Target(network, Preprocess(PreprocessSettings(size=memory.SIDE)), device())

    def exemplars(self, units: Sequence[int]) -> pa.Table:
        """Return rows that show whole images."""
        names = tables.read(self.probe, schemas.PROBE, ["image_id"])["image_id"].to_pylist()
        empty = dict.fromkeys(schemas.EXEMPLARS.names)
        rows = [empty | {"unit": i, "rank": 0, "image_id": name, "activation": 0.0} for i, name in enumerate(names)]
        return tables.table(rows, schemas.EXEMPLARS)

    def concepts(self, units: Sequence[int]) -> list[dict[str, Any]]:
        """Return things to draw."""
        return [{"concept": concept} for concept in ("red circle", "striped fur", "sky", "wheel")]


def cases(folder: Path) -> Iterator[Case]:
    """Yield the cases."""
    world: Any = FullSize(folder)
    yield stages.activation_case(world, LAYERS[-1:], 0.9)
    yield stages.activation_case(world, LAYERS, 0.85)
    yield stages.caption_case(world)
    yield stages.generation_case(world)


def blip(folder: Path) -> str:
    """Write a BLIP of the size of ``Salesforce/blip-image-captioning-base``, and return the folder."""
    from transformers import AutoTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    tokenizer = AutoTokenizer.from_pretrained(WORLD / "captioner")
    special = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id, "pad_token_id": 0}
    config = BlipConfig(text_config={"vocab_size": 30524, **special})
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 384, "width": 384}), tokenizer).save_pretrained(folder)
    return str(folder)


def stable_diffusion(folder: Path) -> str:
    """Write a pipeline of the size of Stable Diffusion 1.5, and return the folder."""
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
        tokenizer=AutoTokenizer.from_pretrained(WORLD / "generator/tokenizer", model_max_length=77),
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        scheduler=DPMSolverMultistepScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder)
    return str(folder)

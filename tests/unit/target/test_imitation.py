"""Inputs as publishers' own code makes them, over all image processors of transformers and configurations of timm."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image

from dnd.target import sources
from dnd.target.imitation import Inimitable, imitated
from dnd.target.preprocess import Preprocess
from dnd.target.sources import _of_timm
from dnd.target.transformers_models import _of_transformers

DOCS = Path(__file__).parents[3] / "docs"
page = runpy.run_path(str(DOCS / "image_processors.py"))
FOUR_LEVELS = 4 / 255
"""What a pixel's place may change of these pictures, and rounding."""


def photograph(width, height, seed=7):
    spots = np.random.default_rng(seed).integers(0, 256, (height // 60, width // 60, 3), np.uint8)
    return Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC)


def compare(settings, transform):
    """Assert that both make the same of a lying, an upright and a square picture."""
    scale = torch.tensor(settings.std)[:, None, None]
    for width, height in ((600, 450), (330, 510), (240, 240)):
        picture = photograph(width, height)
        ours, theirs = Preprocess(settings).image(picture), transform(picture)
        assert ours.shape == theirs.shape
        assert ((ours - theirs) * scale).abs().mean() < FOUR_LEVELS


def inputs(processor):
    def prepare(picture):
        made = processor(images=picture, return_tensors="pt")
        return (made if isinstance(made, torch.Tensor) else made["pixel_values"])[0]  # Idefics' makes a tensor

    return prepare


PUBLISHED = {
    "LeViT": transformers.LevitImageProcessor(),
    "PoolFormer": transformers.PoolFormerImageProcessor(),
    "PoolFormer M48": transformers.PoolFormerImageProcessor(crop_pct=0.95),
    "MobileViT": transformers.MobileViTImageProcessor(
        size={"shortest_edge": 288}, crop_size={"height": 256, "width": 256}
    ),
    "PP-LCNet": transformers.PPLCNetImageProcessor(),
    "EfficientNet": transformers.EfficientNetImageProcessor(
        size={"height": 64, "width": 64}, rescale_offset=True, rescale_factor=1 / 127.5, include_top=True
    ),
    "pixels to 255": transformers.ViTImageProcessor(do_rescale=False),
    "twice as bright": transformers.ViTImageProcessor(rescale_factor=1 / 127.5),
    "not normalised": transformers.BeitImageProcessor(do_normalize=False),
    "neither normalised nor with a mean": transformers.ViTImageProcessor(
        do_normalize=False, image_mean=None, image_std=None
    ),
    "one mean for all bands": transformers.CLIPImageProcessor(image_mean=0.4, image_std=0.2),
    "DETR, squashed": transformers.DetrImageProcessor(size={"height": 64, "width": 80}, do_pad=False),
    "Janus": transformers.JanusImageProcessor(),
    "Depth Anything, squashed": transformers.DPTImageProcessor(size={"height": 98, "width": 126}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_inputs_are_those_of_the_image_processor(name):
    compare(_of_transformers(PUBLISHED[name]), inputs(PUBLISHED[name]))


def test_settings_read_from_inputs():
    settings = _of_transformers(PUBLISHED["MobileViT"])
    assert (settings.size, settings.fit, settings.resize, settings.channels) == ((256, 256), "crop", 288, "bgr")
    assert settings.mean == (0, 0, 0) and settings.std == (1, 1, 1)
    settings = _of_transformers(PUBLISHED["LeViT"])
    assert (settings.size, settings.fit, settings.resize, settings.channels) == ((224, 224), "crop", 256, "rgb")
    assert settings.mean == (0.485, 0.456, 0.406) and settings.std == (0.229, 0.224, 0.225)
    assert settings.interpolation == "bicubic"


@pytest.mark.parametrize(
    ("processor", "reason"),
    [
        (
            transformers.DPTImageProcessor(
                size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14
            ),
            "its DPTImageProcessor makes inputs of several shapes",
        ),
        (transformers.YolosImageProcessor(), "its YolosImageProcessor makes inputs of several shapes"),
        (transformers.ViTImageProcessor(do_resize=False), "its ViTImageProcessor makes inputs of several shapes"),
        (transformers.SamImageProcessor(), "its SamImageProcessor does more than"),
        (transformers.PerceiverImageProcessor(), "its PerceiverImageProcessor does more than"),
        (transformers.LlavaImageProcessor(do_pad=True), "its LlavaImageProcessor does more than"),
        (transformers.LlavaNextImageProcessor(), r"its LlavaNextImageProcessor makes inputs \[1, "),
        (transformers.VitPoseImageProcessor(), "its VitPoseImageProcessor takes no image alone"),
        (transformers.FuyuImageProcessor(), "its FuyuImageProcessor makes images, .* of an image, not pixel_values"),
        (transformers.VideoLlavaImageProcessor(), "its VideoLlavaImageProcessor makes pixel_values_images of an image"),
        (
            transformers.ImageGPTImageProcessor(clusters=[[-1.0, 0, 0], [0, 1.0, 0]]),
            "its ImageGPTImageProcessor makes input_ids of an image, not pixel_values",
        ),
        (
            transformers.ViTImageProcessor(image_mean=None, image_std=None),
            "its ViTImageProcessor takes no image alone: .*`image_mean` and `image_std` must both be specified",
        ),
        (
            transformers.BeitImageProcessor(image_std=[0.5, 0, 0.5]),
            "its BeitImageProcessor makes no numbers of black or white",
        ),
    ],
)
def test_what_cannot_be_said_in_settings_is_refused(processor, reason):
    with pytest.raises(Inimitable, match=f"^{reason}") as caught:
        _of_transformers(processor)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["tensor", "array", "list"])
def test_what_a_processor_returns_may_be_of_any_kind(kind):
    """Idefics' returns a tensor alone, a repository's own code what it likes."""

    class Strange(transformers.ViTImageProcessor):
        def __call__(self, images, return_tensors):
            made = super().__call__(images, return_tensors="np")["pixel_values"]
            if kind == "tensor":
                return torch.from_numpy(made)
            return {"pixel_values": made if kind == "array" else made.tolist()}

    processor = Strange(size={"height": 24, "width": 24})
    compare(_of_transformers(processor), inputs(transformers.ViTImageProcessor(size={"height": 24, "width": 24})))


def test_processor_with_resizing_of_its_own_is_not_taken_for_another():
    """As of a repository's own code, whose keys say nothing."""

    def flipped(picture):
        return torch.from_numpy(np.array(picture.resize((32, 32)))[:, ::-1].copy()).permute(2, 0, 1) / 255

    with pytest.raises(Inimitable, match=r"^a stranger does more than"):
        imitated(flipped, "a stranger")


def test_grey_inputs_have_one_channel():
    def grey(picture):
        pixels = np.array(picture.convert("L").resize((40, 40), Image.Resampling.BICUBIC), np.float32)
        return torch.from_numpy((pixels / 255 - 0.25) / 0.5)[None]

    settings = imitated(grey, "a stranger")
    assert settings.mean == (0.25,) and settings.std == (0.5,)
    compare(settings, grey)


@pytest.mark.slow
def test_every_image_processor_of_transformers_is_imitated_or_refused():
    processors = page["processors"]()
    assert len(processors) > 100
    outcomes = {name: page["outcome"](processor) for name, processor in processors.items()}
    for name, settings in outcomes.items():
        if isinstance(settings, str):
            assert settings.startswith(f"its {name} ") and "\n" not in settings
        else:
            compare(settings, inputs(processors[name]))
    assert page["table"](outcomes) in (DOCS / "models.md").read_text(), "run `python docs/image_processors.py`"


def published_by_timm():
    """A network's name for each way in which timm's published configurations prepare images."""
    configs = {}
    for name in timm.list_pretrained():
        config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
        configs.setdefault(str(sorted(config.items())), (name, config))
    return dict(configs.values())


@pytest.mark.slow
def test_every_configuration_of_timm_is_imitated_or_refused():
    refused = []
    for name, config in published_by_timm().items():
        try:
            settings = _of_timm(config)
        except Inimitable as error:
            assert str(error).startswith("timm makes")
            refused.append(name)
            continue
        transform = timm.data.create_transform(**config, is_training=False)
        if settings.fit == "letterbox":  # a border may lie one pixel apart
            compare(settings, transform)
        else:
            picture = photograph(600, 450)
            torch.testing.assert_close(Preprocess(settings).image(picture), transform(picture), rtol=0, atol=1e-5)
    assert refused == [name for name, config in published_by_timm().items() if config["crop_pct"] > 1]


@pytest.mark.parametrize("name", ["volo_d4_448", "volo_d5_512"])
def test_padding_of_timm_is_refused_in_a_sentence(name):
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    with pytest.raises(Inimitable, match=r"^timm makes the shorter side of images (389|445) pixels long and pads it"):
        sources._of_timm(config)

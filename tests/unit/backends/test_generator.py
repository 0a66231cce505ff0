"""Tiny pipelines of every family of generators: the right class is loaded, and an image depends on prompt and seed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_pipelines
import torch
from tiny_models import one_thread  # noqa: F401

from dnd.backends.generator import BATCH, DiffusersGenerator
from dnd.backends.hub import ModelError
from dnd.config.backends import GeneratorSettings

PROMPTS = ["red stars", "word1", "grass", "word3", "this is"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function that builds a family's pipeline, once."""
    made = {}

    def build(family):
        if family not in made:
            made[family] = getattr(tiny_pipelines, family)(tmp_path_factory.mktemp(family))
        return made[family]

    return build


def generator(model, items=3, **settings):
    found = DiffusersGenerator(GeneratorSettings(model=str(model), **{"steps": 2, **settings}))
    found.size.items = items
    return found


def pixels(drawn):
    return [np.asarray(one.image) for one in drawn]


def same(found, expected):
    return [np.array_equal(one, other) for one, other in zip(found, expected, strict=True)]


@pytest.mark.parametrize(
    ("family", "pipeline", "scheduler", "settings"),
    [
        ("stable_diffusion", "StableDiffusionPipeline", "PNDMScheduler", {}),
        ("stable_diffusion", "StableDiffusionPipeline", "LCMScheduler", {"scheduler": "LCMScheduler"}),
        ("stable_diffusion_xl", "StableDiffusionXLPipeline", "EulerDiscreteScheduler", {"guidance": 0.0}),
        (
            "pixart",
            "PixArtAlphaPipeline",
            "DPMSolverMultistepScheduler",
            {"arguments": {"use_resolution_binning": False}},  # its bins begin at 256 pixels
        ),
        ("flux", "FluxPipeline", "FlowMatchEulerDiscreteScheduler", {"size": 32, "guidance": 3.5}),
    ],
)
def test_an_image_depends_on_its_prompt_and_seed_alone(folder, family, pipeline, scheduler, settings):
    one = generator(folder(family), **settings)
    assert type(one.pipeline).__name__ == pipeline
    assert type(one.pipeline.scheduler).__name__ == scheduler
    together = pixels(one.draw(PROMPTS, range(5)))
    assert {image.shape for image in together} == {(32, 32, 3)}
    assert all(same([pixels(one.draw([PROMPTS[i]], [i]))[0] for i in (0, 4)], [together[0], together[4]]))
    assert all(same(pixels(one.draw(PROMPTS[::-1], range(4, -1, -1))), together[::-1]))
    assert not any(same(pixels(one.draw(PROMPTS, range(1, 6))), together))
    assert not any(same(pixels(one.draw(["red"] * 5, range(5))), together))


def test_the_safety_checker_is_left_behind(folder):
    index = json.loads(Path(folder("stable_diffusion"), "model_index.json").read_text())
    assert index["safety_checker"][1] == "StableDiffusionSafetyChecker"
    one = generator(folder("stable_diffusion"))
    assert one.pipeline.safety_checker is None
    assert [drawn.problem for drawn in one.draw(["red stars"], [0])] == [None]


def test_images_that_a_pipeline_flags_all_the_same_have_a_problem(folder):
    one = generator(folder("stable_diffusion"))
    checker = tiny_pipelines.safety_checker()
    checker.concept_embeds_weights.fill_(-2.0)  # every image is nearer to every concept than that
    one.pipeline.safety_checker = checker
    assert [drawn.problem for drawn in one.draw(PROMPTS, range(5))] == ["flagged"] * 5


def test_numbers_that_overflow_give_black_images_which_have_a_problem(folder):
    one = generator(folder("stable_diffusion"))
    with torch.no_grad():
        one.pipeline.vae.decoder.conv_out.weight.fill_(torch.inf)
    drawn = one.draw(PROMPTS[:2], range(2))
    assert [image.max() for image in pixels(drawn)] == [0, 0]
    assert [one.problem for one in drawn] == ["black"] * 2


def test_size_and_precision_are_the_settings(folder):
    model = folder("stable_diffusion")
    assert generator(model, size=48).draw(["red"], [0])[0].image.size == (48, 48)
    assert generator(model).pipeline.unet.dtype == torch.float32  # `auto` on a CPU
    assert generator(model, dtype="bfloat16").pipeline.unet.dtype == torch.bfloat16
    assert DiffusersGenerator(GeneratorSettings(model=model, offload=True)).size.items == BATCH


def test_steps_guidance_and_further_arguments_reach_the_pipeline(folder):
    def draw(**settings):
        return pixels(generator(folder("stable_diffusion"), **settings).draw(PROMPTS[:2], [0, 1]))

    plain = draw()
    for change in (
        {"steps": 3},
        {"guidance": 1.0},
        {"arguments": {"negative_prompt": "grass"}},
        {"arguments": {"guidance_rescale": 0.7}},
    ):
        assert not any(same(draw(**change), plain)), change
    assert all(same(draw(arguments={"negative_prompt": ""}), plain))


def test_a_variant_of_the_weights_is_loaded(folder, tmp_path):
    shutil.copytree(folder("stable_diffusion"), tmp_path / "model")
    for file in [*(tmp_path / "model").rglob("*.safetensors")]:
        if file.parent.name != "vae":  # which has no variant
            file.rename(file.with_suffix(f".fp16{file.suffix}"))
    plain = pixels(generator(folder("stable_diffusion")).draw(["red"], [0]))
    assert all(same(pixels(generator(tmp_path / "model", variant="fp16").draw(["red"], [0])), plain))
    with pytest.raises(ModelError, match=r"^generator: model .*model: .*no file named"):
        generator(tmp_path / "model")
    with pytest.raises(ModelError, match=r"^generator: model .*model: .*`variant=bf16`"):
        generator(tmp_path / "model", variant="bf16")

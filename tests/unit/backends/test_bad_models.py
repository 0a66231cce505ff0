"""Models that cannot be used: one clear sentence that names the setting and the model, before any work is done."""

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import tiny_pipelines
import torch
from harmful import plant
from safetensors.torch import load_file, save_file
from tiny_models import one_thread  # noqa: F401

from dnd.backends.captioner import TransformersCaptioner
from dnd.backends.embedder import TransformersEmbedder, TransformersTextEmbedder
from dnd.backends.generator import DiffusersGenerator
from dnd.backends.hub import ModelError
from dnd.config.backends import CaptionSettings, EmbedderSettings, GeneratorSettings
from dnd.config.evaluation import SentenceSettings
from dnd.evaluation.sentences import SentenceEncoder
from dnd.io.store import Store
from dnd.selection import images

MODELS = Path(__file__).parents[3] / "resources" / "shapeworld"


def caption(model):
    TransformersCaptioner(CaptionSettings(model=str(model)))


def embed(model):
    TransformersEmbedder(EmbedderSettings(model=str(model)))


def embed_text(model):
    TransformersTextEmbedder(EmbedderSettings(model=str(model)))


def embed_sentences(model):
    SentenceEncoder(SentenceSettings(model=str(model)))


def draw(model, **settings):
    return DiffusersGenerator(GeneratorSettings(model=str(model), steps=2, **settings), "recipes.mine.generator")


@pytest.fixture
def copied(tmp_path):
    """Return a function that copies one of the embedded models into a folder that may be spoilt."""

    def copy(name):
        shutil.copytree(MODELS / name, tmp_path / name)
        return tmp_path / name

    return copy


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return tiny_pipelines.stable_diffusion(tmp_path_factory.mktemp("pipeline"))


def message(call, *arguments, **named):
    with pytest.raises(ModelError) as error:
        call(*arguments, **named)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("use", "name", "section"), [(caption, "captioner", "captions"), (embed, "embedder", "embedder")]
)
def test_weights_that_are_missing_or_pickled(copied, use, name, section):
    model = copied(name)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert message(use, model).startswith(f"{section}: model {model}: Error no file named model.safetensors found")


@pytest.mark.parametrize(
    ("use", "name"),
    [(caption, "captioner"), (embed, "embedder"), (embed_text, "embedder"), (embed_sentences, "sentences")],
)
@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_weights_do_not_run(copied, tmp_path, use, name, weights):
    model = copied(name)
    (model / "model.safetensors").unlink()
    plant(model / weights, tmp_path / "it ran")
    assert str(model) in message(use, model)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    ("part", "weights"),
    [
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
        ("safety_checker", "model"),
    ],
)
def test_pickled_weights_of_a_pipeline_do_not_run(pipeline, tmp_path, part, weights):
    model = shutil.copytree(pipeline, tmp_path / "mine")
    (model / part).mkdir(exist_ok=True)
    (model / part / f"{weights}.safetensors").unlink(missing_ok=True)
    for name in (f"{weights}.bin", "pytorch_model.bin"):
        plant(model / part / name, tmp_path / "it ran")
    if part == "safety_checker":  # it is left behind
        draw(model)
    else:
        assert str(model) in message(draw, model)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize("place", ["pipeline.py", "unet/own.py"])
def test_code_in_a_pipeline_s_folder_does_not_run(pipeline, tmp_path, place):
    model = shutil.copytree(pipeline, tmp_path / "mine")
    (model / place).write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')\nclass Own:\n    pass\n")
    index = json.loads((model / "model_index.json").read_text())
    changed = {"unet": ["own", "Own"]} if place == "unet/own.py" else {"_class_name": ["pipeline", "Own"]}
    (model / "model_index.json").write_text(json.dumps(index | changed))
    assert str(model) in message(draw, model)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    ("use", "name", "section"), [(caption, "captioner", "captions"), (embed, "embedder", "embedder")]
)
def test_weights_that_are_damaged(copied, use, name, section):
    model = copied(name)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert message(use, model).startswith(f"{section}: model {model}: ")
    assert "incomplete" in message(use, model)


def test_weights_of_another_model_or_of_a_part(copied):
    model = copied("captioner")
    weights = load_file(model / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("text_decoder")}
    save_file(kept, model / "model.safetensors", {"format": "pt"})
    said = message(caption, model)
    assert said.startswith(f"captions: model {model}: its files lack ")
    assert said.endswith(
        " weights, such as text_decoder.bert.embeddings.LayerNorm.bias: they are of another kind of model"
    )


def test_a_folder_without_a_configuration(tmp_path):
    assert message(caption, tmp_path) == (
        f"captions: model {tmp_path}: Unrecognized model in {tmp_path}. Should have a `model_type` key in its "
        "config.json."
    )
    assert message(embed, tmp_path) == f"embedder: model {tmp_path} has no preprocessor_config.json: it sees no images"
    assert message(draw, tmp_path) == (
        f"recipes.mine.generator: model {tmp_path}: Error no file named model_index.json found in directory {tmp_path}."
    )


def test_a_language_model_sees_no_images():
    model = MODELS / "summariser"
    assert message(embed, model) == f"embedder: model {model} has no preprocessor_config.json: it sees no images"
    assert message(caption, model).startswith(f"captions: model {model} is LlamaForCausalLM, which writes no captions;")


def test_a_pipeline_that_draws_without_a_text(tmp_path):
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )
    diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler()).save_pretrained(tmp_path)
    assert message(draw, tmp_path) == (
        f"recipes.mine.generator.model: {tmp_path} is a DDPMPipeline, which takes no prompt; expected a text-to-image "
        "pipeline"
    )


def test_a_scheduler_that_does_not_exist(pipeline):
    assert message(draw, pipeline, scheduler="DPMSolverMultiStepScheduler") == (
        "recipes.mine.generator.scheduler: diffusers has no scheduler 'DPMSolverMultiStepScheduler'; the closest names "
        "are DPMSolverMultistepScheduler, EDMDPMSolverMultistepScheduler, CosineDPMSolverMultistepScheduler"
    )


def test_arguments_that_the_pipeline_does_not_take(pipeline):
    assert message(draw, pipeline, arguments={"negative_promt": "grass"}).startswith(
        "recipes.mine.generator.arguments.negative_promt: StableDiffusionPipeline takes no such argument; the closest "
        "are negative_prompt, "
    )
    assert message(draw, pipeline, arguments={"height": 64}) == (
        "recipes.mine.generator.arguments.height: it is set by `size`"
    )


def test_a_value_that_the_pipeline_does_not_take(pipeline):
    assert message(draw(pipeline, size=33).draw, ["red"], [0]) == (
        f"recipes.mine.generator: {pipeline} cannot draw with these settings: `height` and `width` have to be "
        "divisible by 8 but are 33 and 33."
    )


def test_a_class_of_a_pipeline_that_does_not_exist(pipeline, tmp_path):
    shutil.copytree(pipeline, tmp_path / "new")
    index = tmp_path / "new/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "StableDiffusion9Pipeline"}))
    assert message(draw, tmp_path / "new").startswith(f"recipes.mine.generator: model {tmp_path}/new: ")
    assert "StableDiffusion9Pipeline" in message(draw, tmp_path / "new")


def test_a_generator_whose_numbers_overflow(pipeline, tmp_path):
    """As in half precision, from the first image to the stage's error."""
    generator = draw(pipeline)
    with torch.no_grad():
        generator.pipeline.vae.decoder.conv_out.weight.fill_(torch.inf)
    settings = GeneratorSettings(model=pipeline, steps=2, images=5, dtype="float16")
    with pytest.raises(images.ImagesError) as error:
        images.run(generator, ["red stars", "grass"], settings, Store(tmp_path), section="recipes.mine.generator")
    assert str(error.value) == (
        f"recipes.mine.generator: all 10 images that {pipeline} drew are black: half precision overflows in it; "
        "set recipes.mine.generator.dtype: float32 (or bfloat16)"
    )
    assert not any(path.is_file() for path in tmp_path.rglob("*"))

"""The networks and models that config/examples names: every class, layer and argument is there; nothing is downloaded.

Networks have their real size, on the meta device. ``hub/models.json`` holds what says of a hub's model which class it
is: lines of its ``config.json`` or ``model_index.json``.
"""

import inspect
import json
import re
from functools import cache
from pathlib import Path

import diffusers
import numpy as np
import pytest
import python2_checkpoint
import timm
import torch
import transformers
import yaml
from PIL import Image
from torchvision import models as torchvision_models

from dnd.config import layer_table
from dnd.config.backends import LlmSettings
from dnd.config.recipes import Recipe
from dnd.config.targets import TargetSettings
from dnd.target import sources

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "config/examples"
HUB = json.loads((Path(__file__).parent / "hub/models.json").read_text())
VLLM = next(ROOT.glob(".venv-vllm/lib/python3*/site-packages/vllm"), Path("no vllm"))
NETWORKS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(EXAMPLES.glob("*.yaml"))}
RECIPES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((EXAMPLES / "recipes").glob("*.yaml"))}
DRAWING = [name for name, recipe in RECIPES.items() if recipe["recipes"]["dnd"]["generator"] is not None]
TARGETS = {
    name: TargetSettings.model_validate(target)
    for network in NETWORKS.values()
    for name, target in network["models"].items()
}
TABLE = [line.split("\t") for line in (EXAMPLES / "layers.tsv").read_text().splitlines()[1:]]
ASKED = {
    (model, layer)
    for name in NETWORKS
    for _, model, layers, *_ in [line.split("\t") for line in (EXAMPLES / f"{name}.tsv").read_text().splitlines()[1:]]
    for layer in layers.split(",")
}
VISION_TOWERS = {"CLIPModel": "CLIPVisionModel"}


def config_of(hub_id, **changes):
    values = {**HUB[hub_id], **changes}
    return transformers.AutoConfig.for_model(values.pop("model_type"), **values)


def architecture(hub_id):
    return HUB[hub_id]["architectures"][0]


def recipe_of(name):
    return Recipe.model_validate(RECIPES[name]["recipes"]["dnd"])


def llm_of(name):
    return LlmSettings.model_validate(RECIPES[name]["llm"])


def built(settings):
    """A target network without weights, and the side of its input."""
    match settings.source:
        case "torchvision":
            return torchvision_models.get_model(settings.factory, weights=None, **settings.arguments), 224
        case "timm":
            return timm.create_model(settings.factory, pretrained=False, **settings.arguments), 224
        case "python":
            file, _, function = settings.factory.rpartition(":")
            names = {"__name__": "example"}
            exec(compile((ROOT / file).read_text(), file, "exec"), names)
            return names[function](**settings.arguments), settings.preprocess.size
    config = config_of(settings.factory)
    name = VISION_TOWERS.get(architecture(settings.factory), architecture(settings.factory))
    return getattr(transformers, name)(getattr(config, "vision_config", config)), 224


def channels(shape):
    """How many channels an output for one image has: the axis that is not one of two equal sides, or the last."""
    if len(shape) == 4:
        return shape[1] if shape[2] == shape[3] else shape[3]
    return shape[-1]


@cache
def units_of(model):
    """Module -> units, of every module of a network that returns a tensor when it sees an image."""
    settings, found = TARGETS[model], {}
    with torch.device("meta"), torch.inference_mode():
        network, side = built(settings)
        for name, module in network.eval().named_modules():
            if name:
                module.register_forward_hook(lambda module, inputs, output, name=name: found.update({name: output}))
        network(torch.empty(1, 3, side, side))
    tensors = {name: output.shape for name, output in found.items() if isinstance(output, torch.Tensor)}
    if settings.basis is None:
        return {name: channels(shape) for name, shape in tensors.items()}
    if settings.basis.kind == "heads":
        attentions = {name: one.num_heads for name, one in network.named_modules() if hasattr(one, "num_heads")}
        return {f"{name}.out_proj": heads for name, heads in attentions.items()}
    return dict.fromkeys(tensors, 65_536)  # of a file of the user's; the example says so


@pytest.mark.parametrize("model", TARGETS)
def test_the_table_of_layers_is_that_of_the_network(model):
    units = units_of(model)
    rows = {layer: int(count) for name, layer, _, count in TABLE if name == model}
    assert rows
    assert rows == {layer: units.get(layer) for layer in rows}
    for layer in (layer for name, layer in ASKED if name == model):
        named = layer_table.matching(layer, units)
        assert named
        assert layer_table.matching(layer, rows) == named  # a pattern stands for every layer that it fits


def test_no_row_of_the_table_is_left_over():
    assert {model for model, *_ in TABLE} == set(TARGETS)
    assert len({(model, slug) for model, _, slug, _ in TABLE}) == len(TABLE)


def test_the_autoencoder_reads_a_layer_as_wide_as_its_file_is_said_to_be():
    assert units_of("clip")["encoder.layers.22"] == 1024
    assert "W_enc [1024, latents]" in (EXAMPLES / "clip-sae.yaml").read_text()


@pytest.mark.parametrize("model", [name for name, one in TARGETS.items() if one.source == "torchvision"])
def test_torchvision_has_the_weights_and_says_how_images_are_prepared(model):
    settings = TARGETS[model]
    weights = sources.published_weights(settings)
    if weights is None:
        assert settings.weights.startswith("data/")
        assert settings.preprocess is not None
    else:
        assert weights.url.startswith("https://")
        assert weights.transforms().crop_size == [224]


def test_timm_publishes_the_weights():
    settings = TARGETS["convnext"]
    assert settings.weights == "pretrained"
    assert timm.get_pretrained_cfg(settings.factory).hf_hub_id == f"timm/{settings.factory}"


@pytest.mark.parametrize("model", [name for name, one in TARGETS.items() if one.source == "transformers"])
def test_a_folder_of_the_published_class_is_loaded_with_the_modules_that_the_sweep_names(model, tmp_path):
    """As deep as the real network, and narrow."""
    settings = TARGETS[model]
    narrow = {"hidden_size": 48, "intermediate_size": 48, "image_size": 28}
    parts = {name: value | narrow for name, value in HUB[settings.factory].items() if isinstance(value, dict)}
    config = config_of(settings.factory, **(parts or {"hidden_size": 48}))
    getattr(transformers, architecture(settings.factory))(config).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor().save_pretrained(tmp_path)
    target = sources.load(settings.model_copy(update={"factory": str(tmp_path)}), torch.device("cpu"))
    names = dict(target.model.named_modules())
    wanted = [layer for name, layer, *_ in TABLE if name == model]
    assert wanted
    assert set(wanted) <= set(names)
    assert target.preprocess.size == (224, 224)


def test_the_checkpoint_of_places365_is_read(tmp_path):
    """As Python 2 wrote it, without the counters that batch normalisation got later."""
    settings = TARGETS["resnet18-places"]
    network = torchvision_models.resnet18(num_classes=365)
    state = {name: one for name, one in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    path = tmp_path / Path(settings.weights).name
    wrapped = {f"module.{name}": one for name, one in state.items()}
    python2_checkpoint.write(path, {"epoch": 90, "arch": "resnet18", "state_dict": wrapped, "best_prec1": 54.2})
    target = sources.load(settings.model_copy(update={"weights": str(path)}), torch.device("cpu"))
    loaded = target.model.state_dict()
    assert all(torch.equal(loaded[name], one) for name, one in state.items())


def tile2vec(tmp_path, **others):
    """The network of Tile2Vec, loaded from a checkpoint with parts that it does not use."""
    settings = TARGETS["tile2vec"].model_copy(
        update={"factory": str(ROOT / TARGETS["tile2vec"].factory), "weights": str(tmp_path / "naip.ckpt")}
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = built(TARGETS["tile2vec"])[0].state_dict()
    torch.save(state | others, tmp_path / "naip.ckpt")
    return state, sources.load(settings, torch.device("cpu"))


def test_the_checkpoint_of_tile2vec_may_have_parts_that_its_embedding_does_not_use(tmp_path):
    unused = dict.fromkeys(("layer1.0.conv3.weight", "layer1.0.bn3.bias", "linear.weight"), torch.ones(3))
    state, target = tile2vec(tmp_path, **unused)
    loaded = target.model.state_dict()
    assert state.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], one) for name, one in state.items())


def test_a_part_that_tile2vec_lacks_is_refused(tmp_path):
    with pytest.raises(sources.TargetError, match=r"layer6\.weight is not of this network"):
        tile2vec(tmp_path, **{"layer6.weight": torch.ones(3)})


def test_tile2vec_sees_the_mean_of_three_bands_as_its_fourth(tmp_path):
    _, target = tile2vec(tmp_path)
    seen = []
    target.model.conv1.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    image = torch.stack([torch.full((50, 50), value) for value in (0.0, 0.3, 0.9)])
    assert target.forward(image[None]).shape == (1, 512)
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([0.0, 0.3, 0.9, 0.4]))


def test_the_stages_of_tile2vec_halve_the_image(tmp_path):
    """50 pixels, as the strides say: 50, 25, 13, 7, 4."""
    _, target = tile2vec(tmp_path)
    sides = []
    for stage in range(1, 6):
        target.module(f"layer{stage}").register_forward_hook(lambda m, inputs, output: sides.append(output.shape[-1]))
    target.forward(torch.zeros(1, 3, 50, 50))
    assert sides == [50, 25, 13, 7, 4]


def test_tiles_become_images(tmp_path):
    tile = np.zeros((50, 50, 5), np.uint8)
    tile[:, :, :3] = [10, 20, 30]
    tile[:, :, 3:] = 200
    np.save(tmp_path / "7tile.npy", tile)
    np.save(tmp_path / "y.npy", np.zeros(3))
    names = {"__name__": "example"}
    exec((EXAMPLES / "tile2vec.py").read_text(), names)
    names["write_images"](tmp_path, tmp_path / "images")
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["7tile.png"]
    image = Image.open(tmp_path / "images/7tile.png")
    assert (image.size, image.mode, image.getpixel((3, 4))) == ((50, 50), "RGB", (10, 20, 30))


@pytest.mark.parametrize("name", RECIPES)
def test_captioner(name):
    captions = recipe_of(name).captions
    if captions.base_url is not None:
        assert captions.prompt
        return
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config_of(captions.model))
    assert type(model).__name__ == architecture(captions.model)
    assert model.can_generate()


@pytest.mark.parametrize("name", DRAWING)
def test_embedder(name):
    embedder = recipe_of(name).embedder
    with torch.device("meta"):
        model = transformers.AutoModel.from_config(config_of(embedder.model)).eval()
        side = model.config.vision_config.image_size
        found = model.get_image_features(pixel_values=torch.empty(2, 3, side, side))
    assert type(model).__name__ == architecture(embedder.model)
    assert len(getattr(found, "pooler_output", found)) == 2


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of diffusers with NumPy 2
@pytest.mark.parametrize("name", DRAWING)
def test_generator(name):
    generator = recipe_of(name).generator
    index = HUB[generator.model]
    pipeline = getattr(diffusers, index["_class_name"])
    taken = inspect.signature(pipeline.__call__).parameters
    own = {"prompt", "generator", "num_inference_steps", "guidance_scale", "height", "width"}
    assert own | set(generator.arguments) <= set(taken)
    scheduler = getattr(diffusers, generator.scheduler or index["scheduler"][1])
    assert issubclass(scheduler, diffusers.SchedulerMixin)
    own_scheduler = getattr(diffusers, index["scheduler"][1])
    assert scheduler.from_config(own_scheduler().config).config.num_train_timesteps == 1000
    assert generator.size % 8 == 0  # pixels of one latent


@pytest.mark.parametrize("name", DRAWING)
def test_distilled_generators_are_not_guided(name):
    generator = recipe_of(name).generator
    assert (generator.guidance == 0) is ("turbo" in generator.model)
    assert (generator.steps <= 4) is ("turbo" in generator.model)


@pytest.mark.parametrize("name", RECIPES)
def test_language_model(name):
    llm = llm_of(name)
    if llm.base_url is not None:
        assert llm.server_arguments == []
        return
    config = config_of(llm.model)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert type(model).__name__ == architecture(llm.model)
    assert llm.max_model_len <= config.max_position_embeddings
    assert f'"{architecture(llm.model)}"' in (VLLM / "model_executor/models/registry.py").read_text()
    known = (VLLM / "engine/arg_utils.py").read_text()
    for argument in llm.server_arguments:
        flag, _, value = argument.partition("=")
        assert re.fullmatch("--[a-z-]+", flag)
        assert f'"{flag}"' in known
        assert value or flag == "--enforce-eager"


@pytest.mark.parametrize("name", RECIPES)
def test_the_memory_that_a_recipe_states_is_that_of_its_models(name):
    """Parameters x 2 bytes."""
    text = (EXAMPLES / f"recipes/{name}.yaml").read_text().partition("recipes:")[0]
    recipe, llm = recipe_of(name), llm_of(name)
    stated = {float(number) for number in re.findall(r"([\d.]+) GB", text)}
    kinds = [
        (transformers.AutoModelForImageTextToText, recipe.captions),
        (transformers.AutoModel, recipe.embedder),
        (transformers.AutoModelForCausalLM, llm),
    ]
    with torch.device("meta"):
        sizes = [
            sum(one.numel() for one in kind.from_config(config_of(part.model)).parameters()) * 2 / 1e9
            for kind, part in kinds
            if part is not None and getattr(part, "base_url", None) is None
        ]
    others = {8, 24, 80, 1.7}  # of the GPU, and of the UNet, whose configuration is not in models.json
    assert all(any(abs(size / number - 1) < 0.03 for size in sizes) for number in stated - others)

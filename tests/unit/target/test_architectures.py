"""Real architectures, small and untrained, from the list of their modules to exemplars.

Pooled activations are compared with those of a hook written by hand for each architecture.
"""

import numpy as np
import pyarrow as pa
import pytest
import timm
import torch
import transformers
from handmade import plain, png, write_probe
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from dnd.config.stages import ExemplarSettings
from dnd.config.targets import BasisSettings
from dnd.io import schemas, tables
from dnd.target import activations, exemplars, inventory, topk
from dnd.target.network import Target
from dnd.target.outputs import TargetError

VISION = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 56, "patch_size": 14}


class OwnNetwork(nn.Module):
    """As of a factory: its layer returns a dictionary of maps."""

    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({"maps": nn.Conv2d(3, 5, 3, padding=1)})
        self.wrapped = Wrapped(self.body)

    def forward(self, x):
        return self.wrapped(x)["maps"].mean((2, 3))


class Wrapped(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = [body]

    def forward(self, x):
        return {"none": None, "maps": self.body[0]["maps"](x).relu()}


def networks():
    """Name -> network, side of its input, a layer, units, grid, and how a hook's output becomes [n, units, h, w]."""
    tokens = {  # prefix tokens -> maps of 4 x 4
        prefix: lambda out, prefix=prefix: out[:, prefix:].transpose(1, 2).unflatten(2, (4, 4)) for prefix in (1, 4, 5)
    }
    clip = transformers.CLIPVisionConfig(**VISION, intermediate_size=48)
    registers = transformers.Dinov2WithRegistersConfig(**VISION, num_register_tokens=4)
    small_vit = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32, "num_classes": 2}
    return {
        "ResNet": (models.resnet18, 64, "layer3", 256, (4, 4), lambda out: out),
        "EfficientNet": (models.efficientnet_b0, 64, "features.4.0", 80, (4, 4), lambda out: out),
        "ConvNeXt": (
            lambda: models.ConvNeXt([CNBlockConfig(24, 48, 1), CNBlockConfig(48, None, 2)]),
            *(64, "features.3.1.block.3", 192, (8, 8), lambda out: out.permute(0, 3, 1, 2)),
        ),
        "Swin": (
            lambda: models.SwinTransformer([4, 4], 24, [2, 2], [2, 3], [4, 4]),
            *(64, "features.3.1", 48, (8, 8), lambda out: out.permute(0, 3, 1, 2)),
        ),
        "ViT": (
            lambda: models.VisionTransformer(image_size=32, **small_vit),
            *(32, "encoder.layers.encoder_layer_1.mlp", 16, (4, 4), tokens[1]),
        ),
        "ViT attention": (
            lambda: models.VisionTransformer(image_size=32, **small_vit),
            *(32, "encoder.layers.encoder_layer_0.self_attention", 16, (4, 4), lambda out: tokens[1](out[0])),
        ),
        "CLIP": (lambda: transformers.CLIPVisionModel(clip), 56, "encoder.layers.1", 24, (4, 4), tokens[1]),
        "DINOv2 with registers": (
            lambda: transformers.Dinov2WithRegistersModel(registers),
            *(56, "encoder.layer.1.mlp.fc1", 96, (4, 4), tokens[5]),
        ),
        "timm ViT with registers": (
            lambda: timm.create_model("vit_little_patch16_reg4_gap_256", img_size=64, depth=2),
            *(64, "blocks.1", 320, (4, 4), tokens[4]),
        ),
        "timm": (lambda: timm.create_model("mobilenetv3_small_050"), 64, "blocks.2.0", 24, (4, 4), lambda out: out),
        "Python factory": (OwnNetwork, 16, "wrapped", 5, (16, 16), lambda out: out["maps"]),
    }


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    rng = np.random.default_rng(0)
    images = {}
    for i in range(7):
        pixels = np.kron(rng.integers(0, 255, (4, 4, 3)), np.ones((16, 16, 1)))
        images[f"{i}.png"] = png(pixels)
    return write_probe(tmp_path_factory.mktemp("architectures") / "probe.parquet", images)


def built(name):
    torch.manual_seed(0)
    build, size, layer, units, grid, maps = networks()[name]
    return Target(build().eval(), plain(size), torch.device("cpu")), layer, units, grid, maps


def images(target, probe):
    from dnd.io import pictures

    return torch.stack([target.preprocess.image(pictures.decode(row["image"])) for row in pictures.rows([probe])])


@pytest.mark.parametrize("name", networks())
def test_from_inventory_to_exemplars(name, probe, tmp_path):
    target, layer, units, grid, maps = built(name)
    listed = {row.layer: row.units for row in inventory.modules(target)}
    assert listed[layer] == units
    kept = {}
    handle = target.module(layer).register_forward_hook(lambda _, inputs, output: kept.update(output=output))
    with torch.inference_mode():
        target.model(images(target, probe))
    handle.remove()
    expected = maps(kept["output"])
    assert tuple(expected.shape) == (7, units, *grid)

    for pooling, reduced in (("mean", expected.mean((2, 3))), ("max", expected.amax((2, 3)))):
        top = passed(target, layer, probe, tmp_path, pooling)
        for unit in (0, units // 2, units - 1):
            order = reduced[:, unit].argsort(descending=True, stable=True)
            values = np.array(top[unit]["activations"])
            assert top[unit]["image_ids"] == [f"{i}.png" for i in order[:3].tolist()] or np.ptp(values) < 1e-5
            np.testing.assert_allclose(values, reduced[order[:3], unit], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(top[unit]["controls"], reduced[:, unit], rtol=1e-5, atol=1e-5)

    wanted = {unit: top[unit]["image_ids"] for unit in (0, units - 1)}
    settings = ExemplarSettings(keep=3)
    found = exemplars.run(target, layer, wanted, [probe], pooling="max", settings=settings).to_pylist()
    assert {row["unit"] for row in found} == set(wanted)
    for row in found:
        i, unit = int(row["image_id"][0]), row["unit"]
        assert row["heatmap_box"] == [0, 0, 64, 64]
        if row["box"] is None:
            assert row["activation"] == pytest.approx(float(expected[i, unit].max()), rel=1e-5, abs=1e-5)


def passed(target, layer, probe, folder, pooling):
    results = activations.run(target, {"slug": layer}, probe, [f"{i}.png" for i in range(7)], pooling=pooling, k=3)
    paths = []
    for result, schema in zip(results, schemas.PARTS, strict=True):
        paths.append(folder / f"{pooling}-{len(paths)}.parquet")
        tables.write(paths[-1], result, schema)
    return pa.concat_tables(topk.merge(*([path] for path in paths), slug="slug", k=3)).to_pylist()


def test_attention_crops_of_a_transformer_lie_where_its_patches_do(tmp_path):
    """A network of patches whose first unit is the brightness of each: its crop is the bright patch."""
    config = transformers.CLIPVisionConfig(**VISION, intermediate_size=48)
    torch.manual_seed(0)
    model = transformers.CLIPVisionModel(config)
    embeddings = next(one for one in model.modules() if type(one).__name__ == "CLIPVisionEmbeddings")
    nn.init.zeros_(embeddings.position_embedding.weight)
    nn.init.constant_(embeddings.patch_embedding.weight[0], 1.0)
    layer = next(name for name, one in model.named_modules() if one is embeddings)
    pixels = np.zeros((112, 112, 3), np.uint8)
    pixels[28:56, 56:112] = 255  # with patches of 28 of its pixels: row 1, columns 2 and 3
    probe = write_probe(tmp_path / "patch.parquet", {"0.png": png(pixels)})
    target = Target(model.eval(), plain(56), torch.device("cpu"))
    settings = ExemplarSettings(views_per_image=2)
    found = exemplars.run(target, layer, {0: ["0.png"]}, [probe], pooling="max", settings=settings).to_pylist()
    boxes = [row["box"] for row in found if row["box"]]
    assert len(boxes) == 1
    assert np.abs(np.array(boxes[0]) - [56, 28, 112, 56]).max() <= 14  # half a patch, by which the map is smoothed


def test_class_token_of_a_transformer(probe, tmp_path):
    target, layer, *_ = built("CLIP")
    kept = {}
    handle = target.module(layer).register_forward_hook(lambda _, inputs, output: kept.update(output=output))
    with torch.inference_mode():
        target.model(images(target, probe))
    handle.remove()
    top = passed(target, layer, probe, tmp_path, "cls")
    np.testing.assert_allclose(top[3]["controls"], kept["output"][:, 0, 3], rtol=1e-5, atol=1e-5)
    wanted = {3: top[3]["image_ids"]}
    found = exemplars.run(target, layer, wanted, [probe], pooling="cls", settings=ExemplarSettings()).to_pylist()
    assert all(row["heatmap"] for row in found)  # of the other tokens


def test_latents_on_a_transformer(probe, tmp_path):
    """A sparse autoencoder's latents through pass and exemplars, against its definition written out."""
    target, layer, units, *_ = built("CLIP")
    torch.manual_seed(5)
    weights = {"W_enc": torch.randn(units, 300), "b_enc": torch.randn(300), "b_dec": torch.randn(units)}
    save_file(weights, tmp_path / "sae.safetensors")
    basis = BasisSettings(kind="sae", path=tmp_path / "sae.safetensors", activation="topk", k=8)
    latents = Target(target.model, target.preprocess, target.device, basis=basis)
    assert {row.layer: row.units for row in inventory.modules(latents)}[layer] == 300
    kept = {}
    handle = target.module(layer).register_forward_hook(lambda _, inputs, output: kept.update(output=output))
    with torch.inference_mode():
        target.model(images(target, probe))
    handle.remove()
    before = (kept["output"][:, 1:] - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    smallest = before.sort(-1).values[..., -8:-7]
    expected = (before * (before >= smallest)).relu().amax(1)
    top = passed(latents, layer, probe, tmp_path, "max")
    np.testing.assert_allclose([row["controls"] for row in top], expected.T, rtol=1e-4, atol=1e-4)
    unit = int(expected.sum(0).argmax())
    wanted = {unit: top[unit]["image_ids"]}
    found = exemplars.run(latents, layer, wanted, [probe], pooling="max", settings=ExemplarSettings()).to_pylist()
    assert found[0]["activation"] >= top[unit]["activations"][0] - 1e-4


def test_windows_of_attention_are_refused():
    """Swin's attention works on windows, whose outputs have no axis of images."""
    torch.manual_seed(0)
    network = timm.create_model("swin_tiny_patch4_window7_224", img_size=64, window_size=4, depths=(1, 1, 1, 1))
    target = Target(network.eval(), plain(64), torch.device("cpu"))
    with pytest.raises(TargetError, match=r"layer 'layers.0.blocks.0.attn' returns 32x16x96; expected images x units"):
        target.read(torch.zeros(2, 3, 64, 64), ["layers.0.blocks.0.attn"], lambda _, reading: reading.units)

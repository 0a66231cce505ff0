"""Networks from torchvision, timm, transformers and the user's own code, each with its published preprocessing."""

import json

import numpy as np
import pytest
import timm
import tiny_models
import torch
import transformers
from networks import SMALL, load
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.models import resnet18

from dnd import api
from dnd.config.load import ConfigError
from dnd.target import inventory, sources, transformers_models
from dnd.target.outputs import TargetError
from dnd.target.preprocess import Preprocess

TINY_CLIP = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def photograph(width=300, height=220):
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 255, (11, 15, 3), np.uint8))
    return pixels.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return resnet18(num_classes=3).eval()


def resnet(path, **settings):
    return load(
        source="torchvision", factory="resnet18", arguments={"num_classes": 3}, weights=str(path), preprocess=SMALL
    )


@pytest.mark.parametrize("wrapping", ["plain", "safetensors", "DataParallel", "nested", "Lightning", "half"])
def test_checkpoints_as_people_have_them(tmp_path, network, wrapping):
    state = network.state_dict()
    path = tmp_path / "weights.pt"
    match wrapping:
        case "plain":
            torch.save(state, path)
        case "safetensors":
            path = tmp_path / "weights.safetensors"
            save_file(state, path)
        case "DataParallel":
            torch.save({f"module.{name}": value for name, value in state.items()}, path)
        case "nested":  # as Places365's
            path = tmp_path / "weights.pth.tar"
            nested = {f"module.{name}": value for name, value in state.items()}
            torch.save({"epoch": 90, "arch": "resnet18", "state_dict": nested, "best_prec1": 0.5}, path)
        case "Lightning":
            torch.save({"state_dict": {f"model.{name}": value for name, value in state.items()}}, path)
        case "half":
            halved = {name: one.half() if one.is_floating_point() else one for name, one in state.items()}
            torch.save(halved, path)
    target = resnet(path)
    inputs = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        found, expected = target.model(inputs), network(inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-2 if wrapping == "half" else 0)
    assert target.dtype == torch.float32
    assert not target.model.training
    assert not any(one.requires_grad for one in target.model.parameters())


def test_half_precision_network(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    settings = {"source": "torchvision", "factory": "resnet18", "arguments": {"num_classes": 3}, "preprocess": SMALL}
    target = load(**settings, weights=str(tmp_path / "weights.pt"), dtype="bfloat16")
    assert target.dtype == torch.bfloat16
    found = target.read(torch.rand(1, 3, 32, 32), ["fc"], lambda _, reading: reading.pooled("mean"))["fc"]
    assert found.dtype == torch.float32
    assert found.isfinite().all()


def test_preprocessing_from_a_file(tmp_path):
    path = tmp_path / "preprocess.json"
    path.write_text(json.dumps({"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}))
    assert load(source="torchvision", factory="resnet18", preprocess=path).preprocess.settings.mean == (0.5,) * 3
    path.write_text(json.dumps({"crop": 32}))
    with pytest.raises(ConfigError, match=r"preprocess.json: size: is missing"):
        load(source="torchvision", factory="resnet18", preprocess=path)


def test_published_preprocessing_of_torchvision():
    from torchvision.models import get_model_weights

    weights = get_model_weights("resnet50")["IMAGENET1K_V2"]
    ours = Preprocess(sources._of_torchvision(weights)).image(photograph())
    torch.testing.assert_close(ours, weights.transforms()(photograph()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_published_preprocessing_of_timm(name):
    target = load(source="timm", factory=name)
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(target.model), is_training=False)
    torch.testing.assert_close(target.preprocess.image(photograph()), theirs(photograph()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mode", "fit"), [("squash", "squash"), ("border", "letterbox")])
def test_other_crops_of_timm(mode, fit):
    config = {"input_size": (3, 64, 64), "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": mode}
    config |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2)}
    settings = sources._of_timm(config)
    assert settings.fit == fit
    theirs = timm.data.create_transform(**config, is_training=False)(photograph())
    ours = Preprocess(settings).image(photograph())
    assert (ours - theirs).abs().mean() < 0.05  # borders may lie one pixel apart


PROCESSORS = {
    "CLIP": transformers.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}),
    "ViT": transformers.ViTImageProcessor(size={"height": 32, "width": 32}),
    "ConvNeXt": transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875),
    "ConvNeXt large": transformers.ConvNextImageProcessor(size={"shortest_edge": 384}),
    "DINOv2": transformers.BitImageProcessor(size={"shortest_edge": 36}, crop_size={"height": 28, "width": 28}),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_published_preprocessing_of_transformers(name, tmp_path):
    PROCESSORS[name].save_pretrained(tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    settings = transformers_models._of_transformers(processor)
    theirs = processor(photograph(), return_tensors="pt")["pixel_values"][0]
    ours = Preprocess(settings).image(photograph())
    assert ours.shape == theirs.shape
    # its resize works on tensors, ours on Pillow images, as those of the models' authors
    assert (ours - theirs).abs().mean() < 0.05


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_published_preprocessing_of_timms_hub(name, tmp_path):
    target = load(source="transformers", factory=tiny_models.of_timm(name)(tmp_path))
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    theirs = timm.data.create_transform(**config, is_training=False)(photograph())
    torch.testing.assert_close(target.preprocess.image(photograph()), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{"do_resize": False}, {"size": {"longest_edge": 9, "shortest_edge": 6}}])
def test_preprocessing_that_ours_cannot_do_is_not_guessed(changes, tmp_path):
    config = transformers.ViTConfig(**TINY_CLIP)
    folder = saved(transformers.ViTModel(config), tmp_path / "net", transformers.ViTImageProcessor(**changes))
    with pytest.raises(
        TargetError, match=r"net: set `preprocess`, since its ViTImageProcessor makes inputs of several"
    ):
        load(source="transformers", factory=str(folder))
    assert load(source="transformers", factory=str(folder), preprocess=SMALL).preprocess.size == (32, 32)


def saved(model, folder, processor=None):
    model.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


def test_image_tower_of_a_model_of_images_and_texts(tmp_path):
    config = transformers.CLIPConfig(
        vision_config=TINY_CLIP, text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    )
    whole = transformers.CLIPModel(config).eval()
    folder = saved(whole, tmp_path / "clip", PROCESSORS["CLIP"])
    target = load(source="transformers", factory=str(folder))
    assert type(target.model).__name__ == "CLIPVisionModel"
    inputs = torch.rand(1, 3, 32, 32)
    layer = next(name for name, _ in target.model.named_modules() if name.endswith("layers.0.mlp"))
    found = target.read(inputs, [layer], lambda _, reading: (reading.output.grid, reading.pooled("cls")))[layer]
    assert found[0] == (4, 4)
    kept = {}
    whole.vision_model.encoder.layers[0].mlp.register_forward_hook(lambda _, inputs, output: kept.update(mlp=output))
    with torch.inference_mode():
        whole.get_image_features(pixel_values=inputs)
    torch.testing.assert_close(found[1], kept["mlp"][:, 0])


def test_classifier_of_transformers(tmp_path):
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=5)
    folder = saved(transformers.ResNetForImageClassification(config), tmp_path / "net", PROCESSORS["ConvNeXt"])
    target = load(source="transformers", factory=str(folder))
    assert type(target.model).__name__ == "ResNetForImageClassification"
    units = target.read(torch.rand(1, 3, 32, 32), ["classifier", "resnet.encoder"], lambda _, reading: reading.units)
    assert units == {"classifier": 5, "resnet.encoder": 16}
    chosen = load(source="transformers", factory=str(folder), architecture="ResNetModel")
    assert type(chosen.model).__name__ == "ResNetModel"


TINY_TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY_LLAMA = TINY_TEXT | {"num_key_value_heads": 2, "vocab_size": 40, "pad_token_id": 0}
TINY_BERT = TINY_TEXT | {"vocab_size": 40, "max_position_embeddings": 20}


def composite(name):
    """A small model of images and texts as it is published, and its part that sees images."""
    t = transformers
    match name:
        case "BLIP":
            config = t.BlipConfig(vision_config=TINY_CLIP, text_config=TINY_BERT, projection_dim=16)
            whole = t.BlipForConditionalGeneration(config)
            return whole, whole.vision_model
        case "LLaVA":
            parts = {"vision_config": t.CLIPVisionConfig(**TINY_CLIP), "text_config": t.LlamaConfig(**TINY_LLAMA)}
            whole = t.LlavaForConditionalGeneration(t.LlavaConfig(**parts, image_token_index=39))
            return whole, whole.model.vision_tower
        case "PaliGemma":
            text = t.GemmaConfig(**TINY_LLAMA, head_dim=8)
            parts = {"vision_config": t.SiglipVisionConfig(**TINY_CLIP), "text_config": text}
            config = t.PaliGemmaConfig(**parts, image_token_index=39, projection_dim=16)
            whole = t.PaliGemmaForConditionalGeneration(config)
            return whole, whole.model.vision_tower
        case "CLIPSeg":
            config = t.CLIPSegConfig(
                vision_config=TINY_CLIP,
                text_config=TINY_BERT,
                projection_dim=16,
                extract_layers=[0],
                reduce_dim=16,
                decoder_num_attention_heads=2,
                decoder_intermediate_size=16,
            )
            whole = t.CLIPSegForImageSegmentation(config)
            return whole, whole.clip.vision_model
        case "encoder and decoder":
            decoder = t.BertConfig(**TINY_BERT, is_decoder=True, add_cross_attention=True)
            parts = t.VisionEncoderDecoderConfig.from_encoder_decoder_configs(t.ViTConfig(**TINY_CLIP), decoder)
            whole = t.VisionEncoderDecoderModel(parts)
            return whole, whole.encoder
        case "dual encoder":
            parts = t.VisionTextDualEncoderConfig.from_vision_text_configs(
                t.ViTConfig(**TINY_CLIP), t.BertConfig(**TINY_BERT)
            )
            whole = t.VisionTextDualEncoderModel(parts)
            return whole, whole.vision_model


@pytest.mark.parametrize("name", ["BLIP", "LLaVA", "PaliGemma", "CLIPSeg", "encoder and decoder", "dual encoder"])
def test_vision_tower_of_a_composite_model(tmp_path, name):
    torch.manual_seed(3)
    whole, tower = composite(name)
    target = load(source="transformers", factory=str(saved(whole.eval(), tmp_path / "model")), preprocess=SMALL)
    assert type(target.model) is type(tower)
    inputs = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = tower.eval()(inputs).last_hidden_state
        torch.testing.assert_close(target.model(inputs).last_hidden_state, expected)
    layers = [layer for layer, _ in target.model.named_modules() if layer.endswith("layers.0.mlp")]
    assert [*target.read(inputs, layers, lambda _, reading: reading.units).values()] == [16]


def dense(name):
    """A small model for detection, depth or segmentation, or a backbone, as it is published."""
    t = transformers
    stages = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    attention = {f"{part}_{key}": 1 for part in ("encoder", "decoder") for key in ("layers", "attention_heads")}
    match name:
        case "DETR":
            backbone = t.ResNetConfig(**stages, out_features=["stage4"])
            config = t.DetrConfig(backbone_config=backbone, d_model=16, num_queries=3, **attention)
            return t.DetrForObjectDetection(config)
        case "DPT":
            sizes = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8, "num_hidden_layers": 4}
            config = t.DPTConfig(**TINY_CLIP | sizes, backbone_out_indices=[0, 1, 2, 3], is_hybrid=False)
            return t.DPTForDepthEstimation(config)
        case "Segformer":
            config = t.SegformerConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], decoder_hidden_size=16)
            return t.SegformerForSemanticSegmentation(config)
        case "SAM":
            windows = {"mlp_dim": 16, "output_channels": 8, "global_attn_indexes": [0], "window_size": 2}
            config = t.SamConfig(
                vision_config=TINY_CLIP | windows,
                prompt_encoder_config={"hidden_size": 8, "image_size": 32, "patch_size": 8},
                mask_decoder_config={
                    "hidden_size": 8,
                    "mlp_dim": 16,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "iou_head_hidden_dim": 8,
                },
            )
            return t.SamModel(config)
        case "ResNet's backbone":
            return t.ResNetBackbone(t.ResNetConfig(**stages))
        case "timm's backbone":
            return t.TimmBackbone(t.TimmBackboneConfig(backbone="resnet10t", use_pretrained_backbone=False))


@pytest.mark.parametrize("name", ["DETR", "DPT", "Segformer", "SAM", "ResNet's backbone", "timm's backbone"])
def test_dense_models_and_backbones_from_a_folder(tmp_path, name):
    torch.manual_seed(4)
    model = dense(name).eval()
    target = load(source="transformers", factory=str(saved(model, tmp_path / "model")), preprocess=SMALL)
    kept = {key: value for key, value in model.state_dict().items() if key in target.model.state_dict()}
    assert len(kept) == len(target.model.state_dict())
    for key, value in target.model.state_dict().items():
        assert torch.equal(value, kept[key]), key
    layer = next(layer for layer, module in target.model.named_modules() if isinstance(module, torch.nn.Conv2d))
    assert target.read(torch.rand(1, 3, 32, 32), [layer], lambda _, reading: reading.units)[layer] >= 8


def test_vision_tower_that_is_not_found_names_what_there_is(tmp_path, monkeypatch):
    whole, _ = composite("LLaVA")
    folder = saved(whole, tmp_path / "model")
    monkeypatch.setattr(type(whole), "get_encoder", lambda self, modality=None: self)
    message = r"LlavaForConditionalGeneration has no vision tower .* set `architecture`, to one of .*'CLIPVisionModel'"
    with pytest.raises(TargetError, match=message):
        load(source="transformers", factory=str(folder), preprocess=SMALL)


@pytest.mark.parametrize(("name", "architecture"), [("LLaVA", "CLIPVisionModel"), ("BLIP", "BlipVisionModel")])
def test_part_of_a_model_that_is_asked_for_has_its_weights(tmp_path, name, architecture):
    whole, tower = composite(name)
    target = load(
        source="transformers", factory=str(saved(whole, tmp_path)), preprocess=SMALL, architecture=architecture
    )
    assert type(target.model).__name__ == architecture
    expected = tower.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in target.model.state_dict().items())


def renamed(folder, old, new):
    path = folder / "model.safetensors"
    state = {key.replace(old, new): value for key, value in load_file(path).items()}
    save_file(state, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "old", "new"), [("BLIP", "vision_model.", "visual."), ("encoder and decoder", "encoder.", "encoder.vit.")]
)
def test_tower_whose_weights_have_other_names_is_not_random(tmp_path, name, old, new):
    folder = saved(composite(name)[0], tmp_path / "model")
    renamed(folder, old, new)
    closest = (
        rf"its weights lack embeddings.cl.* \(closest in the file: {new}embeddings.cl.*; .* in all; set `architecture`"
    )
    with pytest.raises(TargetError, match=closest):
        load(source="transformers", factory=str(folder), preprocess=SMALL)
    assert load(source="transformers", factory=str(folder), preprocess=SMALL, random_weights=True)


@pytest.mark.parametrize("architecture", ["ViTModel", "ResNetModel"])
def test_class_of_another_network_is_not_random(tmp_path, architecture):
    folder = saved(composite("LLaVA")[0], tmp_path / "model")
    with pytest.raises(TargetError, match=r"its weights lack .* \(closest in the file: .* or `random_weights: true`"):
        load(source="transformers", factory=str(folder), preprocess=SMALL, architecture=architecture)


@pytest.mark.parametrize("architecture", ["ConvNextModel", "ResNetModel", "DeiTModel"])
def test_class_that_fails_at_a_configuration_is_told_in_a_sentence(tmp_path, architecture):
    config = transformers.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2])
    folder = saved(transformers.SwinModel(config), tmp_path / "model")
    with pytest.raises(TargetError, match=f"^{folder}: ") as caught:
        load(source="transformers", factory=str(folder), preprocess=SMALL, architecture=architecture)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "told"), [(["model_ema"], "model_ema, epoch"), (["student", "teacher"], "student, teacher, epoch")]
)
def test_checkpoint_that_keeps_its_state_elsewhere_is_told_with_its_keys(tmp_path, network, keys, told):
    torch.save({key: network.state_dict() for key in keys} | {"epoch": 3}, tmp_path / "weights.pt")
    with pytest.raises(
        TargetError, match=f"expected a state dict, name -> tensor, but the file holds a dict of {told}$"
    ):
        resnet(tmp_path / "weights.pt")


def test_weights_of_other_shapes_are_told_with_both(tmp_path):
    folder = saved(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TINY_CLIP)), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 24}))
    lacking = r"lack .*fc1\.weight \[24, 16\] \(closest in the file: .*fc1\.weight \[32, 16\]\)"
    with pytest.raises(TargetError, match=lacking):
        load(source="transformers", factory=str(folder), preprocess=SMALL)


def test_state_dict_with_other_names_shows_them_beside_the_networks(tmp_path, network):
    state = {name.replace("layer", "stage"): value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "weights.pt")
    message = r"layer1.0.conv1.weight .* \(closest in the file: stage1.0.conv1.weight \[64, 64, 3, 3\]\) is missing"
    with pytest.raises(TargetError, match=message):
        resnet(tmp_path / "weights.pt")


@pytest.mark.parametrize("name", ["VideoMAE", "Timesformer"])
def test_models_of_videos_say_what_they_take(tmp_path, name):
    config = getattr(transformers, f"{name}Config")(**TINY_CLIP, num_frames=4)
    folder = saved(getattr(transformers, f"{name}Model")(config), tmp_path / "video")
    message = rf"{name}Model takes videos of 4 frames, not a batch of images: .* set `architecture` to a class"
    with pytest.raises(TargetError, match=message):
        load(source="transformers", factory=str(folder), preprocess=SMALL)


def test_vision_tower_that_takes_no_images_says_what_it_takes(tmp_path):
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "patch_size": 14}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = transformers.Qwen2VLConfig(vision_config=vision, text_config=TINY_LLAMA | {"rope_parameters": rope})
    folder = saved(transformers.Qwen2VLForConditionalGeneration(config), tmp_path / "qwen")
    with pytest.raises(TargetError, match=r"takes hidden_states and grid_thw, not a batch of images"):
        load(source="transformers", factory=str(folder), preprocess=SMALL)


def test_unknown_architecture(tmp_path):
    folder = saved(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TINY_CLIP)), tmp_path / "clip")
    with pytest.raises(TargetError, match="no class 'ClipTower'; set `architecture`"):
        load(source="transformers", factory=str(folder), architecture="ClipTower", preprocess=SMALL)
    with pytest.raises(TargetError, match=r"set `architecture` to such as .*CLIPVisionModel"):
        load(source="transformers", factory=str(folder), architecture="CLIPVisionModl", preprocess=SMALL)
    with pytest.raises(TargetError, match="set `preprocess`"):
        load(source="transformers", factory=str(folder))


def test_network_without_weights_is_the_same_in_every_job():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = (load(source="timm", factory="test_vit").model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_factory_in_a_file_with_its_neighbours_and_a_checkpoint(own, tmp_path):
    state = {"0.weight": torch.full((2, 3, 1, 1), 0.5), "0.bias": torch.tensor([1.0, 2.0])}
    save_file(state, tmp_path / "own.safetensors")
    settings = {"source": "python", "factory": f"{own}:build", "preprocess": {"size": 4}}
    target = load(**settings, arguments={"width": 2}, weights=str(tmp_path / "own.safetensors"))
    found = target.read(torch.ones(1, 3, 4, 4), ["0"], lambda _, reading: reading.pooled("mean"))["0"]
    assert found.tolist() == [[2.5, 3.5]]


def test_factory_that_is_a_method_of_a_class(own):
    settings = {"source": "python", "factory": f"{own}:Network.of_width", "preprocess": {"size": 4}}
    assert load(**settings, arguments={"width": 2}).model.out_channels == 2


@pytest.mark.parametrize("how", ["whole", "part", "in place", "forward"])
def test_compiled_networks_have_the_layers_and_activations_of_others(own, tmp_path, how):
    settings = {"source": "python", "factory": f"{own}:compiled", "preprocess": {"size": 4}}
    plain, target = (load(**settings, arguments={"how": one}) for one in ("not", how))
    assert [name for name, _ in target.model.named_modules()] == [name for name, _ in plain.model.named_modules()]
    inputs = torch.rand(2, 3, 4, 4)
    for layers in (["0.0", "1"], ["0"], ["1"]):  # hooks that come and go after the code was compiled
        found = target.read(inputs, layers, lambda _, reading: reading.pooled("max"))
        expected = plain.read(inputs, layers, lambda _, reading: reading.pooled("max"))
        assert found.keys() == set(layers)
        for layer in layers:
            torch.testing.assert_close(found[layer], expected[layer])


def test_a_compiled_part_under_two_names_has_the_layers_of_its_original_under_both(tmp_path):
    code = """
import torch
def build():
    part = torch.compile(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)), backend="eager")
    return torch.nn.Sequential(part, torch.nn.ReLU(), part)
"""
    (tmp_path / "mine.py").write_text(code)
    target = load(source="python", factory=f"{tmp_path / 'mine.py'}:build", preprocess={"size": 4})
    assert [row.layer for row in inventory.modules(target)] == ["0", "2", "0.0", "2.0", "1"]


def test_checkpoint_of_a_network_of_which_a_part_was_compiled(own, tmp_path):
    settings = {"source": "python", "factory": f"{own}:compiled", "preprocess": {"size": 4}}
    state = {"0._orig_mod.0.weight": torch.ones(4, 3, 1, 1), "0._orig_mod.0.bias": torch.full((4,), 2.0)}
    state |= {"1.weight": torch.zeros(2, 4, 1, 1), "1.bias": torch.zeros(2)}
    save_file(state, tmp_path / "compiled.safetensors")
    weights = str(tmp_path / "compiled.safetensors")
    for how in ("not", "part", "whole"):
        target = load(**settings, arguments={"how": how}, weights=weights)
        found = target.read(torch.ones(1, 3, 4, 4), ["0.0"], lambda _, reading: reading.pooled("mean"))["0.0"]
        assert found.tolist() == [[5.0] * 4]


def test_compiled_network_given_in_python(own):
    network = load(
        source="python", factory=f"{own}:compiled", arguments={"how": "in place"}, preprocess={"size": 4}
    ).model
    target = api._target(torch.compile(network, backend="eager"), {"size": 4}, "positive")
    assert target.read(torch.rand(1, 3, 4, 4), ["0.0"], lambda _, reading: reading.units) == {"0.0": 4}


def test_factory_of_a_package():
    target = load(source="python", factory="torchvision.models:resnet18", preprocess=SMALL)
    assert type(target.model).__name__ == "ResNet"

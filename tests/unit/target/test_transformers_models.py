"""Networks of transformers: towers, dense models and backbones, their weights and published preprocessing."""

import json

import pytest
import torch
import transformers
from networks import SMALL, load, photograph
from safetensors.torch import load_file, save_file

from dnd.target import transformers_models
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


def test_weights_of_other_shapes_are_told_with_both(tmp_path):
    folder = saved(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TINY_CLIP)), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 24}))
    lacking = r"lack .*fc1\.weight \[24, 16\] \(closest in the file: .*fc1\.weight \[32, 16\]\)"
    with pytest.raises(TargetError, match=lacking):
        load(source="transformers", factory=str(folder), preprocess=SMALL)


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

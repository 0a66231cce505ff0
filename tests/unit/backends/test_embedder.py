"""Tiny models of every family of embedders: the right part is loaded, and its vectors are those of the whole model."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import tiny_embedders
import tiny_models
import torch
import transformers
from PIL import Image
from tiny_models import one_thread  # noqa: F401

from dnd.backends.embedder import TransformersEmbedder, TransformersTextEmbedder
from dnd.backends.hub import ModelError
from dnd.config.backends import EmbedderSettings
from dnd.shapeworld import grammar, render

MODELS = Path(__file__).parents[3] / "resources" / "shapeworld"


def embedder(model, items=4, **settings):
    """An embedder of so many images at once, of its own number where that is None."""
    found = TransformersEmbedder(EmbedderSettings(model=str(model), **settings))
    found.size.items = items or found.size.items
    return found


def expected(model, cls, vectors, photos):
    """Unit vectors of the whole model of a class, image by image, by a function from its output for prepared images."""
    whole = cls.from_pretrained(model, dtype=torch.float32).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(model)
    with torch.no_grad():
        rows = [vectors(whole, processor(images=photo, return_tensors="pt")["pixel_values"])[0] for photo in photos]
    return np.stack([(row / row.norm()).numpy() for row in rows])


@pytest.mark.parametrize(
    ("family", "loaded", "cls", "vectors"),
    [
        (
            "clip",
            "CLIPVisionModelWithProjection",
            transformers.CLIPModel,
            lambda model, x: model.visual_projection(model.vision_model(pixel_values=x).pooler_output),
        ),
        (
            "siglip",
            "SiglipModel",
            transformers.SiglipModel,
            lambda model, x: model.vision_model(pixel_values=x).pooler_output,
        ),
        (
            "dinov2",
            "Dinov2Model",
            transformers.Dinov2Model,
            lambda model, x: model(x).last_hidden_state[:, 0],  # its pooled output is the class token
        ),
        (
            "vit_classifier",
            "ViTModel",
            transformers.ViTForImageClassification,
            lambda model, x: model.vit(x).last_hidden_state[:, 0],
        ),
        (
            "resnet",
            "ResNetModel",
            transformers.ResNetModel,
            lambda model, x: model(x).last_hidden_state.mean((2, 3)),
        ),
    ],
)
def test_vectors_are_those_of_the_whole_model_whatever_the_batch(folder, photos, family, loaded, cls, vectors):
    one = embedder(folder(family))
    assert type(one.model).__name__ == loaded
    found = one.embed(photos)
    assert found.dtype == np.float32
    assert np.allclose(found, expected(folder(family), cls, vectors, photos), atol=1e-5)
    distinct = found @ found.T - np.eye(len(photos))
    assert distinct.max() < 0.9999
    assert np.array_equal(one.embed(photos[::-1]), found[::-1])
    assert np.array_equal(np.concatenate([one.embed([photo]) for photo in photos]), found)


UNEVEN = {
    "padded to the largest": transformers.DetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 96}),
    "of any size": transformers.GLPNImageProcessor(size_divisor=4),
    "of one shorter side": transformers.ViTImageProcessor(size={"shortest_edge": 32}),
}


@pytest.mark.parametrize("name", UNEVEN)
def test_vectors_of_inputs_of_any_shape_do_not_depend_on_the_batch(tmp_path, photos, name):
    model = tiny_models.resnet_with(UNEVEN[name])(tmp_path)
    found = embedder(model, items=None).embed(photos)
    wanted = expected(model, transformers.ResNetModel, lambda whole, x: whole(x).last_hidden_state.mean((2, 3)), photos)
    assert np.allclose(found, wanted, atol=1e-5)
    assert np.array_equal(embedder(model, items=None).embed(photos[::-1]), found[::-1])


PLAIN = {
    "not normalised": {"do_normalize": False},
    "without mean": {"do_normalize": False, "image_mean": None, "image_std": None},
    "as years ago": {"image_processor_type": None, "feature_extractor_type": "ViTFeatureExtractor", "size": 32},
    "telling sizes, too": {"image_processor_type": "Sam2ImageProcessor"},
    "telling crops, too": {"image_processor_type": "Gemma3ImageProcessor"},
}


@pytest.mark.parametrize("name", PLAIN)
def test_images_are_prepared_as_the_processor_does_whatever_its_keys(folder, photos, tmp_path, name):
    model = tmp_path / "model"
    shutil.copytree(folder("vit_classifier"), model)
    keys = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}} | PLAIN[name]
    written = {key: value for key, value in keys.items() if key != "image_processor_type" or value}
    (model / "preprocessor_config.json").write_text(json.dumps(written))
    wanted = expected(
        model, transformers.ViTForImageClassification, lambda whole, x: whole.vit(x).last_hidden_state[:, 0], photos
    )
    assert np.allclose(embedder(model).embed(photos), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_networks_of_timms_hub_embed_images(photos, tmp_path, name):
    model = tiny_models.of_timm(name)(tmp_path)
    network = timm.create_model(name)
    safetensors.torch.load_model(network, tmp_path / "model.safetensors")
    config = timm.data.resolve_data_config(pretrained_cfg=network.pretrained_cfg)
    transform = timm.data.create_transform(**config, is_training=False)
    network = network.eval()
    with torch.no_grad():
        rows = [
            network.forward_head(network.forward_features(transform(photo)[None]), pre_logits=True)[0]
            for photo in photos
        ]
    wanted = np.stack([(row / row.norm()).numpy() for row in rows])
    assert np.allclose(embedder(model).embed(photos), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (tiny_embedders.vit_mae, "is random: it gives the same image other vectors"),
        (tiny_embedders.i_jepa, r"gives no single vector of an image, but \[1, 16, 16\]: choose one such as CLIP"),
        (tiny_embedders.flava, r"gives no single vector of an image, but \[1, 17, 16\]: choose one such as CLIP"),
        (tiny_models.resnet_with(transformers.LightGlueImageProcessor()), ".*A pair of PIL images"),
        (
            tiny_models.resnet_with(transformers.FuyuImageProcessor()),
            "ResNetModel takes none of what FuyuImageProcessor makes of an image: images, image_unpadded",
        ),
        (tiny_models.resnet_with(transformers.ImageGPTImageProcessor()), ".*Clusters must be provided"),
        (tiny_models.resnet_with(transformers.VitMatteImageProcessor()), ".*trimaps"),
    ],
)
def test_a_model_that_gives_no_vector_of_an_image_is_refused_in_a_sentence(tmp_path, build, message):
    model = build(tmp_path)
    with pytest.raises(ModelError, match=rf"^embedder: model {re.escape(model)}:? {message}") as caught:
        embedder(model)
    assert "\n" not in str(caught.value)


def test_vectors_that_are_no_numbers_are_refused_not_scored(tmp_path):
    flat = tiny_models.resnet_with(transformers.ViTImageProcessor(image_std=[0.5, 0, 0.5], size=32))(tmp_path / "flat")
    with pytest.raises(ModelError, match=f"^embedder: model {re.escape(flat)} makes no numbers of an image: its image"):
        embedder(flat)
    large = tiny_models.resnet_with(transformers.ViTImageProcessor(image_std=[1e-6] * 3, size=32))(tmp_path / "large")
    assert np.isfinite(embedder(large).embed([Image.new("RGB", (40, 30), "red")])).all()
    with pytest.raises(ModelError, match=r"makes no numbers of an image: .* set embedder\.dtype: float32$"):
        embedder(large, dtype="float16")


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        (transformers.GLPNImageProcessor(), "40 x 30"),
        (transformers.GlmImageImageProcessor(), "200 x 900"),  # it is asked before there are images
    ],
)
def test_an_image_that_the_processor_refuses_is_told_with_its_size(tmp_path, processor, size):
    model = tiny_models.resnet_with(processor)(tmp_path)
    told = rf"^embedder: model {re.escape(model)}: its processor cannot prepare a picture of {size} pixels: \w+"
    with pytest.raises(ModelError, match=told):
        embedder(model).embed([Image.new("RGB", (320, 320)), Image.new("RGB", (40, 30))])


def test_the_embedded_model_gives_clips_image_features(photos):
    model = str(MODELS / "embedder")
    wanted = expected(model, transformers.CLIPModel, lambda clip, x: clip.get_image_features(x).pooler_output, photos)
    assert np.allclose(embedder(model).embed(photos), wanted, atol=1e-6)


def test_a_saved_image_tower_keeps_its_projection(folder, photos, tmp_path):
    whole = folder("clip")
    tower = embedder(whole).model
    tower.save_pretrained(tmp_path)
    transformers.AutoImageProcessor.from_pretrained(whole).save_pretrained(tmp_path)
    assert np.array_equal(embedder(tmp_path).embed(photos), embedder(whole).embed(photos))


def test_vectors_of_half_precision_are_close_to_those_of_full(folder, photos):
    half = embedder(folder("clip"), dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    found, full = half.embed(photos), embedder(folder("clip")).embed(photos)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert (found * full).sum(1).min() > 0.99


TEXTS = ["red stars", "grass", "what is this", "word1 word2 word3", "stars on grass"]


def text_embedder(model, **settings):
    found = TransformersTextEmbedder(EmbedderSettings(model=str(model), **settings))
    found.size.items = 3
    return found


@pytest.mark.parametrize(
    ("family", "loaded", "cls"),
    [
        ("clip_with_texts", "CLIPTextModelWithProjection", transformers.CLIPModel),
        ("siglip", "SiglipModel", transformers.SiglipModel),
    ],
)
def test_vectors_of_texts_are_those_of_the_whole_model_whatever_the_batch(folder, family, loaded, cls):
    one = text_embedder(folder(family))
    assert type(one.model).__name__ == loaded
    found = one.embed_texts(TEXTS)
    whole = cls.from_pretrained(folder(family), dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder(family))
    length = whole.config.text_config.max_position_embeddings
    for text, vector in zip(TEXTS, found, strict=True):
        inputs = tokenizer([text], padding="max_length", max_length=length, return_tensors="pt")
        with torch.no_grad():
            wanted = whole.get_text_features(**inputs).pooler_output[0]
        assert np.allclose(vector, (wanted / wanted.norm()).numpy(), atol=1e-5)
    assert found.dtype == np.float32
    assert (found @ found.T - np.eye(len(TEXTS))).max() < 0.9999
    assert np.array_equal(one.embed_texts(TEXTS[::-1]), found[::-1])
    assert one.embed_texts([]).shape[0] == 0


def test_the_embedded_model_finds_the_caption_of_an_image():
    scenes = [render.draw(4, i) for i in range(12)]
    captions = [
        f"a {scene.colour} {scene.texture} {scene.shape} on {grammar.PLACES[scene.background]}" for scene, *_ in scenes
    ]
    assert len(set(captions)) == len(captions)
    model = MODELS / "embedder"
    images = embedder(model).embed([Image.fromarray(image) for _, image, _ in scenes])
    similar = images @ text_embedder(model).embed_texts(captions).T
    assert similar.argmax(1).tolist() == list(range(12))


def test_a_text_that_is_too_long_is_cut_and_told(folder, caplog):
    one = text_embedder(folder("clip_with_texts"))
    long = " ".join(["stars"] * 200)
    assert np.array_equal(one.embed_texts([long]), one.embed_texts([long + " grass"]))
    assert f"reads the first {one.longest} of 202 tokens" in caplog.text


@pytest.mark.parametrize("family", ["dinov2", "clip_of_images"])
def test_models_without_a_text_side_are_refused(folder, family):
    with pytest.raises(ModelError, match=r"embedder: model .* reads no texts: choose one such as CLIP"):
        text_embedder(folder(family))

"""Tiny models of every family of embedders: the right part is loaded, and its vectors are those of the whole model."""

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
import transformers
from PIL import Image
from tiny_models import one_thread  # noqa: F401

from dnd.backends.embedder import TransformersEmbedder, TransformersTextEmbedder
from dnd.hub import ModelError
from dnd.settings import EmbedderSettings
from dnd.shapeworld import grammar, render

MODELS = Path(__file__).parents[2] / "resources" / "shapeworld"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function that builds a family's model, once."""
    made = {}

    def build(family):
        if family not in made:
            made[family] = getattr(tiny_models, family)(tmp_path_factory.mktemp(family))
        return made[family]

    return build


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 90, (7, 2))
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3)).astype(np.uint8)) for h, w in sizes]


def embedder(model, **settings):
    found = TransformersEmbedder(EmbedderSettings(model=str(model), **settings))
    found.size.items = 4
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

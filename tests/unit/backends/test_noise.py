"""A worse embedder: noise of the size that is asked for, of each image alone, and none in the store."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnd.backends import embeddings, noise
from dnd.backends.embedder import Embedder, TransformersTextEmbedder
from dnd.config.backends import EmbedderSettings
from dnd.shapeworld.render import draw

MODEL = str(Path(__file__).parents[3] / "resources/shapeworld/embedder")
DIMENSIONS, SIZE = 64, 0.1


class Constant(Embedder):
    """Gives every image the same unit vector."""

    def embed(self, images):
        return np.tile(np.eye(1, DIMENSIONS, dtype=np.float32), (len(images), 1))


def pictures(count):
    return [Image.fromarray(draw(1, number)[1]) for number in range(count)]


def test_cosines_with_texts_have_noise_of_the_size_that_is_asked_for():
    vectors = noise.NoisyEmbedder(Constant(), SIZE).embed(pictures(400))
    assert (vectors.dtype, vectors.shape) == (np.float32, (400, DIMENSIONS))
    texts = np.eye(DIMENSIONS)[[0, 5]]
    assert (vectors @ texts.T).mean(0) == pytest.approx([1, 0], abs=4 * SIZE / 20)
    assert (vectors @ texts.T).std(0) == pytest.approx([SIZE, SIZE], rel=0.15)


def test_products_of_two_images_have_the_variance_that_is_told():
    vectors = noise.NoisyEmbedder(Constant(), SIZE).embed(pictures(200))
    products = (vectors @ vectors.T)[np.triu_indices(200, 1)]
    assert products.std() == pytest.approx(np.sqrt(2 * SIZE**2 + DIMENSIONS * SIZE**4), rel=0.15)


def test_an_image_has_the_same_noise_alone_and_among_others():
    images = pictures(6)
    embedder = noise.NoisyEmbedder(Constant(), SIZE)
    first, second = embedder.embed_groups([images[:4], images[4:]])
    assert np.array_equal(np.concatenate([first, second]), embedder.embed(images))
    assert np.array_equal(embedder.embed(images[3:4])[0], first[3])
    assert not np.allclose(first[0], first[1])


def test_the_store_keeps_vectors_without_noise(tmp_path):
    plain, noisy = (EmbedderSettings(model=MODEL, noise=size) for size in (0, SIZE))
    images = pictures(4)
    worse = embeddings.load(noisy, tmp_path).embed(images)
    files = sorted(tmp_path.rglob("*"))
    better = embeddings.load(plain, tmp_path).embed(images)
    assert sorted(tmp_path.rglob("*")) == files
    assert np.linalg.norm(better, axis=1) == pytest.approx(1, abs=1e-3)
    moved = worse - better
    assert moved == pytest.approx(
        SIZE * noise.aside([noise.digest(image) for image in images], better.shape[1]), abs=1e-6
    )


def test_texts_have_no_noise():
    plain, noisy = (TransformersTextEmbedder(EmbedderSettings(model=MODEL, noise=size)) for size in (0, SIZE))
    assert np.array_equal(plain.embed_texts(["red stars"]), noisy.embed_texts(["red stars"]))

"""Concepts and images as vectors: what methods with a list of concepts share."""

import numpy as np
import rivals

from dnd.backends.embedder import Embedder
from dnd.config.rivals import ClipDissectRecipe
from dnd.rivals import embedded


class Painted(Embedder):
    """Embeds images by their mean colour, and texts by their lengths."""

    def embed(self, images):
        return np.array([np.asarray(image, np.float32).mean((0, 1)) for image in images])

    def embed_texts(self, texts):
        return np.array([[len(text)] for text in texts], np.float32)


def test_the_prompt_is_read_with_each_concept_and_lines_count_once(tmp_path):
    (tmp_path / "concepts.txt").write_text("red\n\n sky\nred\n")
    recipe = ClipDissectRecipe(
        method="clip-dissect",
        concepts=tmp_path / "concepts.txt",
        embedder={"model": "none"},
        prompt="a photo of {concept}",
    )
    names, vectors = embedded.concepts(recipe, Painted())
    assert names == ["red", "sky"]
    assert vectors.tolist() == [[len("a photo of red")], [len("a photo of sky")]] and vectors.dtype == np.float64


def test_parts_are_all_concepts_in_order():
    words = np.arange(embedded.CONCEPTS_AT_ONCE * 2 + 3, dtype=np.float64)[:, None]
    parts = embedded.parts(words)
    assert [len(part) for part in parts] == [embedded.CONCEPTS_AT_ONCE, embedded.CONCEPTS_AT_ONCE, 3]
    assert np.array_equal(np.concatenate(parts), words)


def test_images_are_found_by_their_ids(tmp_path):
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]])
    layer = rivals.layer(tmp_path, np.eye(4), colours)
    vectors = embedded.of_images(Painted(), layer["shards"], ["0002.png", "0000.png", "0002.png"])
    assert {name: vector.tolist() for name, vector in vectors.items()} == {
        "0000.png": [10, 20, 30],
        "0002.png": [70, 80, 90],
    }

"""When an embedder takes an image for one that shows a text."""

import numpy as np
import pytest
from handmade import png
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from dnd.backends.embedder import Embedder
from dnd.config.backends import EmbedderSettings
from dnd.io import schemas, tables
from dnd.io.rows import Picture, Scales
from dnd.selection import scales

COLOURS = {"red": (250, 10, 0), "green": (0, 240, 30), "blue": (20, 0, 230), "yellow": (250, 220, 0)}


class Colours(Embedder):
    """Embeds images by their mean colour and texts by the colour that they name."""

    def embed(self, images):
        return self._unit([np.asarray(image).reshape(-1, 3).mean(0) for image in images])

    def embed_texts(self, texts):
        return self._unit([COLOURS.get(text, (1, 1, 1)) for text in texts])

    def _unit(self, colours):
        vectors = np.array(colours, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def write(tmp_path):
    def written(concepts, problem=None, turned=0):
        """Three pictures of each concept, in the colour of the concept that comes so many later."""
        names = list(COLOURS)
        rng = np.random.default_rng(0)
        pictures = []
        for concept in concepts:
            colour = COLOURS[names[(names.index(concept) + turned) % len(names)]]
            for sample in range(3):
                pixels = np.clip(colour + rng.integers(-10, 10, (8, 8, 3)), 0, 255)
                pictures.append(Picture(concept, sample, 0, "", png(pixels), problem))
        tables.write(tmp_path / "images.parquet", tables.table(pictures, schemas.IMAGES), schemas.IMAGES)
        return [tmp_path / "images.parquet"]

    return written


def test_a_known_scale_and_bias_are_found_again():
    """Cosines of 400 pictures with 50 texts, of which each shows one text as likely as scale and bias say."""
    rng = np.random.default_rng(0)
    shown = rng.integers(50, size=4000)
    # log odds of two normal distributions of equal spread: (m1 - m0) / s^2, and what the share of pairs adds
    cosines = rng.normal(0.1, 0.05, (4000, 50)).astype(np.float32)
    cosines[np.arange(4000), shown] += 0.15
    scale = 0.15 / 0.05**2
    bias = (0.1**2 - 0.25**2) / (2 * 0.05**2) + np.log((1 / 50) / (49 / 50))
    found = scales.fit(cosines, shown)
    assert found.scale == pytest.approx(scale, rel=0.03)
    assert found.bias == pytest.approx(bias, rel=0.03)
    assert (found.pictures, found.concepts) == (4000, 50)


def test_of_all_pairs_as_many_show_the_text_as_the_probabilities_add_up_to():
    rng = np.random.default_rng(1)
    cosines, shown = rng.normal(0, 0.1, (300, 10)).astype(np.float32), rng.integers(10, size=300)
    cosines[np.arange(300), shown] += 0.2
    found = scales.fit(cosines, shown)
    assert expit(found.scale * cosines.astype(float) + found.bias).sum() == pytest.approx(300, rel=1e-3)
    own = (np.arange(10) == shown[:, None]).ravel()
    assert found.auc == pytest.approx(roc_auc_score(own, cosines.ravel()))


def test_pictures_show_their_own_texts_and_no_others(write):
    (found,) = tables.rows_of(scales.of_pictures(list(COLOURS), write(COLOURS), Colours(), Colours()), Scales)
    assert (found.pictures, found.concepts, found.auc) == (12, 4, 1)
    vectors = Colours().embed_texts(list(COLOURS))
    shown = expit(found.scale * vectors @ vectors.T + found.bias)
    assert (np.diag(shown) > 0.5).all()
    assert shown[~np.eye(4, dtype=bool)].max() < 0.5


def test_neither_order_nor_repetition_of_concepts_matters(write):
    images = write(COLOURS)
    expected = scales.of_pictures(list(COLOURS), images, Colours(), Colours())
    assert scales.of_pictures([*reversed(COLOURS), "red"], images, Colours(), Colours()) == expected


def test_many_concepts_are_sampled(write, monkeypatch):
    monkeypatch.setattr(scales, "MOST", 3)
    found = scales.of_pictures(list(COLOURS), write(COLOURS), Colours(), Colours()).to_pylist()
    assert (found[0]["concepts"], found[0]["pictures"]) == (3, 9)


def test_with_fewer_than_two_concepts_there_is_nothing_to_fit(write):
    assert scales.of_pictures(["red"], write(["red"]), Colours(), Colours()).num_rows == 0
    assert scales.of_pictures([], write(COLOURS), Colours(), Colours()).num_rows == 0
    assert scales.of_pictures(list(COLOURS), write(COLOURS, "black"), Colours(), Colours()).num_rows == 0


def test_an_embedder_whose_texts_do_not_go_with_pictures_has_no_scale(write):
    two = ["red", "green"]
    swapped = write(two, turned=0)
    names = {"red": "green", "green": "red"}

    class Confused(Colours):
        def embed_texts(self, texts):
            return super().embed_texts([names[text] for text in texts])

    found = scales.of_pictures(two, swapped, Colours(), Confused())
    assert found.num_rows == 0
    assert found.schema.names == schemas.SCALES.names


def test_given_scales_come_before_fitted_ones(tmp_path):
    path = tmp_path / "scales.parquet"
    tables.write(path, tables.table([Scales(8.0, -2.0, 12, 4, 1.0)], schemas.SCALES), schemas.SCALES)
    fitted, given = EmbedderSettings(model="m"), EmbedderSettings(model="m", scale=5, bias=-1)
    assert scales.read(given, [path]) == Scales(5, -1)
    assert scales.read(fitted, [path]) == Scales(8.0, -2.0, 12, 4, 1.0)
    assert scales.read(fitted, []) is None
    tables.write(path, tables.table([], schemas.SCALES), schemas.SCALES)
    assert scales.read(fitted, [path]) is None

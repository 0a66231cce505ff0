"""What pictures of concepts excite; the drawing is stood in for."""

import io

import numpy as np
import pytest
from handmade import TinyTarget
from PIL import Image

from dnd.backends.batches import BatchSize
from dnd.backends.generator import ImagesError
from dnd.io import schemas, tables
from dnd.io.rows import Picture
from dnd.target import generated

COLOURS = {"red": (255, 0, 0), "dim": (51, 0, 0), "blue": (0, 0, 255)}


def picture(concept, sample, problem=None):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), COLOURS.get(concept, (0, 0, 0))).save(buffer, "PNG")
    return Picture(concept, sample, sample, "k", buffer.getvalue(), problem)


class Drawing:
    """Two pictures of each concept, the second one first; none can be used of those in ``unusable``."""

    def __init__(self, *unusable):
        self.unusable, self.asked = unusable, []

    def __call__(self, concepts):
        self.asked.append(list(concepts))
        rows = [picture(name, i, "blank" if name in self.unusable else None) for name in concepts for i in (1, 0)]
        if all(row.problem for row in rows):
            raise ImagesError("none can be used")
        return tables.table(rows, schemas.IMAGES)


def reader(draw, units=(0, 2)):
    return generated.Reader(TinyTarget(8), "colour", units, "mean", draw, "test")


def test_activations_of_the_units_by_concept():
    seen = reader(Drawing())(["red", "dim", "blue"])
    assert {name: values.shape for name, values in seen.items()} == dict.fromkeys(["red", "dim", "blue"], (2, 2))
    np.testing.assert_allclose(seen["red"], [[1, 0], [1, 0]])
    np.testing.assert_allclose(seen["dim"], [[0.2, 0], [0.2, 0]])
    np.testing.assert_allclose(seen["blue"], [[0, 1], [0, 1]])


def test_every_concept_is_drawn_once(monkeypatch):
    monkeypatch.setattr(generated, "CONCEPTS", 1)
    draw = Drawing()
    read = reader(draw)
    read(["red", "blue"])
    assert list(read(["red", "dim"])) == ["red", "dim"]
    assert draw.asked == [["blue"], ["red"], ["dim"]]


def test_concepts_without_a_usable_picture(monkeypatch):
    monkeypatch.setattr(generated, "CONCEPTS", 1)
    with pytest.raises(ImagesError):
        reader(Drawing("red"))(["red"])
    read = reader(Drawing("red"))
    read(["blue"])
    assert read(["red"])["red"].shape == (0, 2)


def test_pictures_that_cannot_be_used_are_passed_over():
    rows = [picture("red", 0), picture("blue", 0, "blank"), picture("dim", 0)]
    size = BatchSize(2, "test")
    read = list(generated.read(TinyTarget(8), "colour", rows, "max", size))
    assert [row.concept for row, _ in read] == ["red", "dim"]
    np.testing.assert_allclose([values[0] for _, values in read], [1, 0.2])

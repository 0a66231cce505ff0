"""Pictures of concepts as the network and the embedder see them."""

import logging

import numpy as np
import pytest
from handmade import TinyTarget, png

from dnd.backends.embedder import Embedder
from dnd.io import schemas, tables
from dnd.io.rows import Picture
from dnd.selection import drawn

USERS = {"red things": [0, 2], "snow": [1]}


class Brightness(Embedder):
    """Embeds a picture by its mean colour."""

    def embed(self, images):
        return np.array([np.asarray(image).reshape(-1, 3).mean(0) / 255 for image in images], np.float32)


def picture(concept, sample, colour, problem=None, side=8):
    return Picture(concept, sample, 0, "", png(np.full((side, side, 3), colour)), problem)


PICTURES = [
    picture("red things", 0, (255, 0, 51)),
    picture("red things", 1, (204, 0, 0)),
    picture("snow", 0, (0, 0, 0), "black"),
    picture("snow", 1, (255, 255, 255)),
    picture("unasked", 0, (1, 2, 3)),
]


@pytest.fixture
def write(tmp_path):
    """A function that writes pictures to a file of IMAGES, a row group for each so many."""

    def written(pictures, name="images.parquet"):
        tables.write(tmp_path / name, tables.table(pictures, schemas.IMAGES), schemas.IMAGES)
        return tmp_path / name

    return written


def look(files, users=USERS, **options):
    return drawn.look(TinyTarget(8), "colour", Brightness(), files, users, pooling="mean", **options)


def test_a_concept_s_pictures_excite_the_units_that_ask_for_them(write):
    found = look([write(PICTURES)])
    assert set(found) == set(USERS)
    red = found["red things"]
    assert set(red.activations) == {0, 2}
    assert red.activations[0] == pytest.approx([1, 0.8])
    assert red.activations[2] == pytest.approx([0.2, 0])
    assert red.vectors == pytest.approx(np.array([[1, 0, 0.2], [0.8, 0, 0]]))


def test_pictures_with_a_problem_are_looked_at_by_nobody(write):
    assert look([write(PICTURES)])["snow"].activations[1].tolist() == [1]
    assert {name: len(images) for name, images in drawn.usable([write(PICTURES)], USERS)} == {
        "red things": 2,
        "snow": 1,
    }


def test_usable_pictures_are_those_of_the_concept_by_sample(write):
    rows = [picture("red things", 1, (10, 0, 0)), picture("red things", 0, (20, 0, 0)), picture("snow", 0, (30, 0, 0))]
    ((concept, images),) = drawn.usable([write(rows)], ["red things", "not drawn"])
    assert concept == "red things" and [np.asarray(image)[0, 0, 0] for image in images] == [20, 10]


def test_the_order_of_rows_and_files_does_not_matter(write):
    files = [write(PICTURES[2:], "b.parquet"), write(PICTURES[1::-1], "a.parquet")]
    for found in (look(files), look(files[::-1])):
        for concept, expected in look([write(PICTURES)]).items():
            assert found[concept].vectors.tolist() == expected.vectors.tolist()
            for unit, values in expected.activations.items():
                assert found[concept].activations[unit].tolist() == values.tolist()


def test_a_concept_without_a_usable_picture_is_left_out_and_named(write, caplog):
    with caplog.at_level(logging.WARNING):
        assert set(look([write(PICTURES[:3])])) == {"red things"}
    assert "all images of ['snow'] are black or flagged" in caplog.text


def test_a_concept_that_nobody_drew_is_an_error(write):
    with pytest.raises(ValueError, match=r"^no generated images of 'snow' and 0 other concepts$"):
        look([write(PICTURES[:2])])


def test_pictures_are_shrunk_as_the_release_does(write):
    large = [picture("red things", 0, (255, 0, 0), side=20)]
    ((_, image),) = next(iter(drawn._decoded([write(large)], USERS, shrink=4))).samples
    assert image.size == (4, 4)
    ((_, image),) = next(iter(drawn._decoded([write(large)], USERS))).samples
    assert image.size == (20, 20)


def test_so_many_concepts_are_looked_at_together_that_some_are_looked_at_later(write):
    """More than one chunk of concepts, whose pictures fill no whole batch."""
    many = [picture(f"c{number:03d}", sample, (number, 0, 0)) for number in range(40) for sample in range(2)]
    found = look([write(many)], {f"c{number:03d}": [0] for number in range(40)})
    reds = [values.activations[0].tolist() for _, values in sorted(found.items())]
    assert reds == [pytest.approx([number / 255] * 2) for number in range(40)]

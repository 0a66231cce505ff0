"""Sprite sheets: where a picture is, what it looks like there, and how much it weighs."""

from functools import partial

import numpy as np
import pytest
from pages import png
from PIL import Image
from skimage import data

from dnd.report.sprites import Format, Sheet, cell, coloured, fitted
from dnd.report.units import DRAWN, EXEMPLARS, HEAT, THUMBS, cut

PLAIN = Format(side=8, columns=3, quality=90)


def plain(colour, size=(8, 8)):
    return Image.new("RGB", size, colour)


def test_a_cell_is_where_its_number_says(tmp_path):
    sheet = Sheet(PLAIN)
    colours = ["red", "lime", "blue", "yellow", "white"]
    assert [sheet.place(name, lambda name=name: plain(name)) for name in [*colours, "lime"]] == [0, 1, 2, 3, 4, 1]
    sheet.write(tmp_path / "a.webp")
    assert sheet.facts == {"side": 8, "columns": 3, "count": 5}
    found = Image.open(tmp_path / "a.webp")
    assert found.size == (24, 16)
    for number, name in enumerate(colours):
        x, y = 8 * (number % 3) + 4, 8 * (number // 3) + 4
        assert found.getpixel((x, y)) == pytest.approx(plain(name).getpixel((0, 0)), abs=24)


def test_a_sheet_without_pictures_is_not_written(tmp_path):
    Sheet(PLAIN).write(tmp_path / "a.webp")
    assert not list(tmp_path.iterdir())


def test_a_sheet_of_many_pictures_grows_wide_where_webp_ends(tmp_path):
    sheet = Sheet(Format(side=100, columns=2, quality=10))
    for number in range(480):
        sheet.place(number, lambda: plain("black", (100, 100)))
    sheet.write(tmp_path / "a.webp")
    assert sheet.columns == 3
    assert Image.open(tmp_path / "a.webp").size == (300, 16_000)


@pytest.mark.parametrize(
    ("size", "place"), [((200, 100), (0, 25, 100, 50)), ((10, 40), (37, 0, 25, 100)), ((3000, 1), (0, 49, 100, 1))]
)
def test_pictures_are_whole_and_centred(size, place):
    assert fitted(size, 100) == place
    found = np.asarray(cell(plain("white", size), 100))
    x, y, width, height = place
    assert found[y : y + height, x : x + width].min() > 250
    assert found.sum() == found[y : y + height, x : x + width].sum()


def test_heat_map_is_clear_at_its_minimum_and_covers_at_its_maximum():
    found = coloured(png(np.array([[0, 0, 255, 255]] * 4, np.uint8)), 4)
    assert found.getpixel((0, 2))[3] == 0
    assert found.getpixel((3, 2)) == (252, 240, 150, 230)


def test_a_thumbnail_is_cut_from_the_cell_of_the_whole_image():
    image = plain("blue", (80, 40))
    image.paste("red", (60, 10, 80, 30))
    found = cut(np.asarray(cell(image, 40)), (80, 40), [60, 10, 80, 30], 10)
    assert found.size == (10, 10)
    assert found.getpixel((5, 5))[0] > 240 and found.getpixel((5, 5))[2] < 15


def test_a_unit_with_photographs_stays_within_its_share(tmp_path):
    """Ten exemplars and fifty generated images, all different and noisy, take under 60 kB a unit."""
    rng = np.random.default_rng(0)
    photos = [data.astronaut(), data.coffee(), data.chelsea(), np.stack([data.gravel()] * 3, 2)]

    def photo():
        whole = photos[rng.integers(len(photos))]
        side = int(rng.integers(150, 300))
        y, x = (int(rng.integers(edge - side + 1)) for edge in whole.shape[:2])
        noise = rng.normal(0, 4, (side, side, 3))
        return Image.fromarray(np.clip(whole[y : y + side, x : x + side] + noise, 0, 255).astype(np.uint8))

    total = 0
    for form, count in ((EXEMPLARS, 10), (DRAWN, 50), (THUMBS, 4), (HEAT, 10)):
        sheet = Sheet(form)
        for number in range(count):
            grey = png(rng.integers(0, 256, (7, 7), np.uint8))
            picture = coloured(grey, form.side) if form is HEAT else cell(photo(), form.side)
            sheet.place(number, partial(np.asarray, picture))
        sheet.write(tmp_path / "a.webp")
        total += (tmp_path / "a.webp").stat().st_size
    assert 10_000 < total < 53_000  # the rest is for texts and numbers

"""Sheets of pictures for notebooks: where a unit is active, and rows of pictures with words beside them."""

import io

import numpy as np
from PIL import Image

from dnd.report import notebook_sheet
from dnd.report.notebook_sheet import DIMMEST, FRAME, GAP, SIDE, TEXT_WIDTH

WHITE = Image.new("RGB", (100, 50), "white")


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_an_exemplar_is_a_square_and_darker_where_its_unit_is_less_active():
    assert np.asarray(notebook_sheet.exemplar(WHITE, None)).min() == 255
    heat = png(Image.fromarray(np.array([[0, 255]], np.uint8)).resize((2, 2), Image.Resampling.NEAREST))
    shown = np.asarray(notebook_sheet.exemplar(WHITE, None, heat, (0, 0, 100, 50), side=50))
    assert shown.shape == (50, 50, 3)
    assert abs(int(shown[25, 2, 0]) - DIMMEST) < 5 and shown[25, 47, 0] > 250


def test_a_frame_is_around_the_attention_crop_and_the_image_stays_as_it_is():
    shown = notebook_sheet.exemplar(WHITE, (20, 10, 80, 40), side=100)
    assert shown.getpixel((21, 50)) != (255, 255, 255) and shown.getpixel((50, 50)) == (255, 255, 255)
    assert WHITE.getpixel((20, 10)) == (255, 255, 255) != FRAME


def test_a_sheet_has_a_row_of_squares_beside_each_text():
    red = Image.new("RGB", (10, 30), "red")
    sheet = notebook_sheet.sheet([("unit 1\nred objects " * 3, [red, red]), ("", [red])])
    assert sheet.size == (TEXT_WIDTH + 2 * (SIDE + GAP), 2 * (SIDE + GAP) + GAP)
    assert sheet.getpixel((TEXT_WIDTH + SIDE + GAP + 5, GAP + 5)) == (255, 0, 0)
    assert sheet.getpixel((TEXT_WIDTH + SIDE + GAP + 5, 2 * GAP + SIDE + 5)) == (255, 255, 255)
    assert np.asarray(sheet)[:, :TEXT_WIDTH].min() < 100  # the text
    assert np.asarray(sheet)[:, TEXT_WIDTH - GAP : TEXT_WIDTH].min() == 255  # which ends before the pictures

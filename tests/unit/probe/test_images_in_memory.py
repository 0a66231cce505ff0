"""Images that a notebook holds become the probe of the call, in any usual form, or are refused in a sentence."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dnd import api
from dnd.io import pictures, schemas, tables
from dnd.probe import images_in_memory
from dnd.probe.sources import source_of

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, GREY[::-1], GREY // 2], axis=-1)


def written(images, folder):
    """The pixels of the probe's images."""
    source = source_of("notebook", images_in_memory.write(images, folder))
    return [np.asarray(pictures.decode(source.read(entry))) for entry in source.entries()]


def shades(*numbers):
    return [Image.new("RGB", (4, 4), (number, 9, 9)) for number in numbers]


@pytest.mark.parametrize(("before", "after"), [(20, 8), (3, 1), (2, 5)])
def test_a_folder_that_kept_other_images_describes_those_of_this_call(tmp_path, before, after):
    api._packed(shades(*range(before)), tmp_path)
    packed = api._packed(shades(*range(100, 100 + after)), tmp_path)
    reds = [pictures.decode(row["image"]).getpixel((0, 0))[0] for row in pictures.rows([packed])]
    assert reds == list(range(100, 100 + after))
    assert tables.read(packed, schemas.PROBE)["image_id"][0].as_py() == "000000.png"


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        COLOUR,
        COLOUR / 255,
        torch.from_numpy(COLOUR).movedim(-1, 0),
        (torch.from_numpy(COLOUR).movedim(-1, 0) / 255).double(),
        Image.fromarray(COLOUR),
        png(Image.fromarray(COLOUR)),
        np.dstack([COLOUR, np.full((3, 4), 255, np.uint8)]),
    ],
)
def test_images_are_taken_as_arrays_tensors_and_files(tmp_path, image):
    (pixels,) = written([image], tmp_path)
    assert np.array_equal(pixels, COLOUR)


@pytest.mark.parametrize("image", [GREY, GREY[..., None], torch.from_numpy(GREY), torch.from_numpy(GREY)[None]])
def test_grey_arrays_are_taken(tmp_path, image):
    (pixels,) = written([image], tmp_path)
    assert np.array_equal(pixels, np.dstack([GREY] * 3))


def test_paths_and_batches_are_taken(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    for images in ([tmp_path / "a.png"], [str(tmp_path / "a.png")], COLOUR[None], iter([COLOUR])):
        assert np.array_equal(written(images, tmp_path / "images"), [COLOUR])


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "L", "P", "1"])
def test_every_mode_of_pillow_is_seen_as_pillow_shows_it(tmp_path, mode):
    image = Image.fromarray(COLOUR).convert(mode)
    (pixels,) = written([image], tmp_path)
    assert np.array_equal(pixels, np.asarray(image.convert("RGB")))


def test_photographs_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    (pixels,) = written([Image.open(tmp_path / "a.png")], tmp_path / "images")
    assert np.array_equal(pixels, np.rot90(COLOUR, -1))


def test_images_of_the_folder_itself_are_read_before_they_are_replaced(tmp_path):
    written(shades(1, 2, 3), tmp_path)
    opened = [Image.open(tmp_path / f"00000{i}.png") for i in (2, 0, 1)]
    assert [pixels[0, 0, 0] for pixels in written(opened, tmp_path)] == [3, 1, 2]


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([], "images: there are none"),
        ([COLOUR, None], r"images\[1\]: NoneType is no image; expected an image of Pillow"),
        ([(COLOUR, 3)], r"images\[0\]: tuple is no image"),
        ([COLOUR - 3.0], r"images\[0\]: values from -3 to \d+, expected 0 to 1"),
        ([COLOUR.astype(np.int64)], "values of type int64, expected uint8"),
        ([torch.zeros(5, 4, 4)], r"a tensor of shape \(5, 4, 4\); expected"),
        ([np.zeros((3, 4, 4, 3))], r"an array of shape \(3, 4, 4, 3\); expected"),
        (COLOUR, r"images: an array of shape \(3, 4, 3\) is not several images"),
        (Image.fromarray(COLOUR), "images: a single image; put it into a list"),
        (["missing.png"], r"images\[0\]: .*missing.png"),
        ([b"no image"], r"images\[0\]: cannot identify image file"),
    ],
)
def test_what_is_no_image_is_refused_by_its_place(tmp_path, images, told):
    with pytest.raises(ValueError, match=told):
        images_in_memory.write(images, tmp_path)


def test_evidence_of_a_later_call_is_not_shown_as_that_of_an_earlier_one(tmp_path):
    earlier, later = (
        tables.table([{**dict.fromkeys(schemas.DESCRIPTIONS.names), "unit": 3, "layer": layer}], schemas.DESCRIPTIONS)
        for layer in ("conv1", "conv2")
    )
    tables.write(tmp_path / "descriptions.parquet", later, schemas.DESCRIPTIONS)
    with pytest.raises(ValueError, match="holds the evidence of a later call"):
        api.Descriptions(earlier, tmp_path).show(3)

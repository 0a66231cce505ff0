"""What the bytes of all kinds of image files look like to a network."""

import io
import warnings

import numpy as np
import pytest
from handmade import png, write_probe
from PIL import Image

from dnd.io import pictures

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
ORIENTATION = 0x0112


def saved(image, form, **settings):
    buffer = io.BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def decoded(data):
    """Rows of pixels."""
    image = pictures.decode(data)
    assert image.mode == "RGB"
    return [[image.getpixel((x, y)) for x in range(image.width)] for y in range(image.height)]


def noise(*shape, dtype=np.uint8):
    return Image.fromarray(np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "rows"),  # what a camera stored so, seen upright; EXIF 2.32, section 4.6.4
    [
        (1, [[RED, GREEN], [BLUE, WHITE]]),
        (2, [[GREEN, RED], [WHITE, BLUE]]),
        (3, [[WHITE, BLUE], [GREEN, RED]]),
        (4, [[BLUE, WHITE], [RED, GREEN]]),
        (5, [[RED, BLUE], [GREEN, WHITE]]),
        (6, [[BLUE, RED], [WHITE, GREEN]]),
        (7, [[WHITE, GREEN], [BLUE, RED]]),
        (8, [[GREEN, WHITE], [RED, BLUE]]),
    ],
)
def test_exif_orientation(form, orientation, rows):
    image = Image.fromarray(np.array([[RED, GREEN], [BLUE, WHITE]], np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert decoded(saved(image, form, exif=exif)) == rows


def test_jpeg_with_orientation_changes_its_sides():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert pictures.decode(saved(Image.new("L", (4, 2)), "JPEG", exif=exif)).size == (2, 4)


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_broken_exif_leaves_the_image_as_it_is(exif):
    data = saved(Image.new("RGB", (4, 2), RED), "PNG", exif=exif)
    assert pictures.decode(data).size == (4, 2)
    assert pictures.decode(saved(Image.new("RGB", (4, 2)), "JPEG", exif=exif)).size == (4, 2)


def test_an_orientation_that_does_not_exist_is_ignored():
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    assert decoded(saved(Image.new("RGB", (2, 1), RED), "PNG", exif=exif)) == [[RED, RED]]


def test_cmyk():
    inks = {(0, 0, 0, 0): WHITE, (0, 255, 255, 0): RED, (255, 0, 255, 0): GREEN, (0, 0, 0, 255): BLACK}
    for ink, colour in inks.items():
        assert decoded(saved(Image.new("CMYK", (1, 1), ink), "TIFF")) == [[colour]]
        ((found,),) = decoded(saved(Image.new("CMYK", (1, 1), ink), "JPEG"))
        assert np.abs(np.subtract(found, colour)).max() <= 2  # JPEG's loss; an inverted one is off by 255


def test_palette():
    image = Image.new("P", (2, 1))
    image.putpalette([*BLUE, *GREEN])
    image.putpixel((1, 0), 1)
    for form in ("PNG", "GIF", "BMP"):
        assert decoded(saved(image, form)) == [[BLUE, GREEN]]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bit_grey_is_scaled(form):
    pixels = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    assert decoded(saved(Image.fromarray(pixels), form)) == [[BLACK, (1,) * 3, (128,) * 3, WHITE]]


def test_sixteen_bit_grey_big_endian():
    image = Image.frombytes("I;16B", (2, 1), (255 * 257).to_bytes(2, "big") + (3 * 257).to_bytes(2, "big"))
    assert decoded(saved(image, "TIFF")) == [[WHITE, (3,) * 3]]


def test_sixteen_bit_colour_is_scaled():
    """Pillow writes none: a PPM by hand."""
    pixels = np.array([[255 * 257, 0, 7 * 257]], ">u2").tobytes()
    assert decoded(b"P6 1 1 65535\n" + pixels) == [[(255, 0, 7)]]


def test_floats_from_zero_to_one_are_scaled():
    assert decoded(saved(Image.fromarray(np.array([[0, 0.2, 1]], np.float32)), "TIFF")) == [[BLACK, (51,) * 3, WHITE]]


@pytest.mark.parametrize("pixels", [[0, 255], [-1, 1], [0, np.nan], [0, np.inf]])
def test_floats_of_another_range_are_refused(pixels):
    with pytest.raises(OSError, match=r"pixels from .* to .*, expected 0 to 1"):
        pictures.decode(saved(Image.fromarray(np.array([pixels], np.float32)), "TIFF"))


def test_integers_beyond_sixteen_bits_are_refused():
    with pytest.raises(OSError, match="pixels from 0 to 70000, expected 0 to 65535"):
        pictures.decode(saved(Image.fromarray(np.array([[0, 70000]], np.int32)), "TIFF"))


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_and_black_and_white(mode):
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), 255)
    assert decoded(saved(image, "PNG")) == [[BLACK, WHITE]]


def test_transparent_parts_show_white():
    image = Image.new("RGBA", (3, 1), (*RED, 0))
    image.putpixel((1, 0), (*RED, 255))
    image.putpixel((2, 0), (*BLACK, 51))  # a fifth of black on white
    for form in ("PNG", "TIFF"):
        assert decoded(saved(image, form)) == [[WHITE, RED, (204,) * 3]]


def test_transparent_grey():
    image = Image.new("LA", (2, 1), (0, 0))
    image.putpixel((1, 0), (7, 255))
    assert decoded(saved(image, "PNG")) == [[WHITE, (7,) * 3]]


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_transparent_colour_of_a_palette(form):
    image = Image.new("P", (2, 1))
    image.putpalette([*BLUE, *GREEN])
    image.putpixel((1, 0), 1)
    assert decoded(saved(image, form, transparency=0)) == [[WHITE, GREEN]]


@pytest.mark.parametrize(("mode", "key", "other"), [("RGB", RED, BLUE), ("L", 10, 20)])
def test_a_colour_that_stands_for_transparent(mode, key, other):
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), other)
    expected = other if mode == "RGB" else (other,) * 3
    assert decoded(saved(image, "PNG", transparency=key)) == [[WHITE, expected]]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    settings = {"lossless": True} if form == "WEBP" else {}
    data = saved(frames[0], form, save_all=True, append_images=frames[1:], **settings)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert {colour for row in decoded(data) for colour in row} == {RED}


@pytest.mark.parametrize("form", pictures.FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_refused(form, share):
    data = saved(noise(64, 64, 3), form)
    assert pictures.decode(data).size == (64, 64)
    with pytest.raises(OSError):
        pictures.decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n"])
def test_other_files_are_refused_with_the_same_reason_each_time(data):
    with pytest.raises(OSError, match=r"^cannot identify image file: none of AVIF, BMP, .*, WEBP$"):
        pictures.decode(data)


def test_bombs_are_refused_before_they_are_unpacked():
    bomb = saved(Image.new("1", (20_000, 10_000)), "PNG")
    assert len(bomb) < 100_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OSError, match="200000000 pixels"):
            pictures.decode(bomb)


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("form", pictures.FORMATS)
def test_damaged_files_raise_nothing_else(form):
    data, rng = saved(noise(20, 30, 3), form), np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 300), 5):
            damaged[place] = rng.integers(256)
        try:
            assert pictures.decode(bytes(damaged)).mode == "RGB"
        except OSError as error:
            assert str(error)


def test_memory_that_ends_is_no_fault_of_the_image(monkeypatch):
    data = saved(Image.new("RGB", (2, 2)), "PNG")

    def fail(self):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(MemoryError):
        pictures.decode(data)


def test_views_come_in_order_and_an_image_is_decoded_once(tmp_path, monkeypatch):
    pixels = {name: noise(8, 6, 3) for name in ("a.png", "b.png", "c.png", "d.png")}
    for number, names in enumerate((("a.png", "b.png"), ("c.png", "d.png"))):
        write_probe(tmp_path / f"{number}.parquet", {name: saved(pixels[name], "PNG") for name in names})
    shards, decode, opened = [tmp_path / "0.parquet", tmp_path / "1.parquet"], pictures.decode, []
    monkeypatch.setattr(pictures, "decode", lambda data: opened.append(data) or decode(data))
    wanted = [("d.png", None), ("a.png", (1, 2, 4, 8)), ("c.png", (0, 0, 2, 2)), ("a.png", None), ("d.png", None)]
    for threads in (1, 2):
        found = list(pictures.views(wanted, shards, None, threads))
        assert [place for place, _ in found] == [wanted[3], wanted[1], wanted[2], wanted[0]]
        assert all(one.tobytes() == pixels[name].crop(box).tobytes() for (name, box), one in found)
    assert len(opened) == 6
    assert [one.size for _, one in pictures.views(wanted, shards, 5, 1)] == [(5, 5)] * 4


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    ],
)
def test_formats_that_are_not_read_are_named_whatever_the_file_is_called(data, kind):
    with pytest.raises(OSError, match=f"^{kind} is not read: convert the image to PNG or JPEG"):
        pictures.decode(data + bytes(40))


@pytest.mark.parametrize("orientation", [1, 6])
def test_photographs_of_telephones_are_read_upright(orientation):
    """HEIC keeps how the telephone was held; a plain photograph and a turned one."""
    shown = np.zeros((32, 48, 3), np.uint8)
    shown[:16, :24] = (250, 0, 0)  # the upper left quarter of what is stored
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = orientation
    photograph = Image.fromarray(shown)
    photograph.info["exif"] = exif.tobytes()
    photograph.save(file, format="HEIF", quality=-1)
    image = pictures.decode(file.getvalue())
    assert (image.mode, image.size) == ("RGB", (48, 32) if orientation == 1 else (32, 48))
    red = np.asarray(image)[..., 0] > 125
    corner = red[:16, :24] if orientation == 1 else red[:24, 16:]
    assert corner.mean() > 0.95 and red.mean() < 0.27


def test_a_broken_photograph_of_a_telephone_is_refused():
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, format="HEIF")
    with pytest.raises(OSError):
        pictures.decode(file.getvalue()[:120])


def test_bytes_of_the_images_that_are_wanted(tmp_path):
    images = {f"{name}.png": png(np.full((2, 2, 3), level)) for level, name in enumerate("abc")}
    shard = write_probe(tmp_path / "images.parquet", images)
    assert list(pictures.encoded([shard])) == list(images.items())
    assert [row.image_id for row in pictures.encoded([shard], {"a.png", "c.png"})] == ["a.png", "c.png"]

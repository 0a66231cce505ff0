import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from dnd.backends import views
from dnd.io import schemas, tables


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def opened(url):
    head, data = url.split(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture
def probe(tmp_path):
    """Two shards of one image each: red on the left and blue on the right, and a large one with transparency."""
    halves = Image.new("RGB", (40, 20), "red")
    halves.paste("blue", (20, 0, 40, 20))
    paths = []
    for number, (name, image) in enumerate({"a.png": halves, "b.png": Image.new("RGBA", (2000, 500), "lime")}.items()):
        data = png(image)
        row = {"image_id": name, "digest": hashlib.sha256(data).hexdigest(), "width": image.width}
        row |= {"height": image.height, "label": None, "image": data}
        paths.append(tmp_path / f"{number}.parquet")
        tables.write(paths[-1], tables.table([row], schemas.PROBE), schemas.PROBE)
    return paths


def test_views_are_the_image_or_the_part_in_the_box_at_moderate_size(probe, tmp_path):
    box = (20, 0, 40, 20)
    names = views.write([("a.png", None), ("a.png", box), ("b.png", None)], probe, tmp_path)
    seen = {place: opened(views.url(tmp_path, name)) for place, name in names.items()}
    assert {place: image.size for place, image in seen.items()} == {
        ("a.png", None): (40, 20),  # none becomes larger
        ("a.png", box): (20, 20),
        ("b.png", None): (512, 128),
    }
    assert all(image.mode == "RGB" for image in seen.values())
    assert np.abs(np.asarray(seen["a.png", box]).astype(int) - [0, 0, 255]).max() <= 3
    whole = np.asarray(seen["a.png", None]).astype(int)
    assert np.abs(whole[:, :16] - [255, 0, 0]).max() <= 3


def test_a_name_says_which_file_and_which_part_and_nothing_of_the_place(probe, tmp_path):
    digest = tables.read(probe[0], schemas.PROBE, ["digest"])["digest"][0].as_py()
    names = views.write([("a.png", None), ("a.png", (20, 0, 40, 20))], probe, tmp_path)
    assert names == {
        ("a.png", None): f"image sha256:{digest} within 512 pixels",
        ("a.png", (20, 0, 40, 20)): f"image sha256:{digest} box 20,0,40,20 within 512 pixels",
    }


def test_a_picture_stays_as_it_is(probe):
    image = Image.new("L", (1024, 4), 9)
    assert views.jpeg(image) == views.jpeg(image)
    assert image.size == (1024, 4) and image.mode == "L"

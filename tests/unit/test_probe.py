import hashlib
import io

import numpy as np
import pytest
from handmade import png
from PIL import Image

from dnd import pictures, probe, tables


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    (folder / "deep" / "er").mkdir(parents=True)
    for i, name in enumerate(["b.png", "a.PNG", "deep/c.png", "deep/er/d.png"]):
        (folder / name).write_bytes(png(np.full((6, 9, 3), i)))
    (folder / "broken.png").write_bytes(png(np.random.default_rng(0).integers(0, 255, (64, 64, 3)))[:2000])
    (folder / "text.jpg").write_text("no image")
    (folder / "notes.txt").write_text("not listed")
    return folder


def test_bytes_are_unchanged_and_ids_sorted(folder):
    images, _ = probe.pack(folder, 0, 1)
    rows = images.to_pylist()
    assert [row["image_id"] for row in rows] == ["a.PNG", "b.png", "deep/c.png", "deep/er/d.png"]
    assert rows[1]["image"] == (folder / "b.png").read_bytes()
    assert rows[1]["digest"] == hashlib.sha256(rows[1]["image"]).hexdigest()
    assert (rows[1]["width"], rows[1]["height"]) == (9, 6)


def test_unreadable_images_are_listed_with_a_reason(folder):
    _, rejected = probe.pack(folder, 0, 1)
    reasons = {row["image_id"]: row["reason"] for row in rejected.to_pylist()}
    assert set(reasons) == {"broken.png", "text.jpg"}
    assert "truncated" in reasons["broken.png"]
    assert "cannot identify" in reasons["text.jpg"]


def test_shards_partition_the_folder(folder):
    whole = probe.pack(folder, 0, 1)[0]["image_id"].to_pylist()
    parts = [probe.pack(folder, i, 3)[0]["image_id"].to_pylist() for i in range(3)]
    assert [name for part in parts for name in part] == whole
    assert all(parts)


def test_a_probe_of_unreadable_images_is_an_error(tmp_path):
    (tmp_path / "x.png").write_text("no image")
    images, rejected = probe.pack(tmp_path, 0, 1)
    tables.write(tmp_path / "x.parquet", images, tables.PROBE)
    with pytest.raises(ValueError, match=r"none of 1 images can be read; x\.png"):
        probe.require_images([tmp_path / "x.parquet"], rejected)


def test_images_are_upright_and_rgb():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.new("L", (4, 2)).save(buffer, "JPEG", exif=exif)
    image = pictures.decode(buffer.getvalue())
    assert image.mode == "RGB"
    assert image.size == (2, 4)


def test_controls_do_not_depend_on_the_shards(folder, tmp_path):
    for count in (1, 3):
        for i in range(count):
            tables.write(tmp_path / f"{count}-{i}.parquet", probe.pack(folder, i, count)[0], tables.PROBE)
    one = probe.controls([tmp_path / "1-0.parquet"], 2)
    assert probe.controls([tmp_path / f"3-{i}.parquet" for i in range(3)], 2) == one
    assert len(one) == 2
    assert one == sorted(one)

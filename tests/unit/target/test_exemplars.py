import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import Channels, TinyTarget, plain, png, write_probe
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dnd.config.stages import ExemplarSettings
from dnd.target import exemplars
from dnd.target.network import Target

SETTINGS = ExemplarSettings()


def blob(*boxes, side=64, value=3.0):
    heat = torch.zeros(side, side)
    for x0, y0, x1, y1 in boxes:
        heat[y0:y1, x0:x1] = value
    return heat


def test_stretching_does_not_wrap_values_above_one():
    grey = exemplars.stretched(torch.tensor([[0.0, 1.2], [3.0, 1.5]]))
    assert grey.tolist() == [[0, 102], [255, 128]]  # the released driver gives 0, 50, 253, 126


def test_flat_map_has_no_crops():
    assert exemplars.stretched(torch.full((4, 4), 2.0)) is None
    assert exemplars.crops(torch.full((4, 4), 2.0), (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == []


def test_crops_are_the_boxes_of_the_blobs_largest_first():
    heat = blob((2, 4, 22, 24), (30, 30, 60, 60))
    assert exemplars.crops(heat, (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == [(30, 30, 60, 60), (2, 4, 22, 24)]


def test_small_and_frame_filling_blobs_are_left_out():
    assert exemplars.crops(blob((2, 2, 10, 30)), (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == []
    assert exemplars.crops(blob((1, 1, 63, 63)), (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == []


def test_at_most_so_many_crops():
    heat = blob(*[(x, y, x + 14, y + 14) for x in (1, 17, 33, 49) for y in (1, 17)])
    assert len(exemplars.crops(heat, (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS)) == 4


def test_overlapping_crops_keep_the_larger():
    # an L that encloses a square: the square's box lies inside the L's box with IoU (30*30)/(40*40) = .56
    heat = blob((0, 0, 8, 40), (0, 0, 40, 8), (10, 10, 40, 40))
    assert exemplars.crops(heat, (0, 0, 64, 64), (64, 64), (64, 64), SETTINGS) == [(0, 0, 40, 40)]
    assert len(exemplars.crops(heat, (0, 0, 64, 64), (64, 64), (64, 64), ExemplarSettings(max_overlap=0.6))) == 2


def test_boxes_are_mapped_back_through_the_centre_crop():
    # the network sees the middle 200 x 200 of a 400 x 200 image, as 50 x 50 pixels
    boxes = exemplars.crops(blob((10, 10, 30, 40), side=50), (100, 0, 300, 200), (400, 200), (50, 50), SETTINGS)
    assert boxes == [(140, 40, 220, 160)]


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.lists(st.integers(1, 40), min_size=4, max_size=4))
def test_iou_is_symmetric_and_bounded(corner, side):
    a = (corner[0], corner[1], corner[0] + side[0], corner[1] + side[1])
    b = (corner[2], corner[3], corner[2] + side[2], corner[3] + side[3])
    pixels_a, pixels_b = np.zeros((90, 90), bool), np.zeros((90, 90), bool)
    pixels_a[a[1] : a[3], a[0] : a[2]] = True
    pixels_b[b[1] : b[3], b[0] : b[2]] = True
    expected = (pixels_a & pixels_b).sum() / (pixels_a | pixels_b).sum()
    assert exemplars.iou(a, b) == pytest.approx(expected) == pytest.approx(exemplars.iou(b, a))


@pytest.fixture
def probe(tmp_path):
    """Images with one bright square: large, small, none."""
    images = {}
    for name, (x0, y0, x1, y1) in {"a": (8, 8, 40, 40), "b": (20, 20, 36, 36), "c": (0, 0, 0, 0)}.items():
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[y0:y1, x0:x1] = (255, 0, 0)
        images[f"{name}.png"] = png(pixels)
    return write_probe(tmp_path / "images.parquet", images)


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_crops_compete_with_whole_images(probe, batch):
    top = {0: ["a.png", "b.png", "c.png"]}
    several = ExemplarSettings(views_per_image=5)
    found = exemplars.run(
        TinyTarget(), "colour", top, [probe], pooling="mean", settings=several, batch=batch
    ).to_pylist()
    assert [(row["image_id"], row["box"]) for row in found] == [
        ("a.png", [8, 8, 40, 40]),  # all red; ties break by image id
        ("b.png", [20, 20, 36, 36]),
        ("a.png", None),
        ("b.png", None),
        ("c.png", None),
    ]
    assert [row["rank"] for row in found] == [0, 1, 2, 3, 4]
    assert found[2]["activation"] == pytest.approx(32 * 32 / 64**2)
    assert found[4]["heatmap"] is None


def test_one_view_of_an_image_by_default(probe):
    found = exemplars.run(TinyTarget(), "colour", {0: ["a.png", "c.png"]}, [probe], pooling="mean", settings=SETTINGS)
    assert [(row["image_id"], row["box"]) for row in found.to_pylist()] == [("a.png", [8, 8, 40, 40]), ("c.png", None)]


def test_images_are_spread_over_those_that_reach_the_share():
    names = [f"{i:02d}" for i in range(12)]
    activations = [10, 9, 9, 8, 8, 7, 6, 5, 5, 4, 1, 0]  # nine reach half of the best
    assert exemplars.spread(names, activations, ExemplarSettings(images=3, reach=0.5)) == ["00", "04", "08"]
    assert exemplars.spread(names, activations, ExemplarSettings(images=3, reach=1)) == ["00", "01", "02"]
    assert exemplars.spread(names, activations, ExemplarSettings(images=3, reach=0.5, pool=5)) == ["00", "02", "04"]
    assert exemplars.spread(names[:2], [0.0, -1.0], ExemplarSettings(images=3)) == ["00", "01"]


@pytest.mark.parametrize("chunk", [1, 2])
def test_images_in_memory_change_nothing(probe, monkeypatch, chunk):
    top = {0: ["a.png", "b.png", "c.png"], 2: ["b.png"]}
    expected = exemplars.run(TinyTarget(), "colour", top, [probe], pooling="mean", settings=SETTINGS)
    monkeypatch.setattr(exemplars, "CHUNK", chunk)
    assert exemplars.run(TinyTarget(), "colour", top, [probe], pooling="mean", settings=SETTINGS).equals(expected)


def test_what_drives_a_unit_below_zero(probe):
    negative = replace(TinyTarget(), sign="negative")
    found = exemplars.run(negative, "colour", {0: ["a.png", "c.png"]}, [probe], pooling="max", settings=SETTINGS)
    rows = found.to_pylist()
    assert [row["activation"] for row in rows] == [0, 0]
    assert [row["box"] for row in rows] == [None, None]
    dark = np.array(Image.open(io.BytesIO(rows[0]["heatmap"])))
    assert (dark[0, 0], dark[20, 20]) == (255, 0)  # lowest where the square is


def test_views_without_a_finite_activation_are_left_out(probe):
    class Broken(Channels):
        def forward(self, x):
            return super().forward(torch.where(x.mean((1, 2, 3), keepdim=True) > 0.3, x / 0, x))

    target = Target(Broken().eval(), plain(64), torch.device("cpu"))
    several = ExemplarSettings(views_per_image=5)
    found = exemplars.run(target, "colour", {0: ["a.png", "c.png"]}, [probe], pooling="mean", settings=several)
    # the cut-out of the square is all red, a third of the brightest
    assert [(row["image_id"], row["box"]) for row in found.to_pylist()] == [("a.png", None), ("c.png", None)]


def test_units_without_images_get_no_rows(probe):
    assert exemplars.run(TinyTarget(), "colour", {}, [probe], pooling="mean", settings=SETTINGS).num_rows == 0

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from handmade import Channels, TinyTarget, plain, png, write_probe
from PIL import Image

from dnd.config.stages import ExemplarSettings
from dnd.io import halves, schemas, tables
from dnd.target import exemplars
from dnd.target.network import Target

SETTINGS = ExemplarSettings()


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


def written_topk(folder, names):
    """TOPK of a unit that each image excites a little less than the one before."""
    row = dict.fromkeys(schemas.TOPK.names) | {"unit": 0, "image_ids": names}
    row |= {"activations": [1 - place / 100 for place in range(len(names))]}
    tables.write(folder / "topk.parquet", tables.table([row], schemas.TOPK), schemas.TOPK)
    return folder / "topk.parquet"


@pytest.mark.parametrize("halved", [True, False])
def test_exemplars_are_of_the_half_that_chooses_unless_told(tmp_path, halved):
    names = [f"{number:02d}.png" for number in range(12)]
    shards = [write_probe(tmp_path / "images.parquet", {name: png(np.full((64, 64, 3), 200)) for name in names})]
    topk = written_topk(tmp_path, names)
    settings = ExemplarSettings(halved=halved)
    found = exemplars.of_units(TinyTarget(), "colour", topk, [0], shards, pooling="mean", settings=settings)
    chosen = [name for name in names if halves.chooses(name)]
    assert 0 < len(chosen) < len(names)
    assert sorted(found["image_id"].to_pylist()) == (chosen if halved else names)


def test_a_unit_whose_best_images_are_all_of_the_other_half_has_these(tmp_path):
    names = [name for name in (f"{number:02d}.png" for number in range(12)) if not halves.chooses(name)]
    shards = [write_probe(tmp_path / "images.parquet", {name: png(np.full((64, 64, 3), 200)) for name in names})]
    topk = written_topk(tmp_path, names)
    found = exemplars.of_units(TinyTarget(), "colour", topk, [0], shards, pooling="mean", settings=SETTINGS)
    assert sorted(found["image_id"].to_pylist()) == names

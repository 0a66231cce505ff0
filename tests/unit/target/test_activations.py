from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from handmade import Channels, TinyTarget, plain, png, write_probe
from hypothesis import given, settings
from hypothesis import strategies as st

from dnd.config.targets import BasisSettings
from dnd.io import schemas, tables
from dnd.target import activations, topk
from dnd.target.network import Target
from dnd.target.outputs import TargetError

LAYERS = {"colour": "colour", "flat": "flat"}


def probe(tmp_path, reds, shards=1):
    names = [f"{i:02d}.png" for i in range(len(reds))]
    files = []
    for s in range(shards):
        part = range(s * len(reds) // shards, (s + 1) * len(reds) // shards)
        images = {names[i]: png(np.full((8, 8, 3), (reds[i], 10, 0))) for i in part}
        files.append(write_probe(tmp_path / f"{shards}-{s}.parquet", images))
    return names, files


def merged(tmp_path, files, controls, slug, k=3, batch=4, target=None):
    layers = LAYERS if target is None or target.basis is None else {slug: slug}
    parts = ([], [], [])
    for file in files:
        results = activations.run(target or TinyTarget(8), layers, file, controls, pooling="mean", k=k, batch=batch)
        for i, (result, schema) in enumerate(zip(results, schemas.PARTS, strict=True)):
            path = tmp_path / f"{file.stem}-{i}-{batch}.parquet"
            tables.write(path, result, schema)
            parts[i].append(path)
    return pa.concat_tables(topk.merge(*parts, slug=slug, k=k)).to_pylist()


def test_topk_statistics_and_controls(tmp_path):
    names, files = probe(tmp_path, [51, 255, 0, 102, 255])
    red = merged(tmp_path, files, [names[0], names[3]], "colour")[0]
    assert red["image_ids"] == [names[1], names[4], names[3]]  # equal ones by image id
    assert red["activations"] == pytest.approx([1, 1, 0.4])
    assert red["mean"] == pytest.approx(0.52)
    assert red["std"] == pytest.approx(np.std([0.2, 1, 0, 0.4, 1]), rel=1e-5)
    assert red["fraction_zero"] == pytest.approx(0.2)
    assert (red["low"], red["high"]) == (0.0, 1.0)
    assert red["controls"] == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize(("shards", "batch"), [(1, 1), (2, 4), (5, 4), (3, 32)])
def test_result_does_not_depend_on_shards_or_batches(tmp_path, shards, batch):
    reds = [7, 200, 200, 13, 99, 200, 0, 55, 200, 1]
    names, one = probe(tmp_path, reds)
    _, several = probe(tmp_path, reds, shards)
    controls = [names[2], names[7]]
    expected = merged(tmp_path, one, controls, "colour")
    assert merged(tmp_path, several, controls, "colour", batch=batch) == expected


@pytest.mark.parametrize(
    ("listed", "layer", "units"),
    [
        ({"colour": 4, "flat": 2}, "colour", 4),
        ({"colour": 3, "flat": 1}, "flat", 1),
        ({"colour": 100, "flat": 2}, "colour", 100),
    ],
)
def test_another_number_of_units_than_the_table_of_layers_says_ends_the_pass(tmp_path, listed, layer, units):
    _, files = probe(tmp_path, [1, 2, 3])
    with pytest.raises(TargetError) as error:
        activations.run(TinyTarget(8), LAYERS, files[0], [], pooling="mean", k=2, units=listed)
    assert str(error.value) == (
        f"layer '{layer}' has {2 if layer == 'flat' else 3} units, and layers.tsv says {units}: "
        "`snakemake inventory` corrects the table"
    )
    right = activations.run(TinyTarget(8), LAYERS, files[0], [], pooling="mean", k=2, units={"colour": 3, "flat": 2})
    assert len(right[1]) == 5


def test_idle_units_are_recognised(tmp_path):
    _, files = probe(tmp_path, [1, 2, 3])
    constant, dead = merged(tmp_path, files, ["00.png", "01.png"], "flat")
    assert constant["idle"] == "constant"
    assert dead["idle"] == "dead"


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=1, max_size=30), st.integers(1, 7))
def test_streaming_topk_equals_sorting_everything(rows, batch):
    pooled = torch.tensor(rows, dtype=torch.float32)
    running = activations.Running(3)
    for part in pooled.split(batch):
        running.add(part)
        running.rank()
    at_once = activations.Running(3)
    at_once.add(pooled)
    at_once.rank()
    assert torch.equal(running.places, at_once.places)
    for unit in range(2):
        expected = sorted(range(len(rows)), key=lambda i: (-rows[i][unit], i))[:3]
        assert running.places[unit][running.values[unit].isfinite()].tolist() == expected


class Overflowing(Channels):
    """As of half precision: channels above a brightness become infinite, and those of black images nothing."""

    def forward(self, x):
        return super().forward(torch.where(x > 0.9, torch.inf, torch.where(x.amax() <= 0.05, x / 0, x)))


def overflowing():
    return Target(Overflowing().eval(), plain(8), torch.device("cpu"))


def test_activations_that_are_not_finite_count_nowhere(tmp_path):
    names, files = probe(tmp_path, [51, 255, 102, 240, 25])
    red = merged(tmp_path, files, names, "colour", target=overflowing())[0]
    assert red["image_ids"] == [names[2], names[0], names[4]]
    assert red["nonfinite"] == 2
    assert red["mean"] == pytest.approx((0.2 + 0.4 + 25 / 255) / 3)
    assert (red["low"], red["high"]) == pytest.approx((25 / 255, 0.4))
    assert red["idle"] is None
    assert red["quantiles"][-1] == pytest.approx(0.4)


def test_unit_that_is_never_finite_is_told_from_a_dead_one(tmp_path):
    names, files = probe(tmp_path, [250, 255, 254])
    red, green, _ = merged(tmp_path, files, names, "colour", target=overflowing())
    assert red["idle"] == "nonfinite"
    assert red["image_ids"] == []
    assert (red["mean"], red["low"], red["quantiles"]) == (None, None, [])
    assert green["idle"] == "constant"


def test_layer_that_is_never_finite_ends_the_pass(tmp_path):
    images = {f"{i}.png": png(np.zeros((8, 8, 3))) for i in range(3)}
    file = write_probe(tmp_path / "black.parquet", images)
    with pytest.raises(TargetError, match=r"'colour' gives no finite activation for any of the first 3 images.*dtype"):
        activations.run(overflowing(), LAYERS, file, [], pooling="mean", k=3)


def test_negative_units_rank_by_their_lowest(tmp_path):
    names, files = probe(tmp_path, [51, 255, 0, 102])
    red = merged(tmp_path, files, names[:1], "colour", target=replace(TinyTarget(8), sign="negative"))[0]
    assert red["image_ids"] == [names[2], names[0], names[3]]
    assert red["activations"] == pytest.approx([0, -0.2, -0.4])


def test_every_latent_of_a_large_autoencoder(tmp_path):
    """65,536 latents, each a channel times a factor: their best images are those of the channel."""
    names, files = probe(tmp_path, [51, 255, 0, 102, 204], 2)
    rows = np.zeros((65_536, 3), np.float32)
    rows[:, 0] = np.arange(65_536) - 1  # latents 0 falls with red, 1 is dead
    np.save(tmp_path / "rows.npy", rows)
    directions = BasisSettings(kind="directions", path=tmp_path / "rows.npy")
    found = merged(tmp_path, files, names[:2], "colour", target=replace(TinyTarget(8), basis=directions))
    assert [row["unit"] for row in found] == list(range(65_536))
    assert found[0]["image_ids"] == [names[2], names[0], names[3]]
    assert found[1]["idle"] == "dead"
    assert found[65_535]["image_ids"] == [names[1], names[4], names[3]]
    assert found[65_535]["activations"] == pytest.approx([65_534, 65_534 * 0.8, 65_534 * 0.4])

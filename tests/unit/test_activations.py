import numpy as np
import pytest
import torch
from handmade import TinyTarget, png, write_probe
from hypothesis import given, settings
from hypothesis import strategies as st

from dnd import activations, tables

LAYERS = {"colour": "colour", "flat": "flat"}


def probe(tmp_path, reds, shards=1):
    names = [f"{i:02d}.png" for i in range(len(reds))]
    files = []
    for s in range(shards):
        part = range(s * len(reds) // shards, (s + 1) * len(reds) // shards)
        images = {names[i]: png(np.full((8, 8, 3), (reds[i], 10, 0))) for i in part}
        files.append(write_probe(tmp_path / f"{shards}-{s}.parquet", images))
    return names, files


def merged(tmp_path, files, controls, slug, k=3, batch=4):
    parts = ([], [], [])
    for file in files:
        results = activations.run(TinyTarget(8), LAYERS, file, controls, pooling="mean", k=k, batch=batch)
        schemas = (tables.TOPK_PART, tables.STATISTICS_PART, tables.CONTROLS_PART)
        for i, (result, schema) in enumerate(zip(results, schemas, strict=True)):
            path = tmp_path / f"{file.stem}-{i}-{batch}.parquet"
            tables.write(path, result, schema)
            parts[i].append(path)
    return activations.merge(*parts, slug=slug, k=k).to_pylist()


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


def test_idle_units_are_recognised(tmp_path):
    _, files = probe(tmp_path, [1, 2, 3])
    constant, dead = merged(tmp_path, files, ["00.png", "01.png"], "flat")
    assert constant["idle"] == "constant"
    assert dead["idle"] == "dead"
    assert activations.idle(0.0, 1e-3) is None


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), min_size=1, max_size=30), st.integers(1, 7))
def test_streaming_topk_equals_sorting_everything(rows, batch):
    pooled = torch.tensor(rows, dtype=torch.float32)
    running = activations.Running(3)
    for part in pooled.split(batch):
        running.add(part)
    for unit in range(2):
        expected = sorted(range(len(rows)), key=lambda i: (-rows[i][unit], i))[:3]
        assert running.places[unit].tolist() == expected

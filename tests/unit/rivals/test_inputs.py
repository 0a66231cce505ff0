"""What rival methods read of a layer: live units, their best images, all activations in order of the images."""

import numpy as np
import pytest
import rivals

from dnd.io import schemas
from dnd.rivals import inputs

VALUES = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def layer(tmp_path_factory):
    values = VALUES.copy()
    values[:, 1] = 0  # dead
    values[5, 2] = np.nan
    values[7, 2] = np.inf
    return rivals.layer(tmp_path_factory.mktemp("layer"), values)


def test_idle_units_are_left_out(layer):
    assert inputs.live_units(layer["topk"]) == [0, 2, 3]


def test_activations_are_in_order_of_images_and_finite(layer):
    found = inputs.activations(**layer)
    assert found.image_ids == [f"{i:04d}.png" for i in range(48)]
    assert found.units == [0, 2, 3]
    assert np.array_equal(found.values[:, [0, 2]], VALUES[:, [0, 3]])
    others = np.delete(VALUES[:, 2], [5, 7])
    assert np.array_equal(np.delete(found.values[:, 1], [5, 7]), others)
    assert found.values[[5, 7], 1].tolist() == [others.min()] * 2


def test_best_images_come_first(layer):
    names, values = inputs.best_images(layer["topk"], layer["shards"], 5)[0]
    order = np.argsort(-VALUES[:, 0])[:5]
    assert names == [f"{i:04d}.png" for i in order]
    assert np.array_equal(values, VALUES[order, 0])


def test_more_best_images_than_were_kept_are_an_error(layer):
    assert len(inputs.best_images(layer["topk"], layer["shards"], rivals.KEPT)[0][0]) == rivals.KEPT
    with pytest.raises(ValueError, match="30 images were kept of unit 0: set the recipe's `kept` to 31"):
        inputs.best_images(layer["topk"], layer["shards"], 31)


def test_a_small_probe_may_have_fewer_images_than_asked(tmp_path):
    small = rivals.layer(tmp_path, VALUES[:20])
    assert len(inputs.best_images(small["topk"], small["shards"], 100)[0][0]) == 20


def test_scores_are_numbered_best_first():
    found = inputs.scores([(3, [("red", 0.5), ("blue", 0.25)]), (7, [])], "x")
    assert found.schema.equals(schemas.SCORES)
    rows = [{name: value for name, value in row.items() if value is not None} for row in found.to_pylist()]
    assert rows == [
        {"unit": 3, "candidate": 0, "concept": "red", "source": "x", "score": 0.5},
        {"unit": 3, "candidate": 1, "concept": "blue", "source": "x", "score": 0.25},
    ]

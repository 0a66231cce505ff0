"""Thresholds: the quantile of all positions, and Otsu's, against NumPy and an exhaustive search."""

import numpy as np
import pytest
import torch
from handmade import TinyTarget, png, write_probe
from hypothesis import given
from hypothesis import strategies as st

from dnd.rivals import thresholds
from dnd.rivals.thresholds import Maps, otsu


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return {f"{i:02d}.png": rng.integers(0, 256, (8, 8, 3)) for i in range(11)}


@pytest.fixture
def probe(tmp_path, images):
    data = {name: png(pixels) for name, pixels in images.items()}
    names = sorted(data)
    parts = [{name: data[name] for name in part} for part in (names[:5], names[5:])]
    return [write_probe(tmp_path / f"{i}.parquet", part) for i, part in enumerate(parts)]


def activations(images, channel):
    return np.concatenate([(images[name][..., channel] / 255).astype(np.float32).ravel() for name in sorted(images)])


@pytest.mark.parametrize("share", [0.005, 0.1, 0.5])
def test_a_share_of_all_positions_exceeds_the_threshold(probe, images, share):
    found = thresholds.thresholds(Maps(TinyTarget(8), "colour", probe, [2, 0]), share)
    for value, channel in zip(found, (2, 0), strict=True):
        own = activations(images, channel)
        assert value == np.quantile(own, 1 - share, method="inverted_cdf")
        assert (own > float(value)).mean() <= share < (own >= float(value)).mean()


def test_layers_without_positions_have_one_activation_an_image(probe, images):
    found = thresholds.thresholds(Maps(TinyTarget(8), "total", probe, [1]), 0.2)
    sums = sorted((images[name][..., 1] / 255).sum() for name in images)
    assert found.tolist() == pytest.approx([sums[-3]])  # 2.2 of 11 images may exceed it


def test_a_sample_of_the_images_decides_where_they_are_too_many(probe, images, monkeypatch):
    monkeypatch.setattr(thresholds, "MOST_VALUES", 64 * 4)  # four images of one unit
    found = thresholds.thresholds(Maps(TinyTarget(8), "colour", probe, [0]), 0.999)
    again = thresholds.thresholds(Maps(TinyTarget(8), "colour", probe, [0]), 0.999)
    assert found == again
    assert float(found) in activations(images, 0)


def test_maps_are_the_same_the_second_time(probe):
    maps = Maps(TinyTarget(8), "colour", probe, [0, 1])
    first = [([image.image_id for image in rows], found) for rows, found in maps.batches()]
    assert maps._remembered
    second = [([image.image_id for image in rows], found) for rows, found in maps.batches()]
    assert [one[0] for one in first] == [one[0] for one in second]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    assert sum(len(ids) for ids, _ in first) == 11


def test_largest_keeps_the_largest_of_a_stream():
    values = torch.tensor(np.random.default_rng(0).permutation(1000).reshape(2, 500)).float()
    values[0, 3], values[1, 7] = torch.nan, torch.inf
    found = thresholds.largest(values.split(7, 1), 20)
    finite = values.nan_to_num(-1, posinf=-1)
    assert torch.equal(found.sort(1, descending=True).values, finite.topk(20, 1).values)


def exhaustive(values):
    """Otsu's threshold by trying all, of values above the smallest."""
    values = values[values > values.min()]
    cuts = np.unique(values)[:-1]
    variance = [np.var([values[values <= cut].mean()] * int((values <= cut).sum())
                       + [values[values > cut].mean()] * int((values > cut).sum())) for cut in cuts]  # fmt: skip
    return cuts, np.array(variance)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.75, 1.0, 3.0]), min_size=1, max_size=60))
def test_otsu_parts_strong_from_weak(values):
    found = otsu(torch.tensor(values))
    exact = np.array(values, np.float32).astype(np.float64)
    if len(np.unique(exact)) < 3:
        assert found == exact.min()
    else:
        cuts, variance = exhaustive(exact)
        assert variance[cuts == found] == pytest.approx(variance.max())


def test_otsu_of_a_unit_that_is_mostly_silent():
    leak, real = [0.4] * 200, [1.0] * 10
    values = torch.tensor([0.0] * 900 + leak + real)
    assert otsu(values) == pytest.approx(0.4)  # of all 1110 together it would be 0: .0282 against .0077
    assert otsu(torch.zeros(5)) == 0


def test_otsu_for_every_unit(probe, images):
    found = thresholds.thresholds(Maps(TinyTarget(8), "colour", probe, [1]), "otsu")
    cuts, variance = exhaustive(activations(images, 1).astype(np.float64))
    assert float(found) == pytest.approx(cuts[variance.argmax()])

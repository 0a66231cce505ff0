"""MILAN's describer: features of masked exemplars, an attention LSTM p(d | E) and a language model p(d)."""

import math

import pytest
import torch
from tiny_describer import CONFIG, FEATURES
from tiny_models import one_thread  # noqa: F401

from dnd.rivals import milan_model
from training import exemplar_sets


def test_features_are_means_under_the_mask():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 0.0], [0.0, 0.0]]]])
    half = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert milan_model.pooled(maps, half).tolist() == [[1.5, 5.0]]
    assert milan_model.pooled(maps, torch.zeros(1, 1, 2, 2)).tolist() == [[0.0, 0.0]]
    # a mask of 4 x 4 of which one corner shows: the centre of a pixel of 2 x 2 lies between four of its pixels
    corner = torch.zeros(1, 1, 4, 4)
    corner[0, 0, 0, 0] = 1
    assert milan_model.pooled(maps, corner).tolist() == [[1.0, 10.0]]


def test_log_probability_counts_up_to_the_first_stop():
    probabilities = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]]])
    stop = 2

    def of(*tokens):
        return float(milan_model.log_probability(probabilities.log(), torch.tensor([tokens]), stop))

    assert of(0, 1, 0) == pytest.approx(math.log(0.5 * 0.2 * 0.6), abs=1e-6)
    assert of(1, 2, 0) == pytest.approx(math.log(0.25 * 0.7), abs=1e-6)
    assert of(2, 2, 2) == pytest.approx(math.log(0.25), abs=1e-6)


def test_features_of_the_published_encoders():
    """The lengths that the released code states."""
    for name, features in {"alexnet": 1152, "resnet18": 1024, "resnet50": 3904}.items():
        encoder = milan_model.encoder({"network": name}).eval()
        with torch.no_grad():
            found = encoder(torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64))
        assert found.shape == (1, features) == (1, encoder.features)
    assert milan_model.encoder(CONFIG["encoder"]).features == FEATURES
    with pytest.raises(ValueError, match="vgg"):
        milan_model.encoder({"network": "vgg"})


def test_training_pools_as_the_stage_does():
    maps, masks = torch.rand(5, 7, 7), (torch.rand(3, 1, 20, 20) > 0.7).float()
    masks[2] = 0
    expected = milan_model.pooled(maps.expand(3, -1, -1, -1), masks)
    torch.testing.assert_close(exemplar_sets._pooled(maps, masks), expected)

"""Random directions of a network: units without a meaning, for the fit of the verdict."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training import directions

ROOT = Path(__file__).parents[3]
FITTED = ROOT / "config/calibration"


@pytest.mark.parametrize(
    ("file", "network", "seed"),
    [
        ("calibration/random-1", "target", 111),
        ("calibration/random-2", "target-tuning", 112),
        *((f"evaluation/random-{i}", f"target-test-{i}", 120 + i) for i in (1, 2, 3)),
    ],
)
def test_the_shipped_directions_are_those_of_their_seeds(file, network, seed):
    shipped = load_file(ROOT / f"config/{file}.safetensors")
    again = directions.encoder(ROOT / "resources/shapeworld" / network, 2, seed)
    for part, values in again.items():
        torch.testing.assert_close(values.float(), shipped[part][:2].float(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("model", ["random-1", "random-2"])
def test_there_are_as_many_as_the_calibration_lists(model):
    listed = (line.split("\t") for line in (FITTED / "layers.tsv").read_text().splitlines())
    (count,) = (int(units) for name, _, _, units in listed if name == model)
    assert count == len(load_file(FITTED / f"{model}.safetensors")["encoder.bias"])


def test_the_evaluation_s_networks_have_no_part_in_the_fit():
    fitted = json.loads((ROOT / "config/verdict.json").read_text())["fitted_on"]
    assert fitted["networks"] == ["tuning-1", "tuning-2"]
    assert "target-test" not in (FITTED / "config.yaml").read_text()

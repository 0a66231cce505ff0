"""Which device a job computes on."""

import pytest
import torch

from dnd.backends import loading
from dnd.backends.hub import ModelError


@pytest.fixture
def cuda_build(monkeypatch, tmp_path):
    """A torch for CUDA that sees no GPU, on a machine whose devices lie in a folder."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(loading, "GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_a_gpu_that_torch_cannot_use_is_told_and_not_replaced_by_the_cpu(cuda_build):
    (cuda_build / "nvidia0").touch()
    with pytest.raises(ModelError, match=r"nvidia0 is a GPU that torch .* cannot use: .* CUDA 13\.0"):
        loading.device()


@pytest.mark.parametrize("devices", [[], ["nvidiactl"]])
def test_a_machine_without_a_gpu_computes_on_the_cpu(cuda_build, devices):
    for name in devices:  # a driver without a GPU
        (cuda_build / name).touch()
    assert loading.device() == torch.device("cpu")


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_a_gpu_that_was_taken_from_the_job_is_left_alone(cuda_build, monkeypatch, hidden):
    (cuda_build / "nvidia3").touch()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert loading.device() == torch.device("cpu")


def test_a_cpu_build_of_torch_computes_on_the_cpu(cuda_build, monkeypatch):
    (cuda_build / "nvidia0").touch()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert loading.device() == torch.device("cpu")

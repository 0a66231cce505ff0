"""Files of weights: what is read of them, what is refused, and what is told of those that do not fit."""

import pickle

import numpy as np
import pytest
import torch
from networks import SMALL, load
from safetensors.torch import save_file

from dnd.target import weight_files
from dnd.target.outputs import TargetError


class Secret:
    """As a pickled network: not plain values."""


def test_weights_that_do_not_exist():
    with pytest.raises(TargetError, match=r"weights no/such.pt do not exist"):
        load(source="torchvision", factory="resnet18", weights="no/such.pt", preprocess=SMALL)


def test_weights_that_are_a_pickled_object(tmp_path):
    torch.save({"net": Secret()}, tmp_path / "whole.pt")
    with pytest.raises(TargetError, match=r"whole.pt hold more than tensors.*save the network's state_dict\(\)"):
        load(source="torchvision", factory="resnet18", weights=str(tmp_path / "whole.pt"), preprocess=SMALL)


@pytest.mark.parametrize("content", [b"", b"not weights at all", pickle.dumps([1, 2])])
def test_weights_that_are_no_weights(tmp_path, content):
    (tmp_path / "odd.pt").write_bytes(content)
    with pytest.raises(TargetError, match=r"odd.pt"):
        load(source="torchvision", factory="resnet18", weights=str(tmp_path / "odd.pt"), preprocess=SMALL)


def test_weights_that_are_a_list(tmp_path):
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    with pytest.raises(TargetError, match=r"list.pt: expected a state dict, name -> tensor"):
        load(source="torchvision", factory="resnet18", weights=str(tmp_path / "list.pt"), preprocess=SMALL)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".ckpt"])
def test_tensors_by_name(tmp_path, suffix):
    path, tensors = tmp_path / f"weights{suffix}", {"a": torch.tensor([1.0, 2.0])}
    if suffix == ".safetensors":
        save_file(tensors, path)
    elif suffix == ".npz":
        np.savez(path, a=tensors["a"].numpy())
    else:
        torch.save(tensors, path)
    assert weight_files.state(weight_files.read(path), path)["a"].tolist() == [1, 2]


def test_a_single_tensor(tmp_path):
    np.save(tmp_path / "rows.npy", np.ones((2, 3), np.float32))
    assert weight_files.read(tmp_path / "rows.npy").shape == (2, 3)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(TargetError, match="are a folder, expected a file"):
        weight_files.read(tmp_path)


def test_the_state_below_other_keys_of_a_checkpoint():
    state = {"a": torch.ones(1)}
    assert weight_files.unnested({"epoch": 3, "model": state}) is state
    assert weight_files.unnested(state) is state
    assert weight_files.unnested({"ae": state}, ["ae"]) is state


def test_shapes_in_a_folder(tmp_path):
    save_file({"a": torch.ones(2, 3)}, tmp_path / "one.safetensors")
    save_file({"b": torch.ones(4)}, tmp_path / "two.safetensors")
    assert weight_files.shapes_in(tmp_path) == {"a": [2, 3], "b": [4]}


def test_what_is_lacking_is_told_beside_what_is_closest_in_the_file():
    given = {"stem.conv.weight": [2, 3], "net.conv.weight": [4, 3], "head.bias": [7]}
    needed = {"conv.weight": [4, 3], "scale": [1]}
    lines = weight_files.lacking(["conv.weight"], needed, given)
    assert lines == ["conv.weight [4, 3] (closest in the file: net.conv.weight [4, 3])"]
    assert weight_files.lacking(["scale"], needed, {}) == ["scale [1]"]

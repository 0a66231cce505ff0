"""Files of autoencoders as they lie about: checkpoints, arrays, damaged ones, and none at all."""

import autoencoder_references as references
import numpy as np
import pytest
import torch
from autoencoder_cases import X, assert_same, latents, saelens_folder
from autoencoder_references import CHANNELS
from safetensors.torch import save_file
from torch import nn

from dnd.config.targets import BasisSettings
from dnd.target import basis
from dnd.target.outputs import TargetError

CPU = torch.device("cpu")


@pytest.mark.parametrize("key", ["state_dict", "model", "ae", "autoencoder"])
def test_a_nested_checkpoint(tmp_path, key):
    state = references.dictionary_learning_state(18, "AutoEncoder")
    torch.save({"step": 10, key: state, "optimizer": {"state": {}}}, tmp_path / "checkpoint.pt")
    assert_same(latents(tmp_path / "checkpoint.pt"), references.dictionary_learning("AutoEncoder", state, X))


def test_a_training_that_has_not_ended(tmp_path):
    state = references.dictionary_learning_state(19, "AutoEncoder")
    torch.save({"step": 10, "ae": state, "norm_factor": 3.5}, tmp_path / "ae.pt")
    with pytest.raises(TargetError, match=r"ae.pt is dictionary_learning's copy of a training that has not ended"):
        latents(tmp_path / "ae.pt")


def test_arrays_by_name(tmp_path):
    """Gemma Scope's params.npz."""
    state = references.saelens_state(20, "jumprelu")
    np.savez(tmp_path / "params.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    settings = {"activation": "jumprelu", "subtract_decoder_bias": False, "normalize_activations": "none"}
    expected = references.dictionary_learning("JumpReluAutoEncoder", state, X)
    assert_same(latents(tmp_path / "params.npz", **settings), expected)
    assert_same(latents(tmp_path, **settings), expected)


@pytest.mark.parametrize(("name", "settings"), [("AutoEncoder", {}), ("AutoEncoderTopK", {"activation": "topk"})])
def test_arrays_of_other_names(tmp_path, name, settings):
    state = references.dictionary_learning_state(24, name)
    np.savez_compressed(tmp_path / "mine.npz", **{key: tensor.numpy() for key, tensor in state.items()})
    assert_same(latents(tmp_path / "mine.npz", **settings), references.dictionary_learning(name, state, X))


def files_that_are_none(folder):
    """Files and folders that hold no autoencoder, by what is said of them."""
    torch.save(nn.Linear(3, 4), folder / "module.pt")
    torch.save(references.saelens_state(0), folder / "whole.pt")
    save_file(references.saelens_state(0), folder / "whole.safetensors")
    for name in ("whole.pt", "whole.safetensors"):
        content = (folder / name).read_bytes()
        (folder / f"cut-{name}").write_bytes(content[: len(content) // 2])
    (folder / "page.pt").write_bytes(b"<html>404 Not Found</html>")
    np.savez(folder / "objects.npz", encoder=np.array([{"a": 1}]))
    np.save(folder / "objects.npy", np.array([{"a": 1}]))
    torch.save({"epoch": 3, "parts": {"sae": {}}}, folder / "nothing.pt")
    (folder / "folder").mkdir()
    return {
        "module.pt": r"hold more than tensors and plain values, .*: save the network's state_dict\(\) instead",
        "cut-whole.pt": "cannot be read",
        "cut-whole.safetensors": "cannot be read",
        "page.pt": "cannot be read: it is no file of torch.save",
        "objects.npz": "hold more than tensors",
        "objects.npy": "hold more than tensors",
        "nothing.pt": "expected tensors by name, a state dict, but it holds epoch, parts",
        "folder": "expected a folder with sae_weights.safetensors, ae.pt, weights.pt or params.npz",
        "missing.pt": "do not exist",
    }


@pytest.mark.parametrize("kind", ["sae", "directions"])
def test_files_that_are_none_are_told_in_a_sentence(tmp_path, kind):
    for name, reason in files_that_are_none(tmp_path).items():
        with pytest.raises(TargetError, match=rf"{name}.*{reason}" if kind == "sae" else name) as caught:
            basis.load(BasisSettings(kind=kind, path=tmp_path / name), nn.Identity(), "", CPU)
        assert "\n" not in str(caught.value)
        assert "weights_only" not in str(caught.value)
        assert "allow_pickle" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_a_configuration_that_is_none(tmp_path, content):
    saelens_folder(tmp_path, references.saelens_state(21))
    (tmp_path / "cfg.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    told = "does not say all that" if content == "[]" else "cfg.json cannot be read"
    with pytest.raises(TargetError, match=told):
        latents(tmp_path)


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [("b_dec", 3, f"each channel, {CHANNELS} in all"), ("threshold", 7, "one value, or one for each latent")],
)
def test_tensors_that_do_not_fit_each_other(tmp_path, name, length, message):
    state = references.saelens_state(22, "jumprelu") | {name: torch.ones(length)}
    saelens_folder(tmp_path, state, architecture="jumprelu")
    with pytest.raises(TargetError, match=message):
        latents(tmp_path)

"""Latents of autoencoders' files as libraries write them, against what the libraries' sources say they are."""

import json
import sys
from types import ModuleType

import autoencoder_references as references
import pytest
import torch
from autoencoder_cases import DICTIONARIES, PRISMA, SAELENS, X, assert_same, latents, saelens_folder
from autoencoder_references import CHANNELS, LATENTS
from safetensors.torch import save_file

from dnd.target.outputs import TargetError


@pytest.mark.parametrize("config", SAELENS)
@pytest.mark.parametrize("given", ["folder", "file"])
def test_saelens(tmp_path, config, given):
    state = references.saelens_state(1, config["architecture"])
    config = saelens_folder(tmp_path, state, **config)
    path = tmp_path if given == "folder" else tmp_path / "sae_weights.safetensors"
    assert_same(latents(path), references.saelens(state, config, X))


def test_saelens_before_its_sixth_version(tmp_path):
    """Keys of then: an activation function, its arguments, normalisation as true or false."""
    state = references.saelens_state(2)
    saelens_folder(
        tmp_path,
        state,
        architecture="standard",
        activation_fn_str="topk",
        activation_fn_kwargs={"k": 6},
        normalize_activations=False,
        metadata=None,
    )
    config = {"architecture": "topk", "k": 6, "normalize_activations": "none", "d_in": CHANNELS}
    config |= {"apply_b_dec_to_input": True, "rescale_acts_by_decoder_norm": False}
    assert_same(latents(tmp_path), references.saelens(state, config, X))


@pytest.mark.parametrize("name", DICTIONARIES)
@pytest.mark.parametrize("given", ["folder", "file"])
def test_dictionary_learning(tmp_path, name, given):
    state = references.dictionary_learning_state(5, name)
    torch.save(state, tmp_path / "ae.pt")
    (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": name, "k": 5}, "buffer": {}}))
    path = tmp_path if given == "folder" else tmp_path / "ae.pt"
    assert_same(latents(path), references.dictionary_learning(name, state, X))


def test_dictionary_learning_checkpoint_below_its_configuration(tmp_path):
    state = references.dictionary_learning_state(25, "BatchTopKSAE")
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints/ae_1000.pt")
    (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": "BatchTopKSAE", "k": 5}}))
    found = latents(tmp_path / "checkpoints/ae_1000.pt")
    assert_same(found, references.dictionary_learning("BatchTopKSAE", state, X))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("AutoEncoder", {}),
        ("AutoEncoderNew", {"activation": "relu", "subtract_decoder_bias": False}),
        ("GatedAutoEncoder", {}),
        ("AutoEncoderTopK", {"activation": "topk"}),
        ("BatchTopKSAE", {"activation": "batchtopk"}),
        ("MatryoshkaBatchTopKSAE", {}),
        (
            "JumpReluAutoEncoder",
            {"activation": "jumprelu", "subtract_decoder_bias": False, "normalize_activations": "none"},
        ),
    ],
)
def test_dictionary_learning_file_alone(tmp_path, name, settings):
    state = references.dictionary_learning_state(6, name)
    torch.save(state, tmp_path / "ae_1000.pt")
    expected = references.dictionary_learning(name, state, X)
    assert_same(latents(tmp_path / "ae_1000.pt", **settings), expected)
    for key in settings:
        left_out = {other: value for other, value in settings.items() if other != key}
        with pytest.raises(TargetError, match=rf"does not say all that its autoencoder does: set basis.{key} to"):
            latents(tmp_path / "ae_1000.pt", **left_out)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SAE", {"activation": "relu"}),
        ("TopKSAE", {"activation": "topk", "k": 4}),
        ("BatchTopKSAE", {"activation": "batchtopk", "threshold": 2.3}),
        ("JumpSAE", {}),
    ],
)
def test_overcomplete(tmp_path, name, settings):
    state = references.overcomplete_state(7, name)
    torch.save(state, tmp_path / "sae.pt")
    expected = references.overcomplete(name, state, X, settings.get("k"), settings.get("threshold"))
    assert_same(latents(tmp_path / "sae.pt", **settings), expected)
    if settings:
        names = {"encoder": "encoder.final_block.0.weight", "bias": "encoder.final_block.0.bias"}
        assert_same(latents(tmp_path / "sae.pt", **settings, tensors=names), expected)
        with pytest.raises(TargetError, match=r"sae.pt does not say all .*basis.activation to relu, topk"):
            latents(tmp_path / "sae.pt", **{key: value for key, value in settings.items() if key != "activation"})


def test_overcomplete_encoder_of_its_own_weights(tmp_path):
    """``untied()``: weights [latents, channels] and no bias."""
    state = references.weights(8, **{"encoder.weight": (LATENTS, CHANNELS), "dictionary._weights": (LATENTS, CHANNELS)})
    save_file(state | {"dictionary.multiplier": torch.tensor(0.0)}, tmp_path / "sae.safetensors")
    found = latents(tmp_path / "sae.safetensors", activation="relu")
    assert_same(found, torch.relu(X @ state["encoder.weight"].T))


@pytest.mark.parametrize("name", ["encoder.final_block.1.weight", "encoder.mlp_blocks.0.0.weight", "Q"])
def test_overcomplete_encoders_that_are_not_supported(tmp_path, name):
    torch.save(references.overcomplete_state(9, "SAE") | {name: torch.ones(LATENTS)}, tmp_path / "sae.pt")
    with pytest.raises(TargetError, match=rf"more than a linear layer \(it has {name}\) is not supported"):
        latents(tmp_path / "sae.pt", activation="relu")


@pytest.mark.parametrize("config", PRISMA)
def test_vit_prisma(tmp_path, config):
    config = {"architecture": "standard", "d_in": CHANNELS, "expansion_factor": 4, "is_transcoder": False, **config}
    state = references.saelens_state(10, config["architecture"]) | {"b_enc": torch.full((LATENTS,), 0.3)}
    torch.save(state, tmp_path / "weights.pt")
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_same(latents(tmp_path), references.prisma(state, config, X))


def test_vit_prisma_file_with_its_configuration_inside(tmp_path, monkeypatch):
    """``save_model`` pickles an object of the library's; it is read without the library, and without code."""
    config = {"architecture": "standard", "d_in": CHANNELS, "activation_fn_str": "relu", "_dtype": "float32"}
    config |= {"normalize_activations": "layer_norm", "activation_fn_kwargs": {}, "is_transcoder": False}
    state = references.saelens_state(24)
    module = ModuleType("vit_prisma.sae.config")
    module.VisionModelSAERunnerConfig = type("VisionModelSAERunnerConfig", (), {"__module__": module.__name__})
    with monkeypatch.context() as patched:
        for name in ("vit_prisma", "vit_prisma.sae", module.__name__):
            patched.setitem(sys.modules, name, module)
        described = module.VisionModelSAERunnerConfig()
        vars(described).update(config)
        torch.save({"cfg": described, "state_dict": state}, tmp_path / "n_images_49999.pt")
    assert_same(latents(tmp_path / "n_images_49999.pt"), references.prisma(state, config, X))


@pytest.mark.parametrize(("matrix", "bias"), [("W_enc", "b_enc"), ("encoder.weight", "encoder.bias")])
def test_a_square_encoder_goes_by_its_name(tmp_path, matrix, bias):
    state = references.weights(17, **{matrix: (CHANNELS, CHANNELS), bias: (CHANNELS,)})
    save_file(state, tmp_path / "sae.safetensors")
    by_latent = state[matrix] if matrix == "encoder.weight" else state[matrix].T
    assert_same(latents(tmp_path / "sae.safetensors"), torch.relu(X @ by_latent.T + state[bias]))

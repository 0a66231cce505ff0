"""Who says what an autoencoder does: settings, the library's configuration, tensors; and what is asked for."""

import json
import logging

import autoencoder_references as references
import pytest
import torch
from autoencoder_cases import X, assert_same, latents, saelens_folder
from autoencoder_references import CHANNELS, LATENTS
from safetensors.torch import save_file

from dnd.target.outputs import TargetError


@pytest.mark.parametrize("scaled", ["expected_average_only_in", "covariance_whitening"])
def test_saelens_scaling_that_is_not_folded_in_is_told(tmp_path, caplog, scaled):
    state = references.saelens_state(3)
    config = saelens_folder(tmp_path, state, architecture="standard", normalize_activations=scaled)
    with caplog.at_level(logging.WARNING):
        assert_same(latents(tmp_path), references.saelens(state, config, X))
    assert f"cfg.json: the autoencoder was trained on activations that {scaled} scaled" in caplog.text


@pytest.mark.parametrize("architecture", ["matching_pursuit", "temporal", "jumprelu_transcoder", ["topk"]])
def test_saelens_kinds_that_are_not_supported(tmp_path, architecture):
    saelens_folder(tmp_path, references.saelens_state(4), architecture=architecture)
    with pytest.raises(TargetError, match=r"cfg.json: architecture .* is not supported; expected standard, topk"):
        latents(tmp_path)


def test_vit_prisma_asks_for_what_its_configuration_leaves_out(tmp_path):
    torch.save(references.saelens_state(11), tmp_path / "weights.pt")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "standard", "expansion_factor": 4}))
    with pytest.raises(
        TargetError, match=r"set basis.activation to .*; basis.normalize_activations to none, layer_norm"
    ):
        latents(tmp_path)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"is_transcoder": True}, "a transcoder"),
        ({"architecture": "jumprelu"}, "architecture 'jumprelu'"),
        ({"activation_fn_str": "tanh-relu"}, "activation function 'tanh-relu'"),
        ({"normalize_activations": "batch_norm"}, "normalize_activations 'batch_norm'"),
    ],
)
def test_vit_prisma_kinds_that_are_not_supported(tmp_path, config, what):
    torch.save(references.saelens_state(12), tmp_path / "weights.pt")
    (tmp_path / "config.json").write_text(json.dumps({"activation_fn_str": "relu", "expansion_factor": 4, **config}))
    with pytest.raises(TargetError, match=rf"config.json: {what} is not supported"):
        latents(tmp_path)


def test_a_file_that_says_nothing_is_asked_about(tmp_path):
    """The tensors of SAELens' standard autoencoder are those of its top-k one, whatever it does to its input."""
    state = references.saelens_state(13)
    save_file(state, tmp_path / "sae.safetensors")
    with pytest.raises(TargetError) as caught:
        latents(tmp_path / "sae.safetensors")
    message = str(caught.value)
    assert "\n" not in message
    for key in ("activation", "subtract_decoder_bias", "normalize_activations", "rescale_acts_by_decoder_norm"):
        assert f"basis.{key} to " in message
    answers = {"subtract_decoder_bias": True, "normalize_activations": "layer_norm"}
    config = {"architecture": "standard", "d_in": CHANNELS, "apply_b_dec_to_input": True} | answers
    assert_same(
        latents(tmp_path / "sae.safetensors", activation="relu", **answers), references.saelens(state, config, X)
    )
    with pytest.raises(TargetError, match=r"set basis.rescale_acts_by_decoder_norm to true or false; basis.k to"):
        latents(tmp_path / "sae.safetensors", activation="topk", **answers)


@pytest.mark.parametrize("without", ["activation", "k"])
def test_what_makes_no_difference_is_not_asked(tmp_path, without):
    state = references.saelens_state(14)
    state["b_dec"].zero_()
    state["W_dec"] /= state["W_dec"].norm(dim=1, keepdim=True)
    save_file(state, tmp_path / "sae.safetensors")
    settings = {"activation": "topk", "k": 3, "normalize_activations": "none"}
    expected = references.largest(X @ state["W_enc"] + state["b_enc"], 3)
    assert_same(latents(tmp_path / "sae.safetensors", **settings), expected)
    del settings[without]
    with pytest.raises(TargetError, match=rf"does: set basis.{without} to [^;]*; or lay"):
        latents(tmp_path / "sae.safetensors", **settings)


@pytest.mark.parametrize("extra", [{"threshold": torch.full((LATENTS,), 0.5)}, {"k": torch.tensor(4)}])
def test_an_encoder_with_more_than_relu_in_its_file_is_not_read_as_relu(tmp_path, extra):
    state = references.weights(15, **{"encoder.weight": (LATENTS, CHANNELS), "encoder.bias": (LATENTS,)})
    save_file(state | extra, tmp_path / "sae.safetensors")
    with pytest.raises(TargetError, match=r"set basis.activation to"):
        latents(tmp_path / "sae.safetensors")


def test_settings_count_more_than_the_file(tmp_path):
    """dictionary_learning's top-k autoencoders may be used with their threshold, `use_threshold`."""
    state = references.dictionary_learning_state(16, "AutoEncoderTopK")
    torch.save(state, tmp_path / "ae.pt")
    (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": "AutoEncoderTopK", "k": 5}}))
    expected = references.dictionary_learning("BatchTopKSAE", state, X)
    assert_same(latents(tmp_path, activation="batchtopk"), expected)

"""Latents of autoencoders' files as their libraries write them, against what the libraries themselves compute.

Each test is skipped where its library is not installed: tests/autoencoders/requirements.txt says how to get them.
"""

import importlib
import json

import autoencoder_references as references
import pytest
import torch
from autoencoder_cases import DICTIONARIES, PRISMA, SAELENS, X, assert_same, latents
from autoencoder_references import CHANNELS, LATENTS

ROWS = X.flatten(0, 1)


def library(name, needs=None):
    """A module of a library, or a skip that says what is missing."""

    try:
        return importlib.import_module(needs or name)
    except ImportError as error:
        pytest.skip(f"{name} is not installed ({error}): see tests/autoencoders/requirements.txt")


def fill(module, state):
    """Put the references' random tensors into a library's module."""
    module.load_state_dict(state)
    return module.eval()


@pytest.mark.parametrize("config", SAELENS)
def test_saelens(tmp_path, config):
    sae_lens = library("sae_lens")
    state = references.saelens_state(1, config["architecture"])
    config = {
        "d_in": CHANNELS,
        "d_sae": LATENTS,
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        **config,
    }
    module = fill(sae_lens.SAE.from_dict(config), state)
    module.save_model(tmp_path)
    with torch.no_grad():
        expected = sae_lens.SAE.load_from_disk(tmp_path).encode(X)
    assert_same(latents(tmp_path), expected)
    assert_same(latents(tmp_path / "sae_weights.safetensors"), expected)
    assert_same(references.saelens(state, config, X), expected)


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionary_learning(tmp_path, name):
    utilities = library("dictionary_learning", "dictionary_learning.utils")
    state = references.dictionary_learning_state(5, name)
    torch.save(state, tmp_path / "ae.pt")
    trainer = {"dict_class": name, "k": 5}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer}))
    module, _ = utilities.load_dictionary(str(tmp_path), "cpu")
    with torch.no_grad():
        expected = module.encode(ROWS)
    assert_same(latents(tmp_path, ROWS), expected)
    assert_same(references.dictionary_learning(name, state, ROWS), expected)


@pytest.mark.parametrize(
    ("name", "arguments", "settings"),
    [
        ("SAE", {}, {"activation": "relu"}),
        ("TopKSAE", {"top_k": 4}, {"activation": "topk", "k": 4}),
        ("BatchTopKSAE", {}, {"activation": "batchtopk", "threshold": 2.3}),
        ("JumpSAE", {}, {}),
    ],
)
def test_overcomplete(tmp_path, name, arguments, settings):
    classes = library("overcomplete", "overcomplete.sae")
    state = references.overcomplete_state(7, name)
    module = fill(getattr(classes, name)(CHANNELS, LATENTS, **arguments), state)
    module.running_threshold = settings.get("threshold")  # which no file of the library holds
    torch.save(module.state_dict(), tmp_path / "sae.pt")
    with torch.no_grad():
        _, expected = module.encode(ROWS)
    assert_same(latents(tmp_path / "sae.pt", ROWS, **settings), expected)
    assert_same(references.overcomplete(name, state, ROWS, settings.get("k"), settings.get("threshold")), expected)


@pytest.mark.parametrize("config", PRISMA)
@pytest.mark.parametrize("written", ["apart", "together"])
def test_vit_prisma(tmp_path, config, written):
    library("vit_prisma", "vit_prisma.sae.sae")
    from vit_prisma.sae import sae
    from vit_prisma.sae.config import VisionModelSAERunnerConfig

    described = VisionModelSAERunnerConfig(d_in=CHANNELS, expansion_factor=4, _device="cpu", **config)
    kind = sae.GatedSparseAutoencoder if described.architecture == "gated" else sae.StandardSparseAutoencoder
    names = {"d_in": CHANNELS, "architecture": described.architecture, "activation_fn_kwargs": {}, **config}
    state = references.weights(10, **{name: tensor.shape for name, tensor in kind(described).state_dict().items()})
    module = fill(kind(described), state)
    if written == "apart":
        torch.save(module.state_dict(), tmp_path / "weights.pt")
        described.save_config(str(tmp_path / "config.json"))
    else:
        module.save_model(str(tmp_path / "n_images_49999.pt"))
    with torch.no_grad():
        expected = module.encode(X)[1]
    assert_same(latents(tmp_path), expected)
    assert_same(references.prisma(state, names, X), expected)

"""Autoencoders' files of several libraries, and what is asserted of their latents."""

import json

import autoencoder_references as references
import torch
from autoencoder_references import CHANNELS, LATENTS
from safetensors.torch import save_file
from torch import nn

from dnd.config.targets import BasisSettings
from dnd.target import basis

CPU = torch.device("cpu")

X = references.values()


def latents(path, x=X, **settings):
    return basis.load(BasisSettings(kind="sae", path=path, **settings), nn.Identity(), "", CPU)(x)


def assert_same(ours, theirs):
    assert theirs.count_nonzero() and (theirs == 0).any()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def saelens_folder(folder, state, **config):
    folder.mkdir(exist_ok=True)
    config = {
        "d_in": CHANNELS,
        "d_sae": LATENTS,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12"},
        **config,
    }
    save_file(state, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return config


SAELENS = [
    {"architecture": "standard"},
    {"architecture": "standard", "apply_b_dec_to_input": False},
    {"architecture": "standard", "normalize_activations": "layer_norm"},
    {"architecture": "standard", "normalize_activations": "constant_norm_rescale", "apply_b_dec_to_input": False},
    {"architecture": "topk", "k": 4, "rescale_acts_by_decoder_norm": False},
    {"architecture": "topk", "k": 9, "rescale_acts_by_decoder_norm": True},
    {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True, "normalize_activations": "layer_norm"},
    {"architecture": "jumprelu"},
    {"architecture": "jumprelu", "apply_b_dec_to_input": False},
    {"architecture": "gated"},
    {"architecture": "gated", "normalize_activations": "constant_norm_rescale"},
]

DICTIONARIES = [
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
]

PRISMA = [
    {"activation_fn_str": "relu", "normalize_activations": "layer_norm"},
    {"activation_fn_str": "relu", "normalize_activations": "constant_norm_rescale"},
    {"activation_fn_str": "relu", "normalize_activations": None},
    {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 7}, "normalize_activations": "layer_norm"},
    {"activation_fn_str": "relu", "normalize_activations": "layer_norm", "architecture": "gated"},
]

"""Latents of sparse autoencoders, written out from the sources of the libraries that publish them.

Nothing here is from dnd. ``tests/autoencoders`` holds these functions against the libraries themselves, where they are
installed.
"""

import torch
from torch import nn

CHANNELS, LATENTS = 12, 40


def weights(seed, **shapes):
    """Random tensors; norms of rows and biases differ enough that a step left out is seen."""
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}


def values(seed=0, images=7):
    """Activations [images, positions, channels] that are neither centred nor of one length."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(images, 3, CHANNELS, generator=rng)
    return 3 * drawn + 1.5 * torch.rand(CHANNELS, generator=rng)


def normalized(x, kind, channels):
    """``_setup_activation_normalization`` of sae_lens/saes/sae.py; the same stands in vit_prisma/sae/sae.py."""
    if kind == "constant_norm_rescale":
        return x * (channels**0.5) / x.norm(dim=-1, keepdim=True)
    if kind == "layer_norm":
        x = x - x.mean(dim=-1, keepdim=True)
        return x / (x.std(dim=-1, keepdim=True) + 1e-5)
    return x


def largest(x, k):
    """``TopK`` of sae_lens/saes/topk_sae.py: the k largest of the last axis, those below zero set to zero."""
    top = torch.topk(x, k=k, dim=-1)
    return torch.zeros_like(x).scatter_(-1, top.indices, top.values.relu())


def saelens(state, config, x):
    """``process_sae_in`` of sae_lens/saes/sae.py and ``encode`` of the standard, topk, jumprelu and gated classes."""
    x = normalized(x, config["normalize_activations"], config["d_in"])
    x = x - state["b_dec"] * config["apply_b_dec_to_input"]
    if config["architecture"] == "gated":
        gate = (x @ state["W_enc"] + state["b_gate"] > 0).float()
        return gate * torch.relu(x @ (state["W_enc"] * state["r_mag"].exp()) + state["b_mag"])
    hidden = x @ state["W_enc"] + state["b_enc"]
    if config["architecture"] == "topk":
        if config["rescale_acts_by_decoder_norm"]:
            hidden = hidden * state["W_dec"].norm(dim=-1)
        return largest(hidden, config["k"])
    if config["architecture"] == "jumprelu":
        return torch.relu(hidden) * (hidden > state["threshold"])
    return torch.relu(hidden)


def saelens_state(seed, architecture="standard"):
    names = {"W_enc": (CHANNELS, LATENTS), "W_dec": (LATENTS, CHANNELS), "b_dec": (CHANNELS,)}
    names |= {
        "gated": dict.fromkeys(("b_gate", "b_mag", "r_mag"), (LATENTS,)),
        "jumprelu": dict.fromkeys(("b_enc", "threshold"), (LATENTS,)),
    }.get(architecture, {"b_enc": (LATENTS,)})
    return weights(seed, **names)


def dictionary_learning(name, state, x):
    """``encode`` of the classes in dictionary_learning/dictionary.py and trainers/, after ``load_dictionary``."""
    if name == "AutoEncoder":  # from_pretrained calls normalize_decoder
        norms = state["decoder.weight"].norm(dim=0)
        encoder, bias = state["encoder.weight"] * norms[:, None], state["encoder.bias"] * norms
        return torch.relu((x - state["bias"]) @ encoder.T + bias)
    if name == "AutoEncoderNew":
        return torch.relu(x @ state["encoder.weight"].T + state["encoder.bias"])
    if name == "GatedAutoEncoder":
        hidden = (x - state["decoder_bias"]) @ state["encoder.weight"].T
        gate = (hidden + state["gate_bias"] > 0).float()
        return gate * torch.relu(state["r_mag"].exp() * hidden + state["mag_bias"])
    if name == "JumpReluAutoEncoder":
        hidden = x @ state["W_enc"] + state["b_enc"]
        return torch.relu(hidden * (hidden > state["threshold"]))
    if name == "MatryoshkaBatchTopKSAE":
        hidden = torch.relu((x - state["b_dec"]) @ state["W_enc"] + state["b_enc"])
    else:
        hidden = torch.relu((x - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"])
    return largest(hidden, int(state["k"])) if name == "AutoEncoderTopK" else hidden * (hidden > state["threshold"])


def dictionary_learning_state(seed, name):
    layers = {"encoder.weight": (LATENTS, CHANNELS), "encoder.bias": (LATENTS,), "decoder.weight": (CHANNELS, LATENTS)}
    matrices = {"W_enc": (CHANNELS, LATENTS), "b_enc": (LATENTS,), "W_dec": (LATENTS, CHANNELS), "b_dec": (CHANNELS,)}
    gates = dict.fromkeys(("r_mag", "gate_bias", "mag_bias"), (LATENTS,))
    shapes = {
        "AutoEncoder": {"bias": (CHANNELS,), **layers},
        "AutoEncoderNew": {**layers, "decoder.bias": (CHANNELS,)},
        "GatedAutoEncoder": {"decoder_bias": (CHANNELS,), **layers, **gates},
        "JumpReluAutoEncoder": {**matrices, "threshold": (LATENTS,)},
        "MatryoshkaBatchTopKSAE": matrices,
    }.get(name, {"b_dec": (CHANNELS,), **layers})
    state = weights(seed, **shapes)
    if name == "GatedAutoEncoder":
        del state["encoder.bias"]
    if "TopK" in name:
        state |= {"k": torch.tensor(5, dtype=torch.int), "threshold": torch.tensor(1.7)}
    if name.startswith("Matryoshka"):
        state["group_sizes"] = torch.tensor([10, LATENTS - 10])
    return state


def overcomplete(name, state, x, k=None, threshold=None):
    """``encode`` of overcomplete/sae/: base.py, topk_sae.py, batchtopk_sae.py and jump_sae.py with a linear encoder."""
    hidden = x @ state["encoder.final_block.0.weight"].T + state["encoder.final_block.0.bias"]
    codes = torch.relu(hidden)
    if name == "JumpSAE":
        return torch.where(codes < state["thresholds"].exp(), 0, codes)
    if name == "BatchTopKSAE":
        return codes * (codes >= threshold)
    return largest(codes, k) if name == "TopKSAE" else codes


def overcomplete_state(seed, name):
    shapes = {
        "encoder.final_block.0.weight": (LATENTS, CHANNELS),
        "encoder.final_block.0.bias": (LATENTS,),
        "dictionary._weights": (LATENTS, CHANNELS),
    }
    jumps = {"thresholds": (LATENTS,)} if name == "JumpSAE" else {}
    return weights(seed, **shapes, **jumps) | {"dictionary.multiplier": torch.tensor(0.0)}


def prisma(state, config, x):
    """``encode`` of StandardSparseAutoencoder and GatedSparseAutoencoder in vit_prisma/sae/sae.py."""
    x = normalized(x, config["normalize_activations"], config["d_in"]) - state["b_dec"]
    if config["architecture"] == "gated":
        gate = (x @ state["W_enc"] + state["b_gate"] > 0).float()
        return gate * torch.relu(x @ (state["W_enc"] * state["r_mag"].exp()) + state["b_mag"])
    hidden = x @ state["W_enc"] + state["b_enc"]
    if config["activation_fn_str"] == "topk":
        return largest(hidden, config["activation_fn_kwargs"]["k"])
    return nn.functional.relu(hidden)

"""What a sparse autoencoder does besides multiplying by its encoder, and who says so.

The settings count most; then the library's configuration, which lies in the file or beside it; then tensors that only
one kind of autoencoder has. What none of them says is asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from dnd.target.basis_files import Parts
from dnd.target.outputs import TargetError

Config = Mapping[str, Any]
"""A library's configuration."""

log = logging.getLogger(__name__)

APPLIED = ("relu", "topk")
"""Activation functions that SAELens' older configurations and ViT-Prisma's name."""
NORMALIZATIONS = ("layer_norm", "constant_norm_rescale")
"""Of the channels at a position, in SAELens and ViT-Prisma."""
FOLDED = (True, "expected_average_only_in", "covariance_whitening")
"""Of all activations while SAELens trains; its ``encode`` leaves them as they are."""
UNIT_TOLERANCE = 1e-5
"""Norms of a decoder's rows that differ from 1 by less need no rescaling: what ``torch.allclose`` lets pass."""
CHOICES = {
    "activation": "relu, topk, batchtopk or jumprelu",
    "subtract_decoder_bias": "true or false",
    "normalize_activations": "none, layer_norm or constant_norm_rescale",
    "rescale_acts_by_decoder_norm": "true or false",
    "k": "the number of latents that stay active",
}
"""What may be set where nothing says."""


class Steps(NamedTuple):
    """What an autoencoder does besides multiplying by its encoder; None where nothing says.

    The fields are keys of :class:`dnd.config.targets.BasisSettings`, which describes them.
    """

    activation: str | None = None
    subtract_decoder_bias: bool | None = None
    normalize_activations: str | None = None
    rescale_acts_by_decoder_norm: bool | None = None
    k: int | None = None


CLASSES = {
    "AutoEncoder": Steps("relu", True, "none", True),
    "AutoEncoderNew": Steps("relu", False, "none", False),
    "GatedAutoEncoder": Steps("relu", True, "none", False),
    "AutoEncoderTopK": Steps("topk", True, "none", False),
    "BatchTopKSAE": Steps("batchtopk", True, "none", False),
    "MatryoshkaBatchTopKSAE": Steps("batchtopk", True, "none", False),
    "JumpReluAutoEncoder": Steps("jumprelu", False, "none", False),
}
"""Classes of dictionary_learning. ``AutoEncoder`` moves the norms of its decoder to the latents when it is loaded."""
FORMS: tuple[tuple[set[str], Steps], ...] = (
    ({"encoder.weight", "decoder.weight", "bias"}, CLASSES["AutoEncoder"]),
    ({"encoder.weight", "decoder.weight", "gate_bias"}, CLASSES["GatedAutoEncoder"]),
    ({"W_enc", "W_dec", "group_sizes"}, CLASSES["MatryoshkaBatchTopKSAE"]),
    ({"encoder.weight", "decoder.weight", "b_dec"}, Steps(None, True, "none", False)),  # top-k or batch top-k
    ({"thresholds"}, Steps("jumprelu", False, "none", False)),  # Overcomplete's JumpSAE
    ({"dictionary.multiplier"}, Steps(None, False, "none", False)),  # Overcomplete's others
    ({"pre_bias", "decoder.weight"}, Steps(None, True, None, False)),  # OpenAI's
    ({"encoder.weight", "decoder.weight"}, Steps(None, None, "none", False)),
    ({"W_dec"}, Steps()),  # SAELens and ViT-Prisma keep all else in their configuration
    ({"threshold"}, Steps(None, True, "none", False)),
    ({"k"}, Steps(None, True, "none", False)),
    (set(), Steps("relu", True, "none", False)),  # an encoder that somebody has saved for this purpose
)
"""Tensors of a file, or settings that go with one kind -> what they say of it; the first that fits counts."""


class Configuration:
    """Takes the place of ViT-Prisma's class: attributes, no code."""


def steps_of(content: object, parts: Parts, shift: Tensor | None, decoder: Tensor | None) -> Steps:
    """Return what the autoencoder that a file holds does; the steps that make no difference for its tensors are False.

    Parameters
    ----------
    content : of the file, in which ViT-Prisma may keep the configuration.
    parts : its tensors, of which ``shift`` [channels] is the decoder's bias and ``decoder`` [latents, channels].

    Raises
    ------
    TargetError
        Nothing says all of it, or the configuration cannot be read or is that of a kind that is not supported.
    """
    settings = parts.settings
    steps = _configured(content, parts)
    if steps is None:
        names = {*parts.tensors, *(key for key in ("k", "threshold") if getattr(settings, key) is not None)}
        steps = next(steps for required, steps in FORMS if required <= names)
    if steps.k is None and "k" in parts.tensors:
        steps = steps._replace(k=int(parts.tensors["k"]))
    steps = steps._replace(**{key: value for key in Steps._fields if (value := getattr(settings, key)) is not None})
    if steps.subtract_decoder_bias is None and (shift is None or not shift.any()):
        steps = steps._replace(subtract_decoder_bias=False)
    unit = decoder is None or bool(((decoder.norm(dim=1) - 1).abs() <= UNIT_TOLERANCE).all())
    if steps.rescale_acts_by_decoder_norm is None and (unit or steps.activation not in (None, "topk")):
        steps = steps._replace(rescale_acts_by_decoder_norm=False)
    missing = [key for key in CHOICES if getattr(steps, key) is None and (key != "k" or steps.activation == "topk")]
    if missing:
        wanted = "; ".join(f"basis.{key} to {CHOICES[key]}" for key in missing)
        raise TargetError(
            f"{parts.path} does not say all that its autoencoder does: set {wanted}; or lay its library's "
            "configuration beside it, cfg.json (SAELens) or config.json (dictionary_learning, ViT-Prisma)"
        )
    if steps.activation == "topk" and not (isinstance(steps.k, int) and steps.k >= 1):
        raise TargetError(f"{parts.path}: k is {steps.k!r}, expected how many latents stay active")
    return steps


def _configured(content: object, parts: Parts) -> Steps | None:
    """What the library's configuration says, which is in the file itself or beside it; None where there is none."""
    if isinstance(content, Mapping) and isinstance(content.get("cfg"), Configuration):
        return _of_prisma(vars(content["cfg"]), parts.path)
    for file in parts.settings.description_files():
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise TargetError(f"{file} cannot be read: {error}; expected JSON") from None
        if not isinstance(config, Mapping):
            continue
        if isinstance(config.get("trainer"), Mapping):
            return _of_dictionary_learning(config["trainer"], file)
        if file.name == "cfg.json" and not config.keys().isdisjoint(("architecture", "d_sae", "hook_name")):
            return _of_saelens(config, file)
        if file.name == "config.json" and not config.keys().isdisjoint(("activation_fn_str", "expansion_factor")):
            return _of_prisma(config, file)
    return None


def _of_dictionary_learning(config: Config, file: Path) -> Steps:
    """``load_dictionary`` in dictionary_learning/utils.py."""
    return CLASSES[_known(config.get("dict_class"), CLASSES, "dict_class", file)]._replace(k=config.get("k"))


def _of_saelens(config: Config, file: Path) -> Steps:
    """``SAE.load_from_disk`` of SAELens 6, which reads older configurations, too."""
    applied = config.get("activation_fn") or config.get("activation_fn_str") or "relu"
    kinds = {"standard": applied, "topk": "topk", "jumprelu": "jumprelu", "gated": "relu"}
    kind = kinds[_known(config.get("architecture", "standard"), kinds, "architecture", file)]
    _known(applied, APPLIED, "activation function", file)
    return Steps(
        activation=kind,
        subtract_decoder_bias=bool(config.get("apply_b_dec_to_input", True)),
        normalize_activations=_normalization(config.get("normalize_activations"), file),
        rescale_acts_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        k=config.get("k", _k(config)),
    )


def _of_prisma(config: Config, file: Path) -> Steps:
    """``SparseAutoencoder`` of vit_prisma/sae/sae.py; what is left out is not known, since defaults have changed."""
    name, applied = config.get("architecture", "standard"), config.get("activation_fn_str")
    if config.get("is_transcoder"):
        raise unsupported(file, "a transcoder")
    if name not in ("standard", "gated"):
        raise unsupported(file, f"architecture {name!r}")
    if applied is not None:
        _known(applied, APPLIED, "activation function", file)
    normalized = "normalize_activations" in config
    return Steps(
        activation=applied,
        subtract_decoder_bias=True,
        normalize_activations=_normalization(config["normalize_activations"], file) if normalized else None,
        rescale_acts_by_decoder_norm=False,
        k=_k(config),
    )


def _known(value: object, known: Collection[str], what: str, file: Path) -> str:
    """A configuration's value, where it is one of those that are supported."""
    if not isinstance(value, str) or value not in known:
        raise unsupported(file, f"{what} {value!r}", known)
    return value


def _k(config: Config) -> int | None:
    """The number of latents among the arguments of the activation function."""
    arguments = config.get("activation_fn_kwargs")
    return arguments.get("k") if isinstance(arguments, Mapping) else None


def _normalization(value: object, file: Path) -> str:
    """What a configuration's `normalize_activations` does to the input where latents are computed."""
    if value in FOLDED:
        log.warning(
            "%s: the autoencoder was trained on activations that %s scaled, which its library folds into weights "
            "that it publishes; these are read as they are",
            file,
            FOLDED[1] if value is True else value,
        )
        return "none"
    if value in (None, False, "none"):
        return "none"
    return _known(value, NORMALIZATIONS, "normalize_activations", file)


def unsupported(path: Path, what: str, known: Iterable[str] = ()) -> TargetError:
    """Return the error that an autoencoder is of a kind whose latents cannot be computed."""
    return TargetError(f"{path}: {what} is not supported" + (f"; expected {', '.join(known)}" if known else ""))

"""How much each unit of a layer adds to the network's answers, by integrated gradients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from captum.attr import IntegratedGradients
from torch import Tensor
from tqdm import tqdm

from dnd.backends.batches import BatchSize
from dnd.config.evaluation import ImportanceSettings
from dnd.io import pictures, schemas, tables
from dnd.io.rows import Importance
from dnd.probe import pack
from dnd.target import basis as bases
from dnd.target.basis import Heads
from dnd.target.interventions import changed, logits_of
from dnd.target.network import Target, fixed_batches

log = logging.getLogger(__name__)
BATCH = 16
DANGLING = "the network's output does not depend on this layer"
NO_BASIS = "not defined for latents and directions"


class StoredImage(NamedTuple):
    """What is read of a row of PROBE."""

    image_id: str
    image: bytes


def attributions(target: Target, layer: str, inputs: Tensor, steps: int = 20) -> tuple[Tensor, Tensor] | None:
    """Return what each unit adds to the logit of the predicted class, against the layer being silent: zero everywhere.

    The straight path from zeros to the layer's output is followed in ``steps`` points of a Gauss-Legendre quadrature;
    a unit's attribution is the sum over its positions. Of a layer that the network calls several times the last call
    counts.

    Source: Sundararajan et al., ICML 2017, equation 1, with the layer's output in the place of the input, computed by
    captum's ``IntegratedGradients``.

    Parameters
    ----------
    inputs : [n, channels, h, w].

    Returns
    -------
    float64 [n, units], and float64 [n], by how much the logit falls when the layer is silent: what the attributions of
    an image add up to, but for the quadrature's error. None where the network's output does not depend on the layer.

    Raises
    ------
    TargetError
        The network returns no logits, or does not call the layer.
    """
    calls, module = target.calls([layer], inputs[0])[layer], target.module(layer)
    seen: list[Tensor] = []

    def keep(values: Tensor) -> Tensor:
        seen.append(values.detach().clone())
        return values

    with torch.no_grad(), changed(target, layer, calls, keep):
        before = logits_of(target, inputs)
    predicted = before.argmax(1)
    layout = target.axes(layer, module, seen[0], len(inputs))
    first = layout.index("N")
    values = seen[0].movedim(first, 0)  # captum wants the images first

    def rest(values: Tensor, images: Tensor) -> Tensor:
        def put(_: Tensor) -> Tensor:
            return values.movedim(0, first).clone()  # a later module may change it in its place

        with changed(target, layer, calls, put):
            return logits_of(target, images)

    if not _reaches(rest, values, inputs):
        return None
    gradients = IntegratedGradients(rest).attribute(
        values,
        baselines=torch.zeros_like(values),
        target=predicted,
        additional_forward_args=(inputs,),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=len(inputs),  # the batch keeps its shape
    )
    with torch.no_grad():
        after = rest(torch.zeros_like(values), inputs)
    fall = (before - after).double().gather(1, predicted[:, None])[:, 0]
    by_unit = gradients.detach().double().movedim(0, first)
    positions = [i for i, axis in enumerate(layout) if axis not in "NC"]
    by_unit = by_unit.sum(positions) if positions else by_unit
    return _of_heads(target, layer, by_unit).cpu(), fall.cpu()


def _reaches(rest: Callable[[Tensor, Tensor], Tensor], values: Tensor, inputs: Tensor) -> bool:
    """Tell whether logits depend on a layer's values."""
    with torch.enable_grad():
        probed = values.clone().requires_grad_()
        logits = rest(probed, inputs)
        return logits.requires_grad and torch.autograd.grad(logits.sum(), probed, allow_unused=True)[0] is not None


def _of_heads(target: Target, layer: str, by_channel: Tensor) -> Tensor:
    """Join the channels that an attention head hands to the output projection."""
    if target.basis is None:
        return by_channel
    basis = bases.load(target.basis, target.model, layer, target.device)
    assert isinstance(basis, Heads)
    return by_channel.unflatten(1, (basis.units, -1)).sum(2)


def summary(by_image: npt.NDArray[np.float64]) -> list[Importance]:
    """Return the rows of IMPORTANCE for attributions [n, units] of n images."""
    columns = zip(by_image.mean(0), np.abs(by_image).mean(0), by_image.std(0), strict=True)
    return [Importance(unit, *figures, images=len(by_image), note=None) for unit, figures in enumerate(columns)]


def run(
    target: Target, layer: str, shards: Sequence[Path], settings: ImportanceSettings, batch: int = BATCH
) -> pa.Table:
    """Return the IMPORTANCE table of a layer: one row per unit, over a fixed random sample of the probe.

    Every image counts with the logit of the class that the network predicts for it. Of a layer on which the output does
    not depend all values are zero, and null for units of a basis that integrated gradients do not define; ``note`` says
    so.

    Raises
    ------
    TargetError
        The network does not end in classes.
    """
    chosen = set(pack.controls(shards, settings.images))
    stored = (StoredImage(**row) for row in pictures.rows(shards, chosen, StoredImage._fields))
    images = sorted((image for image in stored if image.image_id in chosen), key=lambda image: image.image_id)

    def load(image: StoredImage) -> Tensor:
        return target.preprocess.image(pictures.decode(image.image))

    def constant(value: float | None, note: str) -> pa.Table:
        rows = [Importance(unit, value, value, value, len(images), note) for unit in range(units)]
        return tables.table(rows, schemas.IMPORTANCE)

    def run_batch(part: Sequence[StoredImage], inputs: Tensor) -> tuple[Tensor, Tensor]:
        result = attributions(target, layer, inputs, steps=settings.steps)
        assert result is not None
        return result[0][: len(part)], result[1][: len(part)]

    first = load(images[0])[None]
    units = target.read(first, [layer], lambda _, reading: reading.units)[layer]
    if target.basis is not None and not bases.reads_input(target.basis):
        return constant(None, NO_BASIS)
    if attributions(target, layer, first, steps=2) is None:
        log.warning("layer %s: %s", layer, DANGLING)
        return constant(0.0, DANGLING)
    parts, gaps = [], []
    with tqdm(total=len(images), desc="importance", unit="image", mininterval=5) as bar:
        for part, (by_unit, fall) in fixed_batches(images, load, BatchSize(batch, "importance"), run_batch):
            parts.append(by_unit.numpy())
            gaps.append((by_unit.sum(1) - fall).abs() / fall.abs().clamp_min(1e-6))
            bar.update(len(part))
    log.info("layer %s: attributions miss the logit's fall by %.2g (median)", layer, float(torch.cat(gaps).median()))
    return tables.table(summary(np.concatenate(parts)), schemas.IMPORTANCE)

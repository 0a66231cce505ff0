"""Held-out measurements of the target network: do the planted units show what they stand for, and where?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from dnd.shapeworld.target import ConceptResNet
from dnd.shapeworld.world import ATTRIBUTES
from training.measure import Labels, area_under_curve, members
from training.planting import Planted


@torch.no_grad()
def concept_maps(model: ConceptResNet, images: Tensor, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Return maps [n, units, h, w] of ``concepts`` and class logits [n, classes] for normalised images [n, 3, s, s]."""
    maps: list[Tensor] = []
    hook = model.concepts.register_forward_hook(lambda _module, _input, output: maps.append(output.clone()))
    try:
        logits = torch.cat([model(part) for part in images.split(batch)])
    finally:
        hook.remove()
    return torch.cat(maps), logits


def planted_quality(
    maps: Tensor, masks: npt.NDArray[np.bool_], labels: Labels, units: Sequence[Planted]
) -> list[dict[str, float | int | str]]:
    """Return for every meaningful unit its AUC, where its activation lies and how it compares off the concept.

    Parameters
    ----------
    maps : float [n, units, h, w]
    masks : bool [n, 64, 64]
    labels : int64 [n, 4]

    Returns
    -------
    One record a unit: ``auc`` of the spatial mean against the predicate; ``inside``, the share of the activation, on
    images of the concept, that lies in the region it shows in (maps enlarged bilinearly to 64x64; NaN where a unit has
    clauses in both regions); ``contrast``, mean activation off the concept over the mean on it.
    """
    pooled = maps.mean((2, 3)).double().numpy()
    coverage = torch.from_numpy(masks).float()
    records: list[dict[str, float | int | str]] = []
    for unit in units:
        if not unit.words:
            continue
        positive = members(unit.extension(), labels)
        regions = [region for region in ("object", "background") if unit.extension(region).any()]
        inside = float("nan")
        if len(regions) == 1:
            large = F.interpolate(maps[torch.from_numpy(positive), unit.unit, None], size=64, mode="bilinear")[:, 0]
            wanted = coverage[torch.from_numpy(positive)]
            wanted = wanted if regions == ["object"] else 1 - wanted
            inside = float((large * wanted).sum() / large.sum())
        scores = pooled[:, unit.unit]
        records.append(
            {
                "unit": unit.unit,
                "kind": unit.kind,
                "label": unit.label,
                "auc": round(area_under_curve(scores, positive), 4),
                "inside": round(inside, 4),
                "contrast": round(float(scores[~positive].mean() / scores[positive].mean()), 4),
            }
        )
    return records


def target_summary(
    records: Sequence[dict], maps: Tensor, logits: Tensor, labels: Labels, units: Sequence[Planted]
) -> dict:
    """Condense :func:`planted_quality` and check the meaningless units and the classifier.

    ``logits`` are [n, 36] in the order of :func:`training.planting.class_units`.
    """
    classes = labels[:, 0] * len(ATTRIBUTES["shape"]) + labels[:, 2]
    summary: dict = {"class_accuracy": round(float((logits.argmax(1).numpy() == classes).mean()), 4)}
    for kind in ("single", "conjunction", "abstraction", "polysemantic"):
        of_kind = [record for record in records if record["kind"] == kind]
        aucs = [record["auc"] for record in of_kind]
        inside = [record["inside"] for record in of_kind if record["inside"] == record["inside"]]
        summary[kind] = {
            "units": len(of_kind),
            "auc_min": min(aucs),
            "auc_median": round(float(np.median(aucs)), 4),
            "inside_min": min(inside),
            "inside_median": round(float(np.median(inside)), 4),
            "contrast_max": max(record["contrast"] for record in of_kind),
        }
    rows = {kind: [unit.unit for unit in units if unit.kind == kind] for kind in ("dead", "constant", "random")}
    summary["dead_max"] = float(maps[:, rows["dead"]].abs().max())
    summary["constant_range"] = [
        float(maps[:, rows["constant"]].min()),
        float(maps[:, rows["constant"]].max()),
    ]
    summary["random_active"] = round(float((maps[:, rows["random"]] > 0).float().mean()), 3)
    return summary

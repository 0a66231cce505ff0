"""A time-boxed, resumable training loop shared by every embedded model."""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


def device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed() -> torch.autocast:
    """Return the bfloat16 autocast context; with channels_last it is several times faster than float32 on CPUs too."""
    return torch.autocast(device().type, torch.bfloat16)


def optimiser(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the weight matrices inside a transformer and AdamW for everything else.

    Muon (K. Jordan, 2024) needs about half of AdamW's steps on small transformers; embeddings, norms, biases and
    convolutions stay with AdamW.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        hidden = parameter.ndim == 2 and "embed" not in name and "head" not in name and min(parameter.shape) > 16
        (matrices if hidden else others).append(parameter)
    chosen: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    ]
    if matrices:
        chosen.append(torch.optim.Muon(matrices, lr=10 * rate, weight_decay=0.01))
    return chosen


def fit(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    optimisers: Sequence[torch.optim.Optimizer],
    *,
    minutes: float,
    checkpoint: Path,
    average: nn.Module | None = None,
    decay: float = 0.998,
    report: Callable[[], Mapping[str, float]] | None = None,
    report_minutes: float = 5.0,
) -> int:
    """Train for a wall-clock budget with a warm-up and a cosine to zero; resume from the checkpoint when there is one.

    The learning rate follows elapsed time, so that a time limit still ends at a rate of zero. The weights are saved
    every minute; a killed training loses no more than that. The learning curve is written beside the checkpoint
    (:func:`curve`).

    Parameters
    ----------
    model : what is trained.
    loss : step number -> scalar loss; draws its own batch from that number, so that a resumed run sees new batches.
    optimisers : over the model's parameters; their present rates are the peaks.
    minutes : budget over all sittings.
    checkpoint : file of the training state.
    average : a copy of the model that holds the exponential moving average of its weights.
    decay : of that average, reached after a warm-up.
    report : returns figures of the present model, asked for every ``report_minutes``.

    Returns
    -------
    The number of steps taken in all sittings.
    """
    step, spent, budget = 0, 0.0, minutes * 60
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device())
        model.load_state_dict(state["model"])
        for one, saved in zip(optimisers, state["optimisers"], strict=True):
            one.load_state_dict(saved)
        if average is not None:
            average.load_state_dict(state["average"])
        step, spent = state["step"], state["spent"]
        log.info("%s: resumed at step %d, minute %.1f of %.1f", checkpoint.stem, step, spent / 60, minutes)
    peaks = [[group.setdefault("peak", group["lr"]) for group in one.param_groups] for one in optimisers]
    points = checkpoint.with_suffix(".jsonl")
    points.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic() - spent
    saved_at = reported_at = spent
    losses: list[float] = []
    while (spent := time.monotonic() - begun) < budget:
        share = spent / budget
        rate = min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share))
        for one, groups in zip(optimisers, peaks, strict=True):
            for group, peak in zip(one.param_groups, groups, strict=True):
                group["lr"] = peak * rate
            one.zero_grad(set_to_none=True)
        value = loss(step)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for one in optimisers:
            one.step()
        if average is not None:
            keep = min(decay, (step + 1) / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
        step += 1
        losses.append(float(value.detach()))
        if step % 100 == 0:
            _note(points, step, spent, {"loss": round(sum(losses) / len(losses), 4)})
            losses.clear()
        if spent - saved_at > 60:
            _save(checkpoint, model, optimisers, average, step, spent)
            saved_at = spent
        if report is not None and spent - reported_at > report_minutes * 60:
            _note(points, step, spent, report())
            reported_at = spent
    _save(checkpoint, model, optimisers, average, step, spent)
    _note(points, step, spent, {} if report is None else report())
    return step


def curve(checkpoint: Path) -> list[dict[str, float]]:
    """Return the learning curve of a training: points of ``step``, ``minute`` and figures such as ``loss``.

    Steps that were lost because a training was killed, and taken again, are left out.
    """
    path = checkpoint.with_suffix(".jsonl")
    points: list[dict[str, float]] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        point = json.loads(line)
        points = [one for one in points if one["step"] < point["step"] or _beside(one, point)] + [point]
    return points


def _beside(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one["step"] == other["step"] and one.keys() != other.keys()


def _note(path: Path, step: int, spent: float, figures: Mapping[str, float]) -> None:
    point = {"step": step, "minute": round(spent / 60, 1), **figures}
    with path.open("a") as file:
        file.write(json.dumps(point) + "\n")
    log.info("%s: %s", path.stem, ", ".join(f"{name} {value}" for name, value in point.items()))


def averaged(model: nn.Module) -> nn.Module:
    """Return a frozen copy of the model for the moving average of its weights."""
    twin = copy.deepcopy(model).eval()
    return twin.requires_grad_(False)


def _save(
    path: Path, model: nn.Module, optimisers: Sequence, average: nn.Module | None, step: int, spent: float
) -> None:
    state = {
        "model": model.state_dict(),
        "optimisers": [one.state_dict() for one in optimisers],
        "average": None if average is None else average.state_dict(),
        "step": step,
        "spent": spent,
    }
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)

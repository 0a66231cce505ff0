"""Write the embedded models' card from their files and from JSON files of figures; nothing in it is typed by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from dnd.shapeworld.world import ATTRIBUTES
from training.loop import curve
from training.pool import STREAMS

NAME = "README.md"
FIGURES = "measures"
OTHER_TARGETS = {
    "target-tuning": "tunes methods",
    "target-test-1": "evaluation, which alone uses it",
    "target-test-2": "evaluation, which alone uses it",
    "target-test-3": "evaluation, which alone uses it",
}
"""Target networks of other seeds and other planted units -> what they are for."""
CURVES = {
    "judge": ("judge",),
    "autoencoder": ("autoencoder",),
    "generator": ("generator",),
    "target": ("target",),
    "captioner": ("captioner-vision", "captioner"),
    "embedder": ("embedder-vision", "embedder"),
    "summariser": ("summariser",),
    "sentences": ("sentences",),
    "proposer": ("proposer",),
    "describer": ("describer-lm", "describer"),
    **{name: (name,) for name in OTHER_TARGETS},
}
"""Model -> its checkpoints, in the order of training."""
ROWS, WIDEST = 8, 12  # of a learning curve's table; one that would be wider shows the last figure alone

MODELS = {
    "generator": ("`StableDiffusionPipeline` (`AutoencoderTiny`, `UNet2DConditionModel`, `CLIPTextModel`)", "images"),
    "captioner": ("`BlipForConditionalGeneration`", "captions"),
    "embedder": ("`CLIPModel`", "scores"),
    "summariser": ("`LlamaForCausalLM`", "concepts, served by vLLM"),
    "target": ("`dnd.shapeworld.target.ConceptResNet`, a `torchvision` ResNet of basic blocks", "described by it"),
    "judge": ("`training.judge.Judge`, a plain CNN", "none: it scores the generator"),
    "sentences": ("`BertModel`", "evaluation: compares labels with class names"),
    "proposer": ("`LlamaForCausalLM`", "LINE, served by vLLM"),
    "describer": ("`dnd.rivals.milan_model`, an attention LSTM on frozen features", "MILAN"),
    **{name: ("as `target`", role) for name, role in OTHER_TARGETS.items()},
}
"""Model -> its class, and what it does in the workflow."""


@dataclass(frozen=True)
class Requirement:
    """One held-out figure and what it has to be.

    Attributes
    ----------
    model : whose figures are read.
    says : what was measured.
    path : keys that lead to the figure in the model's JSON, with dots between them.
    bound : the least, or the largest where ``most``.
    """

    model: str
    says: str
    path: str
    bound: float
    most: bool = False

    def value(self, figures: Any) -> float | None:
        """Return the figure, of a lowest and a highest value their difference; None where it was not measured."""
        if figures is None:
            return None
        for key in self.path.split("."):
            figures = figures[key]
        return max(figures) - min(figures) if isinstance(figures, list) else figures

    def met(self, value: float) -> bool:
        """Return whether a figure is on the right side of the bound."""
        return value <= self.bound if self.most else value >= self.bound


_TARGETS = ("target", *OTHER_TARGETS)
_UNITS = ("single", "conjunction", "abstraction", "polysemantic")
REQUIRED: tuple[Requirement, ...] = (
    *(Requirement("judge", f"{name} read right in renders", f"held_out.{name}", 0.98) for name in ATTRIBUTES),
    *(Requirement("generator", f"{name} as a whole caption asks", f"full.{name}", 0.85) for name in ATTRIBUTES),
    Requirement("generator", "as a one-word concept asks, mean", "abstract.share", 0.85),
    Requirement("generator", "as a one-word concept asks, worst concept", "abstract.share_least", 0.85),
    Requirement("generator", "entropy of what a concept leaves open, mean", "abstract.variety", 0.8),
    Requirement("generator", "entropy of what a concept leaves open, worst concept", "abstract.variety_least", 0.8),
    *(Requirement("captioner", f"{name} of whole images", f"whole.{name}", 0.95) for name in ATTRIBUTES),
    *(Requirement("captioner", f"{name} of random cut-outs", f"anywhere.right.{name}", 0.9) for name in ATTRIBUTES),
    *(
        Requirement("captioner", f"{name} out of sight but named", f"anywhere.invented.{name}", 0.05, most=True)
        for name in ("shape", "background", "object")
    ),
    Requirement("summariser", "concept with most votes is right", "workflow.vote", 0.9),
    Requirement("summariser", "malformed answers", "workflow.malformed", 0.01, most=True),
    *(
        Requirement("summariser", f"answers changed by order, {count} at once", f"changed_at_{count}", 0.0, most=True)
        for count in (1, 5, 64)
    ),
    Requirement("embedder", "caption found among 64", "retrieval", 0.95),
    Requirement("embedder", "caption of a random cut-out found among 64", "cut-out retrieval", 0.9),
    Requirement("embedder", "AUC of concept phrases, worst concept", "concepts_auc_worst", 0.95),
    Requirement("sentences", "rank correlation of cosine and IoU, unseen meanings", "spearman", 0.8),
    Requirement("sentences", "other wording found among 64", "paraphrase", 0.9),
    *(Requirement("embedder", f"{name}: nearest phrase is right", name, 0.95) for name in ATTRIBUTES),
    *(Requirement(name, "class is right", "summary.class_accuracy", 0.95) for name in _TARGETS),
    *(
        Requirement(name, f"{kind} units: {says}", f"summary.{kind}.{key}", bound, most)
        for name in _TARGETS
        for says, key, bound, most in (
            ("AUC, worst unit", "auc_min", 0.98, False),
            ("activation in the right region, worst", "inside_min", 0.8, False),
            ("off the concept, worst", "contrast_max", 0.1, True),
        )
        for kind in _UNITS
    ),
    *(Requirement(name, "dead units: largest activation", "summary.dead_max", 0.0, most=True) for name in _TARGETS),
    *(
        Requirement(name, "constant units: range of activation", "summary.constant_range", 0.0, most=True)
        for name in _TARGETS
    ),
)


def write_json(path: Path, content: Any) -> None:
    """Write figures as standard JSON; NaN, for what there was nothing to measure of, becomes null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [plain(part) for part in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(content), indent=1, allow_nan=False) + "\n")


def gather(work: Path, models: Path) -> None:
    """Copy new figures and learning curves from the work folder into the models' folder, so that they are kept."""
    for name in CURVES:
        measured = work / f"measures-{name}.json"
        if measured.exists():
            write_json(models / FIGURES / measured.name.removeprefix("measures-"), json.loads(measured.read_text()))
        curves = {part: curve(work / f"{part}.pt") for part in CURVES[name]}
        if all(curves.values()):
            path = models / FIGURES / f"curve-{name}.json"
            lines = [
                f"{json.dumps(part)}: [\n" + ",\n".join(f" {json.dumps(point)}" for point in points) + "\n]"
                for part, points in curves.items()
            ]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def write(models: Path) -> None:
    """Write the card of the models in a folder, from the figures in its ``measures``."""
    (models / NAME).write_text(render(models))


def render(models: Path) -> str:
    """Return the card, Markdown."""
    figures = {name: _read(models / FIGURES / f"{name}.json") for name in MODELS}
    curves = {name: _read(models / FIGURES / f"curve-{name}.json") for name in CURVES}
    parts = [
        "# The embedded world's models",
        "Small models of the classes that a real run uses, trained on the shape world's renders alone. They show that "
        "the workflow works, and on known answers how well; they are of no use for photographs. This page is written "
        "by `python -m training --card` from the files beside it: change those, not this.",
        "## What there is",
        _models_table(models, curves),
        f"The autoencoder in the generator was trained by itself, for {_minutes(curves['autoencoder'])} minutes. "
        "Weights are kept in half precision, except for the judge's, and are read as float32 on CPUs.",
        "## Renders",
        "Image *i* of stream *s* is a function of (*s*, *i*) alone, and its random numbers are those of the seed "
        "sequence [*s*, *i*]; no two streams share an image. "
        + ", ".join(f"{name.replace('_', '-')}: stream {seed}" for name, seed in STREAMS.items())
        + ". Models learn from stream 1 only, and every figure below is of stream 2 or of prompts drawn apart.",
        "## What was measured",
        _requirements_table(figures),
        _generator_section(figures["generator"]),
        _summariser_section(figures["summariser"]),
        "## Learning curves",
        *[f"### {name}\n\n{_curve_tables(curves[name])}" for name in CURVES],
        "## Known weaknesses",
        _weaknesses(figures),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _minutes(curves: dict[str, list[dict[str, float]]] | None) -> str:
    return f"{sum(points[-1]['minute'] for points in curves.values()):.0f}" if curves else "?"


def _models_table(models: Path, curves: dict[str, Any]) -> str:
    rows = []
    for name, (kind, role) in MODELS.items():
        count = size = 0
        for path in sorted((models / name).rglob("*.safetensors")):
            size += path.stat().st_size
            with safe_open(path, framework="numpy") as file:
                count += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
        rows.append([f"`{name}`", kind, role, f"{count / 1e6:.2f} M", f"{size / 1e6:.1f} MB", _minutes(curves[name])])
    return _table(["folder", "class", "stage", "parameters", "weights", "minutes of training"], rows)


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"


def _requirements_table(figures: dict[str, Any]) -> str:
    rows = []
    for need in REQUIRED:
        limit = f"{'at most' if need.most else 'at least'} {_number(need.bound)}"
        value = need.value(figures[need.model])
        if value is None:
            rows.append([need.model, need.says, "not measured yet", limit, "?"])
            continue
        rows.append([need.model, need.says, _number(value), limit, "yes" if need.met(value) else "**no**"])
    return _table(["model", "figure", "measured", "required", "met"], rows)


def _generator_section(figures: Any) -> str:
    if figures is None:
        return ""
    asked = figures["asked"]
    rows = [
        [phrase, *(_number(got[name]) for name in ("share", "variety", "variety_least"))]
        for phrase, got in figures["prompts"].items()
    ]
    return (
        f'### Pictures of one-word concepts\n\n{asked["each"]} pictures of each, prompted with "one realistic image of '
        f'...", {asked["steps"]} steps, guidance {asked["guidance"]}. *Share*: pictures in the concept, as the judge '
        "reads them. *Entropy*: of the attributes that the prompt leaves open, and of the values that a group word "
        "stands for, divided by its largest value; the mean and the least of these.\n\n"
        + _table(["prompt", "share", "entropy", "least entropy"], rows)
    )


def _summariser_section(figures: Any) -> str:
    if figures is None:
        return "### Summaries by kind of concept\n\nnot measured yet"
    asked = figures["workflow"]
    rows = [
        [kind, str(asked["sets_by_kind"][kind]), _number(asked["first_by_kind"][kind]), _number(vote)]
        for kind, vote in asked["vote_by_kind"].items()
    ]
    return (
        "### Summaries by kind of concept\n\nHeld-out sets of ten captions, asked about through vLLM as the workflow "
        "does, and the share of right answers.\n\n" + _table(["kind", "sets", "first answer", "vote"], rows)
    )


def _curve_tables(curves: dict[str, list[dict[str, float]]] | None) -> str:
    if not curves:
        return "not recorded"
    tables = []
    for part, points in curves.items():
        judged = [point for point in points if len(point) > 3]
        for chosen in filter(None, ([point for point in points if "loss" in point], judged)):
            picked = [chosen[round(i * (len(chosen) - 1) / (ROWS - 1))] for i in range(ROWS)]
            picked = [point for i, point in enumerate(picked) if point not in picked[:i]]
            names = list(picked[-1])
            if len(names) > WIDEST:
                names = [*names[:2], names[-1]]
            rows = [
                [_number(point[name]) if name in point else "" for name in names]
                for point in picked
                if set(names) & set(point)
            ]
            tables.append(f"`{part}`\n\n{_table(names, rows)}")
    return "\n\n".join(tables)


def _weaknesses(figures: dict[str, Any]) -> str:
    lines = [
        f"{need.model}: {need.says} is {_number(value)}, short of {_number(need.bound)}."
        for need in REQUIRED
        if (value := need.value(figures[need.model])) is not None and not need.met(value)
    ]
    if figures["generator"]:
        prompts = figures["generator"]["prompts"]
        wrong = [f"{name} ({_number(got['share'])})" for name, got in prompts.items() if got["share"] < 0.85]
        same = [f"{name} ({_number(got['variety'])})" for name, got in prompts.items() if got["variety"] < 0.8]
        if wrong:
            lines.append(f"The generator often misses: {', '.join(wrong)}.")
        if same:
            lines.append(f"It draws much alike for: {', '.join(same)}.")
    if figures["summariser"]:
        votes = figures["summariser"]["workflow"]["vote_by_kind"]
        weak = [f"{kind} ({_number(share)})" for kind, share in votes.items() if share < 0.85]
        if weak:
            lines.append(f"The summariser is least sure of these kinds: {', '.join(weak)}.")
    lines.append("All models know the words of the shape world only; other words are unknown to their tokenizers.")
    return "\n".join(f"- {line}" for line in lines)

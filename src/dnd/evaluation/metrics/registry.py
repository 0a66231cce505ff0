"""Every metric of the evaluation: name in tables, title for people, source, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

DAGGER = "\u2020"
Verdict = Literal["passes", "fails missing", "fails extra", "fails both", "not applicable"]


class Metric(NamedTuple):
    """A figure of the evaluation.

    Attributes
    ----------
    name : in EVALUATION tables.
    title : for people.
    source : paper or released function; the definition is in the docstring of its function.
    sanity : how it does in Neuron_Eval's two tests, which ``tests/unit/evaluation/metrics/test_sanity.py`` runs.
    """

    name: str
    title: str
    source: str
    sanity: Verdict = "not applicable"

    @property
    def doubtful(self) -> bool:
        """Whether the metric fails a sanity test: a label that misses cases, or holds too often, may score as well."""
        return self.sanity.startswith("fails")


_WORLD = "this project: extension of a label in the shape world"
_OIKARINEN = "Oikarinen & Weng, Linear Explanations, ICML 2024"
_COSY = "Kopf et al., CoSy, NeurIPS 2024"
_RELEASED = "released Describe-and-Dissect, get_cos_similarity"
_HALVES = "this project, after arXiv 2401.16731"
_LENS = "Dreyer et al., SemanticLens, Nature Machine Intelligence 2025"
_ALL = (
    Metric("known_answer_exact", "exact", _WORLD, "passes"),
    Metric("known_answer_f1", "F1", _WORLD, "passes"),
    Metric("known_answer_iou", "IoU", _WORLD, "passes"),
    Metric("known_answer_both", "both concepts named", _WORLD),
    Metric("known_answer_right", "right", "this project: same lemma, WordNet parent or alike sentence"),
    Metric("true_r", "true r", _WORLD, "passes"),
    Metric("true_r_ranked", "true r, nothing withheld", _WORLD, "passes"),
    Metric("true_share", "share of the best single label", _WORLD, "passes"),
    Metric("true_share_pair", "share of the best label of up to two", _WORLD, "passes"),
    Metric("abstained", "abstained", "this project"),
    Metric("ece", "calibration error", "Guo et al., ICML 2017"),
    Metric("cosy_auc", "CoSy AUC", _COSY, "fails missing"),
    Metric("cosy_mad", "CoSy MAD", _COSY, "fails missing"),
    Metric("simulation_r", "simulation r", _OIKARINEN, "passes"),
    Metric("class_name_similarity", "class name, cosine", _RELEASED),
    Metric("class_name_similarity_clip", "class name, cosine of an image-text embedder", _RELEASED),
    Metric("class_name_bertscore", "class name, BERTScore (rescaled)", "Zhang et al., ICLR 2020"),
    Metric("stability", "stability", _HALVES),
    Metric("stability_iou", "stability, IoU", _HALVES),
    Metric("stability_same_set", "stability, same set", _HALVES),
    Metric("stability_similarity", "stability, cosine", _HALVES),
    Metric(
        "exemplar_contrast", "exemplars against look-alikes", "after Kalibhat et al., FALCON, ICML 2023", "fails extra"
    ),
    Metric("clarity", "clarity", _LENS),
    Metric("polysemanticity", "polysemanticity", _LENS),
    Metric("redundancy", "redundancy", _LENS),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""Name -> metric, in the order in which tables show them."""


def marked(name: str) -> str:
    """Return a metric's title with a dagger where it fails a sanity test; the name itself for an unknown metric."""
    if name not in METRICS:
        return name
    metric = METRICS[name]
    return f"{metric.title} {DAGGER}" if metric.doubtful else metric.title


def footnote() -> str:
    """Return what the dagger means, with the metrics that fail and how, for the foot of a table."""
    failing = [f"{metric.title} ({metric.sanity.removeprefix('fails ')} labels)" for metric in _ALL if metric.doubtful]
    return (
        f"{DAGGER} fails a sanity test of Neuron_Eval (Oikarinen et al., ICML 2025), that is, hardly falls when a "
        f"label misses half of its cases or holds twice as often: {', '.join(failing)}."
    )

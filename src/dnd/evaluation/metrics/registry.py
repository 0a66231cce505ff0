"""Every metric of the evaluation: name in tables, title for people, source, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dnd.evaluation.metrics.sanity import Verdict

DAGGER = "\u2020"


@dataclass(frozen=True)
class Metric:
    """A figure of the evaluation.

    Attributes
    ----------
    name : in EVALUATION tables.
    title : for people.
    source : paper or released function; the definition is in the docstring of ``function``.
    function : where it is defined.
    higher : whether higher is better; None for what is neither, such as a share of abstentions.
    sanity : how it does in Neuron_Eval's two tests: see :mod:`dnd.evaluation.metrics.sanity`.
    """

    name: str
    title: str
    source: str
    function: str
    higher: bool | None
    sanity: Verdict

    @property
    def doubtful(self) -> bool:
        """Whether the metric fails a sanity test: a label that misses cases, or holds too often, may score as well."""
        return self.sanity.startswith("fails")

    @property
    def marked(self) -> str:
        """The title, with a dagger where the metric is doubtful."""
        return f"{self.title} {DAGGER}" if self.doubtful else self.title


_OIKARINEN = "Oikarinen & Weng, Linear Explanations, ICML 2024"
_COSY = "Kopf et al., CoSy, NeurIPS 2024"
_LENS = "Dreyer et al., SemanticLens, Nature Machine Intelligence 2025"
_OWN = "this project: extension of a label in the shape world"
_HALVES = "this project, after arXiv 2401.16731"
_ALL = (
    Metric("known_answer_exact", "exact", _OWN, "dnd.evaluation.agreement.agreement", True, "passes"),
    Metric("known_answer_f1", "F1", _OWN, "dnd.evaluation.agreement.agreement", True, "passes"),
    Metric("known_answer_iou", "IoU", _OWN, "dnd.evaluation.agreement.agreement", True, "passes"),
    Metric(
        "known_answer_both", "both concepts named", _OWN, "dnd.evaluation.agreement.names_all", True, "not applicable"
    ),
    Metric("abstained", "abstained", "this project", "dnd.selection.descriptions.run", None, "not applicable"),
    Metric(
        "ece",
        "calibration error",
        "Guo et al., ICML 2017",
        "dnd.evaluation.metrics.reliability.reliability",
        False,
        "not applicable",
    ),
    Metric("cosy_auc", "CoSy AUC", _COSY, "dnd.selection.cosy.auc", True, "fails missing"),
    Metric("cosy_mad", "CoSy MAD", _COSY, "dnd.selection.cosy.mad", True, "fails missing"),
    Metric("simulation_r", "simulation r", _OIKARINEN, "dnd.evaluation.metrics.simulation.simulation", True, "passes"),
    Metric(
        "class_name_similarity",
        "class name, cosine",
        "released Describe-and-Dissect, get_cos_similarity",
        "dnd.evaluation.metrics.text.cosines",
        True,
        "not applicable",
    ),
    Metric(
        "class_name_similarity_clip",
        "class name, cosine of an image-text embedder",
        "released Describe-and-Dissect, get_cos_similarity",
        "dnd.evaluation.metrics.text.cosines",
        True,
        "not applicable",
    ),
    Metric(
        "class_name_bertscore",
        "class name, BERTScore (rescaled)",
        "Zhang et al., ICLR 2020",
        "dnd.evaluation.metrics.text.bert_score",
        True,
        "not applicable",
    ),
    Metric("stability", "stability", _HALVES, "dnd.evaluation.metrics.stability.same_label", True, "not applicable"),
    Metric(
        "stability_iou",
        "stability, IoU",
        _HALVES,
        "dnd.evaluation.metrics.stability.same_extension",
        True,
        "not applicable",
    ),
    Metric(
        "stability_same_set",
        "stability, same set",
        _HALVES,
        "dnd.evaluation.metrics.stability.same_set",
        True,
        "not applicable",
    ),
    Metric(
        "stability_similarity",
        "stability, cosine",
        _HALVES,
        "dnd.evaluation.metrics.stability.similar_text",
        True,
        "not applicable",
    ),
    Metric(
        "exemplar_contrast",
        "exemplars against look-alikes",
        "after Kalibhat et al., FALCON, ICML 2023",
        "dnd.evaluation.metrics.contrast.explained",
        True,
        "fails extra",
    ),
    Metric("clarity", "clarity", _LENS, "dnd.evaluation.metrics.semantics.clarity", None, "not applicable"),
    Metric(
        "polysemanticity",
        "polysemanticity",
        _LENS,
        "dnd.evaluation.metrics.semantics.polysemanticity",
        None,
        "not applicable",
    ),
    Metric("redundancy", "redundancy", _LENS, "dnd.evaluation.metrics.semantics.redundancy", None, "not applicable"),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
"""Name -> metric, in the order in which tables show them."""


def marked(name: str) -> str:
    """Return a metric's title with a dagger where it fails a sanity test; the name itself for an unknown metric."""
    return METRICS[name].marked if name in METRICS else name


def footnote() -> str:
    """Return what the dagger means, with the metrics that fail and how, for the foot of a table."""
    failing = [f"{one.title} ({one.sanity.removeprefix('fails ')} labels)" for one in _ALL if one.doubtful]
    return (
        f"{DAGGER} fails a sanity test of Neuron_Eval (Oikarinen et al., ICML 2025), that is, hardly falls when a "
        f"label misses half of its cases or holds twice as often: {', '.join(failing)}."
    )

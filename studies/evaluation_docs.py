"""Write docs/evaluation.md, with its tables and plots, from the tables of an evaluation run.

``python -m studies.evaluation_docs config/evaluation/config.yaml docs`` after the run; ``make evaluate`` does both.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.config.load import Config, config_file
from dnd.config.sweep import sweep_rows
from dnd.evaluation import agreement as evaluation
from dnd.evaluation import reliability_plot
from dnd.evaluation.baselines import BASELINES
from dnd.evaluation.metrics import registry
from dnd.io import schemas, tables
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from studies import ceilings, confidence, costs, hidden_docs, plots
from studies.methods_tables import Against, against_table, markdown, plain_table, relinked, table_of, winner
from studies.results import PLANTED, Results, expand, read

NAME = "evaluation"
KINDS = ("concept", *CONCEPT_KINDS, "polysemantic")
ABOUT = {
    "dnd": ("Describe-and-Dissect, this workflow's default", "images, generated images"),
    "compat": ("the released Describe-and-Dissect, its defects included", "images, generated images"),
    "summary-only": ("captions and one summary, no generation (Zhao et al., arXiv 2310.10708)", "images"),
    "direct-vlm": ("one question to a vision-language model", "images"),
    "clip-dissect": ("CLIP-Dissect (Oikarinen & Weng, ICLR 2023)", "images, a list of concepts"),
    "clip-dissect-released": ("CLIP-Dissect with soft-WPMI, as released", "images, a list of concepts"),
    "clip-dissect-half": ("CLIP-Dissect with a list of half of the concepts", "images, a list of concepts"),
    "linear-explanations": (
        "Linear Explanations (Oikarinen & Weng, ICML 2024), one term",
        "images, a list of concepts",
    ),
    "linear-explanations-5": ("Linear Explanations of up to five terms", "images, a list of concepts"),
    "linear-explanations-half": ("Linear Explanations with half of the list", "images, a list of concepts"),
    "network-dissection": ("Network Dissection (Bau et al., CVPR 2017)", "pixel masks"),
    "compositional": ("Compositional Explanations (Mu & Andreas, NeurIPS 2020)", "pixel masks"),
    "invert": ("INVERT (Bykov et al., NeurIPS 2023)", "image labels"),
    "milan": ("MILAN (Hernandez et al., ICLR 2022)", "images; descriptions of other networks' units"),
    "line": ("LINE (arXiv 2604.08039)", "generated images"),
    "sieve": ("verification by activation rate, as in SIEVE (arXiv 2603.24953)", "images, generated images"),
}
"""Recipe -> what it is, and what it is given beside the network."""


def known_answer_tables(results: Results, layer: str) -> dict[str, str]:
    """Return the tables of exact labels, of agreement and of abstention."""
    exact = {kind: results.values(layer, evaluation.EXACT, expand(kind)) for kind in KINDS}
    exact["both named"] = results.values(layer, evaluation.BOTH, [evaluation.SEVERAL])
    agreement = {
        f"{title}, {kind}": results.values(layer, metric, expand(kind))
        for kind in ("concept", "polysemantic")
        for title, metric in (("F1", evaluation.F1), ("IoU", evaluation.IOU))
    }
    abstained = {
        kind: results.values(layer, evaluation.ABSTAINED, expand(kind))
        for kind in ("dead", "constant", "random", "concept", "polysemantic")
    }
    return {
        "exact_table": table_of(exact, "concept"),
        "agreement_table": table_of(agreement, "F1, concept"),
        "abstained_table": plain_table(abstained),
    }


def pairs_table(results: Results, layer: str, method: str = "dnd") -> str:
    """Return our method against every other in exact labels."""
    found = results.comparisons
    found = found[(found["layer"] == layer) & (found["kind"] == "concept") & (found["metric"] == evaluation.EXACT)]
    tests = []
    for row in found.to_dict("records"):
        if method in (row["method"], row["other"]):
            sign = 1 if row["method"] == method else -1
            other = row["other"] if sign == 1 else row["method"]
            low, high = sorted((sign * row["low"], sign * row["high"]))
            tests.append(Against(other, sign * row["difference"], low, high, row["p_adjusted"], row["units"]))
    return against_table(method, tests)


def classes_table(results: Results, layer: str) -> str:
    """Return what the labels of a classifier's units are worth."""
    columns = {
        "sentence": results.values(layer, "class_name_similarity", None),
        "exact": results.values(layer, evaluation.EXACT, None),
        "F1": results.values(layer, evaluation.F1, None),
        "CLIP": results.values(layer, "class_name_similarity_clip", None),
        "BERTScore": results.values(layer, "class_name_bertscore", None),
    }
    return table_of({name: values for name, values in columns.items() if len(values)}, "sentence")


OTHERS = ("cosy_auc", "cosy_mad", "simulation_r", "exemplar_contrast", "stability", "stability_same_set")


def title(metric: str) -> str:
    """Return a metric's name, marked where it fails a sanity test."""
    doubtful = metric in registry.METRICS and registry.METRICS[metric].doubtful
    return f"`{metric}`{registry.DAGGER if doubtful else ''}"


def others_table(results: Results, layer: str) -> str:
    """Return the metrics that need no known answers, over all units that vary."""
    columns = {title(metric): results.values(layer, metric, None) for metric in OTHERS}
    columns = {name: values for name, values in columns.items() if len(values)}
    return table_of(columns, title("simulation_r"))


def trust(results: Results, layer: str) -> pd.DataFrame:
    """Return how well each metric's values follow the label's F1, within units and between methods.

    Returns
    -------
    Columns ``metric``, ``units`` (mean Spearman correlation over the labels of a unit) and ``methods``.
    """
    own = results.units
    own = own[(own["layer"] == layer) & ~own["half"] & own["kind"].isin([*CONCEPT_KINDS, "polysemantic"])]
    own = own[~own["method"].isin(BASELINES) | (own["recipe"] == "dnd")]
    wide = own.pivot_table(index=["model", "unit", "method"], columns="metric", values="value", aggfunc="first")
    rows = []
    for metric in (one for one in OTHERS if one in wide.columns and not one.startswith("stability")):
        both = wide[[metric, evaluation.F1]].dropna()
        within = [
            part[metric].corr(part[evaluation.F1], method="spearman")
            for _, part in both.groupby(["model", "unit"])
            if part[metric].nunique() > 1 and part[evaluation.F1].nunique() > 1
        ]
        means = both.groupby("method").mean()
        between = means[metric].corr(means[evaluation.F1], method="spearman")
        rows.append({"metric": metric, "units": float(np.mean(within)) if within else np.nan, "methods": between})
    return pd.DataFrame(rows, columns=["metric", "units", "methods"])


def summary(results: Results, layer: str, classes: str | None) -> str:
    """Say in words who is best, also where it is not us."""
    exact = results.values(layer, evaluation.EXACT, CONCEPT_KINDS).median(axis=1).drop(list(BASELINES), errors="ignore")
    lines = [winner("exact labels of units with one concept", exact)]
    blind = exact[[one for one in exact.index if one not in ("network-dissection", "compositional", "invert")]]
    if len(blind) < len(exact):
        lines.append(winner("the same, among methods that see no masks or image labels", blind))
    several = results.values(layer, evaluation.EXACT, ["polysemantic"]).median(axis=1)
    lines.append(winner("exact labels of units of two concepts", several.drop(list(BASELINES), errors="ignore")))
    both = results.values(layer, evaluation.BOTH, [evaluation.SEVERAL])
    if len(both):
        lines.append(winner("units of two concepts, both named", both.median(axis=1)))
    if classes is not None:
        names = results.values(classes, "class_name_similarity", None).median(axis=1)
        lines.append(winner("similarity to class names", names.drop(list(BASELINES), errors="ignore")))
    for metric in OTHERS:
        values = results.values(layer, metric, None)
        if len(values):
            lines.append(winner(title(metric), values.median(axis=1).drop(list(BASELINES), errors="ignore")))
    return "\n".join(f"- {line}" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the document."""
    parser = argparse.ArgumentParser(prog="python -m studies.evaluation_docs", description=__doc__)
    parser.add_argument("config", type=Path, help="configuration of the finished run")
    parser.add_argument("docs", type=Path, help="folder of the document")
    chosen = parser.parse_args(arguments)
    config = load(config_file(chosen.config), chosen.config)
    results = read(config)
    layer, classes = PLANTED, "fc"
    folder = chosen.docs / NAME
    folder.mkdir(parents=True, exist_ok=True)
    plots.exact(results, layer, folder / "exact.png")
    plots.agreement(results, layer, folder / "agreement.png")
    plots.metrics(results, layer, OTHERS, folder / "metrics.png")
    sure = confidence.units(results, (layer, classes))
    reliability_plot.draw(confidence.diagrams(sure), folder / "reliability.png")
    trusted = [
        [title(row["metric"]), f"{row['units']:.2f}", f"{row['methods']:.2f}"]
        for row in trust(results, layer).to_dict("records")
    ]
    replaced = ceilings.parts(config)
    used = [one for one in dict.fromkeys(row.recipe for row in sweep_rows(config)) if one not in replaced]
    environment = Environment(loader=PackageLoader("studies"), undefined=StrictUndefined, trim_blocks=False)
    text = environment.get_template("evaluation.md.j2").render(
        run=config.run,
        folder=NAME,
        networks=results.networks,
        probe_images=max(config.probes[row.probe].images for row in sweep_rows(config)),
        methods=[
            {"name": one, "what": ABOUT.get(one, ("", ""))[0], "sees": ABOUT.get(one, ("", ""))[1]} for one in used
        ],
        enough=evaluation.ENOUGH,
        scenes=evaluation.SCENES,
        summary=summary(results, layer, classes),
        hidden=hidden_docs.parts(results),
        pooling=config.evaluation.pooling,
        held_out=config.probes[config.evaluation.held_out].images if config.evaluation.held_out else 0,
        pairs_table=pairs_table(results, layer),
        classes_table=classes_table(results, classes),
        confidence_table=confidence.table(sure),
        others_table=others_table(results, layer),
        dagger_text=registry.footnote(),
        metric_notes="\n".join(f"- {title(one)}: {registry.METRICS[one].source}" for one in OTHERS),
        trust_table=markdown(["metric", "within units", "between methods"], trusted),
        units_table=units_table(results, layer),
        ceilings=ceilings.weakest(results, layer, replaced),
        ceilings_table=ceilings.table(results, layer, replaced),
        ceilings_notes=ceilings.notes(replaced),
        audits=list(config.audits),
        audits_table=audits_table(config, folder),
        cost_table=costs.table(config),
        tuning=relinked(
            Path(chosen.config.parent, "tuning.md").read_text(encoding="utf-8").strip(),
            chosen.config.parent,
            chosen.docs,
        ),
        **known_answer_tables(results, layer),
    )
    (chosen.docs / f"{NAME}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"wrote {chosen.docs / NAME}.md")
    return 0


def units_table(results: Results, layer: str) -> str:
    """Return the units' own scores by kind."""
    own = results.units[(results.units["layer"] == layer) & (results.units["method"] == "exemplars")]
    wide = own.pivot_table(index="kind", columns="metric", values="value", aggfunc="mean")
    return markdown(
        ["kind", *wide.columns],
        [[kind, *(f"{v:.2f}" for v in row)] for kind, row in zip(wide.index, wide.to_numpy(), strict=True)],
    )


def audits_table(config: Config, folder: Path) -> str:
    """Return what silenced units change over all images, and copy the charts into the document's folder."""
    rows, paths = [], Paths(plan_of(config))
    for name, audit in config.audits.items():
        shutil.copyfile(paths.file("chart", audit=name), folder / f"audit-{name}.svg")
        found = tables.read(paths.file("audit", audit=name), schemas.AUDITS).to_pylist()
        for row in (one for one in found if one["class"] is None):
            who = f"`{audit.query or audit.units}`" if row["control"] is None else f"random units {row['control'] + 1}"
            change = f"{row['accuracy_change']:+.3f} [{row['accuracy_low']:+.3f}, {row['accuracy_high']:+.3f}]"
            logit = f"{row['logit_change']:+.2f} [{row['logit_low']:+.2f}, {row['logit_high']:+.2f}]"
            rows.append([name, f"{audit.row}, {audit.layer}", who, str(len(row["units"])), change, logit])
    header = ["audit", "of", "silenced", "units", "accuracy", "true class's logit"]
    return markdown(header, rows)


if __name__ == "__main__":
    raise SystemExit(main())

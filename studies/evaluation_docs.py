"""Write docs/evaluation.md, with its tables and plots, from the tables of an evaluation run.

``python -m studies.evaluation_docs config/evaluation/config.yaml docs`` after the run; ``make evaluate`` does both.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.config.load import Config, config_file
from dnd.config.sweep import sweep_rows
from dnd.evaluation import agreement as evaluation
from dnd.evaluation.baselines import BASELINES
from dnd.evaluation.metrics import registry
from dnd.io import schemas, tables
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of

NAME = "evaluation"
PLANTED = "concepts"
"""The layer of planted units."""
NONE = "-"
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


@dataclass(frozen=True)
class Results:
    """The tables of an evaluation run.

    Attributes
    ----------
    config : of the run.
    units : EVALUATION rows of units with ``model`` and ``half`` (whether its probe is a part).
    oracles : the same of recipes in which the truth stands in for a model, which are no methods.
    """

    config: Config
    units: pd.DataFrame
    comparisons: pd.DataFrame
    oracles: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def networks(self) -> list[str]:
        """Names of the networks, each once: models with a basis have no planted units."""
        return sorted(self.units.loc[self.units["layer"] == PLANTED, "model"].unique())

    def values(self, layer: str, metric: str, kinds: Sequence[str] | None) -> pd.DataFrame:
        """Return the mean of a metric per method (rows) and network (columns) over units of some kinds; None: all."""
        own = self.units[(self.units["layer"] == layer) & (self.units["metric"] == metric)]
        if not metric.startswith("stability"):  # which is of rows that saw a part of a probe
            own = own[~own["half"]]
        if kinds is not None:
            own = own[own["kind"].isin(kinds)]
        # baselines are those of our own method
        own = own[~own["method"].isin(BASELINES) | (own["recipe"] == "dnd")]
        return own.pivot_table(index="method", columns="model", values="value", aggfunc="mean")


def read(config: Config) -> Results:
    """Read the tables of a finished run.

    Raises
    ------
    FileNotFoundError
        It is not finished.
    """
    paths = Paths(plan_of(config))
    rows = {row.name: row for row in sweep_rows(config)}
    found = tables.read(paths.file("evaluation"), schemas.EVALUATION).to_pandas()
    found = found[found["unit"].notna()]
    found = found.assign(
        model=found["name"].map(lambda name: rows[name].model),
        recipe=found["name"].map(lambda name: rows[name].recipe),
        half=found["name"].map(lambda name: config.probes[rows[name].probe].part is not None),
    )
    known = found["recipe"].map(lambda name: bool(config.recipes[name].oracles))
    comparisons = tables.read(paths.file("comparisons"), schemas.COMPARISONS).to_pandas()
    return Results(config, found[~known], comparisons, found[known & (found["method"] == found["recipe"])])


def expand(kind: str) -> tuple[str, ...]:
    """Return the kinds of units that a kind joins."""
    return CONCEPT_KINDS if kind == "concept" else (kind,)


def cell(table: pd.DataFrame, method: str) -> str:
    """Return the median of a method's values over networks (columns), with their range."""
    found = table.loc[[method]].to_numpy(float).ravel() if method in table.index else np.empty(0)
    found = found[~np.isnan(found)]
    if not len(found):
        return NONE
    if len(found) == 1:
        return f"{found[0]:.2f}"
    return f"{np.median(found):.2f} [{found.min():.2f}, {found.max():.2f}]"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ordered(methods: Sequence[str], key: Callable[[str], float]) -> list[str]:
    """Return methods best first, the baselines last."""
    own = sorted((one for one in methods if one not in BASELINES), key=lambda one: (-key(one), one))
    return own + [one for one in BASELINES if one in methods]


def table_of(columns: dict[str, pd.DataFrame], leading: str, largest: bool = True) -> str:
    """Return a table of methods by columns, each column's best method in bold, in the order of the leading column."""
    medians = {name: values.median(axis=1) for name, values in columns.items()}
    methods = ordered(
        list(dict.fromkeys(method for values in columns.values() for method in values.index)),
        lambda method: medians[leading].get(method, -np.inf),
    )
    best = {}
    for name, median in medians.items():
        own = median[[method for method in median.index if method not in BASELINES]].dropna()
        best[name] = set(own[np.isclose(own, own.max() if largest else own.min())].index) if len(own) else set()
    rows = []
    for method in methods:
        texts = [cell(values, method) for values in columns.values()]
        marked = [
            f"**{text}**" if method in best[name] and text != NONE else text
            for name, text in zip(columns, texts, strict=True)
        ]
        rows.append([f"`{method}`" if method not in BASELINES else f"*{method}*", *marked])
    return markdown(["method", *columns], rows)


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


def plain_table(columns: dict[str, pd.DataFrame]) -> str:
    """Return a table without a best, by method."""
    methods = sorted({method for values in columns.values() for method in values.index})
    rows = [[f"`{one}`", *(cell(values, one) for values in columns.values())] for one in methods]
    return markdown(["method", *columns], rows)


class Against(NamedTuple):
    """A method's differences to another one, and how sure they are."""

    other: str
    difference: float
    low: float
    high: float
    p: float
    units: int


def against_table(method: str, tests: Sequence[Against]) -> str:
    """Return a method against every other."""
    rows = [
        [
            f"`{test.other}`",
            f"{test.difference:+.2f}",
            f"{test.low:+.2f} to {test.high:+.2f}",
            f"{test.p:.2g}" if test.p >= 1e-4 else "< 0.0001",
            "a draw" if test.p >= 0.05 else f"`{method if test.difference > 0 else test.other}`",
            str(test.units),
        ]
        for test in sorted(tests, key=lambda test: test.difference)
    ]
    return markdown([f"`{method}` against", "difference", "95 %", "p, corrected", "better", "units"], rows)


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


def winner(what: str, values: pd.Series) -> str:
    """One line: who is best at something, and where our method stands."""
    values = values.dropna().sort_values(ascending=False)
    if not len(values):
        return f"{what}: nobody was measured"
    best = [f"`{one}`" for one in values.index[np.isclose(values, values.iloc[0])]]
    line = f"{what}: {' and '.join(best)} with {values.iloc[0]:.2f}"
    if "dnd" in values.index and "`dnd`" not in best:
        place = int((values > values["dnd"]).sum()) + 1
        line += f"; **`dnd` is not the best**, with {values['dnd']:.2f} it is number {place} of {len(values)}"
    return line


def relinked(text: str, old: Path, new: Path) -> str:
    """Return Markdown of a file in the folder ``old`` with its relative links as a file in ``new`` must have them."""

    def moved(link: re.Match[str]) -> str:
        return "](" + Path(os.path.relpath(old / link[1], new)).as_posix()

    return re.sub(r"\]\((?![a-z]+:|[#/])([^)#\s]+)", moved, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the document."""
    from studies import ceilings, confidence, costs, hidden_docs, plots

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
    plots.reliability(confidence.diagrams(sure), folder / "reliability.png")
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

"""Write docs/ablation.md, with its tables and its plot, from the tables of a run of all variants.

``python -m studies.ablation_docs results/ablation/config.yaml config/ablations.tsv docs`` after the run;
``make ablate`` does all of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from dnd.config.known_answers import CONCEPT_KINDS
from dnd.config.load import Config, ConfigError, config_file
from dnd.config.sweep import sweep_rows
from dnd.evaluation import agreement
from dnd.evaluation.judgements import TRUE_R
from dnd.evaluation.metrics.statistics import PairedTest, compare
from dnd.io import schemas, tables
from dnd.run.contents import load
from dnd.run.paths import Paths
from dnd.run.tasks import plan_of
from studies import ablation
from studies import costs as evaluation_costs
from studies.ablation import BASE
from studies.costs import Cost
from studies.methods_tables import NONE, markdown
from studies.results import PLANTED

NAME = "ablation"
BOTH, ECE = agreement.BOTH, agreement.ECE
"""Of polysemantic units: whether the labels together name both concepts; of a layer: how far confidence is off."""
NO_DIFFERENCE = "no difference measured"
FEW = 4
"""So many settings are told one by one."""
HIDDEN = "true r, hidden units, difference"
"""Column of what a variant does to labels of units that nobody planted."""
NOTHING = ("dead", "constant", "random")
"""Kinds of units with nothing to name."""
UNITS = {
    "both found": (BOTH, ("polysemantic",)),
    "abstains, dead or constant": (agreement.ABSTAINED, ("dead", "constant")),
    "abstains, random": (agreement.ABSTAINED, ("random",)),
    "abstains, one concept": (agreement.ABSTAINED, CONCEPT_KINDS),
}
"""Further columns: means of a metric over units of some kinds."""


@dataclass(frozen=True)
class Effect:
    """What a variant does to the labels.

    Attributes
    ----------
    changes : setting, its value in `dnd`, its value here.
    concept, polysemantic : exact labels minus those of `dnd`, of units with one concept to name, of those with two.
    nothing : abstentions minus those of `dnd`, of units with nothing to name.
    hidden : true r minus that of `dnd`, of units that nobody planted.
    """

    name: str
    question: str
    changes: Sequence[tuple[str, str, str]]
    concept: PairedTest
    polysemantic: PairedTest
    nothing: PairedTest
    hidden: PairedTest

    @property
    def verdict(self) -> str:
        """``helps``, ``hurts``, or no difference: the interval of units with one concept holds zero."""
        return verdict(self.concept)

    @property
    def verdicts(self) -> str:
        """The verdict, and those on other units where there is a difference."""
        others = {
            "two concepts": verdict(self.polysemantic),
            "nothing to name": verdict(self.nothing),
            "hidden": verdict(self.hidden),
        }
        told = [f"{units}: {one}" for units, one in others.items() if one != NO_DIFFERENCE]
        return "; ".join([self.verdict, *told])


def verdict(found: PairedTest) -> str:
    """Say which way a difference goes, if its interval excludes zero."""
    return "helps" if found.low > 0 else "hurts" if found.high < 0 else NO_DIFFERENCE


def settings_that_differ(base: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the dotted keys at which two recipes differ, with both values as text."""
    found: list[tuple[str, str, str]] = []
    for key in dict.fromkeys([*base, *other]):
        one, two = base.get(key), other.get(key)
        if isinstance(one, dict) and isinstance(two, dict):
            found += [(f"{key}.{below}", was, now) for below, was, now in settings_that_differ(one, two)]
        elif one != two:
            found.append((key, _spelt(one), _spelt(two)))
    return found


def _spelt(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        told = [f"{key}: {_spelt(one)}" for key, one in value.items()]
        return ", ".join(told) if len(told) <= FEW else "a section"
    return value if isinstance(value, str) else json.dumps(value)


def paired(units: pd.DataFrame, metric: str, kinds: Collection[str]) -> pd.DataFrame:
    """Return a metric of each recipe (columns) at the units of some kinds (rows) of all networks.

    Parameters
    ----------
    units : EVALUATION rows of units with ``model`` and ``recipe``.
    """
    return _by_recipe(units[(units["metric"] == metric) & units["kind"].isin(kinds)])


def hidden(units: pd.DataFrame) -> pd.DataFrame:
    """Return true r of each recipe (columns) at the units (rows) that nobody planted, 0 where nothing is said.

    Parameters
    ----------
    units : as of :func:`paired`.
    """
    return _by_recipe(units[(units["metric"] == TRUE_R) & (units["layer"] != PLANTED)])


def _by_recipe(units: pd.DataFrame) -> pd.DataFrame:
    own = units[units["method"] == units["recipe"]]
    return own.pivot_table(index=["model", "layer", "unit"], columns="recipe", values="value", aggfunc="first")


def effects(
    units: pd.DataFrame, questions: Mapping[str, str], changes: Mapping[str, Sequence[tuple[str, str, str]]]
) -> list[Effect]:
    """Return what each variant of a run does, the most helpful first; equal ones by name.

    Parameters
    ----------
    questions : variant -> what it is to find out.
    changes : variant -> the settings that differ from those of `dnd`.
    """
    concept = paired(units, agreement.EXACT, CONCEPT_KINDS)
    several = paired(units, agreement.EXACT, ["polysemantic"])
    nothing = paired(units, agreement.ABSTAINED, NOTHING)
    measured = (concept, several, nothing, hidden(units))
    found = [
        Effect(name, question, changes[name], *(_against_base(wide, name) for wide in measured))
        for name, question in questions.items()
        if name in concept
    ]
    return sorted(found, key=lambda one: (-one.concept.difference, -one.polysemantic.difference, one.name))


def _against_base(wide: pd.DataFrame, name: str) -> PairedTest:
    both = wide.reindex(columns=[name, BASE]).dropna()
    if not len(both):  # the networks have no units of these kinds
        return PairedTest(0, 0.0, 0.0, 0.0, "none", 1.0)
    return compare(both[name].tolist(), both[BASE].tolist())


def _difference(found: PairedTest) -> str:
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _hidden(effect: Effect) -> str:
    return _difference(effect.hidden) if effect.hidden.units else NONE


def _mean(means: pd.Series, name: str, digits: int = 2) -> str:
    return f"{means[name]:.{digits}f}" if name in means else NONE


def _changes(one: Effect) -> str:
    if len(one.changes) > FEW:
        return f"{len(one.changes)} settings"
    return "<br>".join(f"`{key}`: {was} → {now}".replace("|", "\\|") for key, was, now in one.changes)


def effects_table(found: Sequence[Effect], units: pd.DataFrame) -> str:
    """Return the table of variants by what they do to exact labels."""
    means = {
        kind: paired(units, agreement.EXACT, kinds).mean()
        for kind, kinds in {"concept": CONCEPT_KINDS, "polysemantic": ("polysemantic",)}.items()
    }
    r = hidden(units).mean()
    exact, both = _mean(means["concept"], BASE, 3), _mean(means["polysemantic"], BASE)
    lines = [[f"`{BASE}`", NONE, exact, NONE, NONE, both, NONE, _mean(r, BASE, 3), NONE]]
    for one in found:
        lines.append(
            [
                f"`{one.name}`",
                _changes(one),
                _mean(means["concept"], one.name, 3),
                _difference(one.concept),
                one.verdicts,
                _mean(means["polysemantic"], one.name),
                _difference(one.polysemantic),
                _mean(r, one.name, 3),
                _hidden(one),
            ]
        )
    header = ["variant", "changed", "exact, one concept", "difference", "verdict", "exact, two concepts", "difference"]
    header += ["true r, hidden units", "difference"]
    return markdown(header, lines)


def others_table(
    found: Sequence[Effect], units: pd.DataFrame, errors: Mapping[str, float], costs: Mapping[str, Cost]
) -> str:
    """Return the table of abstention, confidence and cost, in the order of the effects.

    Parameters
    ----------
    errors : recipe -> calibration error; without any there is no such column.
    costs : recipe -> what it asked of the models.
    """
    means = {title: paired(units, metric, kinds).mean() for title, (metric, kinds) in UNITS.items()}
    shown = [title for title, own in means.items() if len(own)]
    lines = []
    differences = {BASE: NONE} | {one.name: _hidden(one) for one in found}
    for name, difference in differences.items():
        cost, base = costs[name], costs[BASE]
        pictures = cost.pictures / cost.units
        share = f" ({pictures * base.units / base.pictures:.2f})" if base.pictures else ""
        lines.append(
            [
                f"`{name}`",
                *(_mean(means[title], name) for title in shown),
                *([f"{errors[name]:.3f}" if name in errors else NONE] if errors else []),
                f"{cost.questions / cost.units:.1f}",
                f"{pictures:.1f}{share}",
                difference,
            ]
        )
    calibration = ["calibration error"] if errors else []
    header = ["variant", *shown, *calibration, "questions", f"images (share of `{BASE}`)", HIDDEN]
    return markdown(header, lines)


def summary(found: Sequence[Effect]) -> str:
    """Say in words what helps and what hurts."""
    lines = []
    for word, sign in (("helps", 1), ("hurts", -1)):
        own = sorted((one for one in found if one.verdict == word), key=lambda one: -sign * one.concept.difference)
        named = ", ".join(f"`{one.name}` ({one.concept.difference:+.2f})" for one in own)
        lines.append(f"- {word}: {named or 'nothing'}")
    same = [one for one in found if one.verdict == NO_DIFFERENCE]
    lines.append(f"- {NO_DIFFERENCE}: {len(same)} of {len(found)} variants")
    others = {
        "exact labels of units with two concepts": [(one.name, one.polysemantic) for one in found],
        "abstentions of units with nothing to name": [(one.name, one.nothing) for one in found],
        "true r of hidden units": [(one.name, one.hidden) for one in found],
    }
    for what, each in others.items():
        told = [f"`{name}` ({one.difference:+.2f})" for name, one in each if verdict(one) != NO_DIFFERENCE]
        lines.append(f"- {what}: {', '.join(told) or NO_DIFFERENCE}")
    return "\n".join(lines)


def calibration_errors(found: pd.DataFrame) -> dict[str, float]:
    """Return recipe -> calibration error over all units of a layer, the mean over networks; nothing where none is told.

    Parameters
    ----------
    found : EVALUATION with ``recipe``.
    """
    own = found[(found["metric"] == ECE) & found["unit"].isna() & found["kind"].isna()]
    own = own[own["method"] == own["recipe"]]
    return {str(recipe): float(value) for recipe, value in own.groupby("recipe")["value"].mean().items()}


def held_out_images(config: Config) -> int | None:
    """Return how many images true r is measured on; None where it is not."""
    name = config.evaluation.held_out
    return None if name is None else config.probes[name].images


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the document."""
    from studies import plots

    parser = argparse.ArgumentParser(prog="python -m studies.ablation_docs", description=__doc__)
    parser.add_argument("config", type=Path, help="configuration of the finished run of all variants")
    parser.add_argument("table", type=Path, help="table of variants")
    parser.add_argument("docs", type=Path, help="folder of the document")
    chosen = parser.parse_args(arguments)
    try:
        config = load(config_file(chosen.config), chosen.config)
        variants = ablation.read(chosen.table)
        run = {row.name: row for row in sweep_rows(config)}
        found = tables.read(Paths(plan_of(config)).file("evaluation"), schemas.EVALUATION).to_pandas()
    except (OSError, ConfigError) as error:
        print(f"ablation:\n{error}", file=sys.stderr)
        return 2
    found = found[found["name"].isin(run)]
    found = found.assign(
        model=found["name"].map(lambda name: run[name].model), recipe=found["name"].map(lambda name: run[name].recipe)
    )
    units = found[found["unit"].notna()]
    values = {name: recipe.model_dump(mode="json") for name, recipe in config.recipes.items()}
    known = [one for one in variants if one.name in values]
    changes = {one.name: settings_that_differ(values[BASE], values[one.name]) for one in known}
    measured = effects(units, {one.name: one.question for one in known}, changes)
    folder = chosen.docs / NAME
    folder.mkdir(parents=True, exist_ok=True)
    plots.differences(measured, folder / "differences.png")
    environment = Environment(loader=PackageLoader("studies"), undefined=StrictUndefined, trim_blocks=False)
    text = environment.get_template("ablation.md.j2").render(
        run=config.run,
        folder=NAME,
        base=BASE,
        networks=sorted({row.model for row in run.values()}),
        probe_images=max(config.probes[row.probe].images for row in run.values()),
        held_out_images=held_out_images(config),
        one_concept=len(paired(units, agreement.EXACT, CONCEPT_KINDS)),
        nothing=len(paired(units, agreement.ABSTAINED, NOTHING)),
        hidden=len(hidden(units)),
        two_concepts=len(paired(units, agreement.EXACT, ["polysemantic"])),
        summary=summary(measured),
        questions=markdown(
            ["variant", "question", "verdict", HIDDEN],
            [[f"`{e.name}`", e.question, e.verdicts, _hidden(e)] for e in measured],
        ),
        effects_table=effects_table(measured, units),
        others_table=others_table(measured, units, calibration_errors(found), evaluation_costs.costs(config)),
        by_chance=0.05 * len(measured),
        absent=[one.name for one in variants if one.name not in {own.name for own in measured}],
    )
    (chosen.docs / f"{NAME}.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"wrote {chosen.docs / NAME}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())

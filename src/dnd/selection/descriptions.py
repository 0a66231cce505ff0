"""The final table of a layer: best labels, confidence, abstention and the evidence, one row per requested unit."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dnd.io import pictures, schemas, tables
from dnd.io.files import replaced
from dnd.io.rows import Description, ListedExemplar, Score
from dnd.selection.facets import mass
from dnd.selection.verdict import Verdict, load

LABELS = 3
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet runs."""


class UnitTopk(NamedTuple):
    """Columns of TOPK that tell why nothing is said of a unit, and which whole images excite it most."""

    unit: int
    idle: str | None
    image_ids: Sequence[str] = ()
    activations: Sequence[float] = ()


class Evidence(NamedTuple):
    """An exemplar as DESCRIPTIONS has it, and its caption."""

    exemplar: ListedExemplar
    caption: str | None


def ranked(candidates: Sequence[Score]) -> list[Score]:
    """Return our own candidates best first: by score, then votes, then the concept's spelling."""
    return sorted(candidates, key=lambda score: (-(score.score or 0.0), -(score.votes or 0), score.concept))


def confidence(best: Score, answers: int) -> float:
    """Return a first, uncalibrated estimate in [0, 1] that a label is right.

    The product of how clearly its images beat the control images (AUC .5 -> 0, 1 -> 1) and the share of the LLM's
    answers that named it, pulled half way to one: a lone vote for a label whose images all excite the unit still
    counts. Where nobody drew the label, so that nothing speaks for or against it, one half stands for the first.
    """
    separation = 0.5 if best.auc is None else float(np.clip(2 * best.auc - 1, 0, 1))
    return separation * (0.5 + 0.5 * (best.votes or 0) / answers)


def labels(best_first: Sequence[Score], activations: Sequence[float]) -> list[str]:
    """Return up to three labels, best first.

    They are the parts of alternatives, by share of the exemplars' activation as in FACETS where it is known and in
    their order where not, or the best candidates.

    Parameters
    ----------
    activations : of the unit's exemplars by rank.
    """
    best = best_first[0]
    if best.parts:
        named = {score.candidate: score.concept for score in best_first}
        strengths = [max(activation, 0.0) for activation in activations]
        shares = [0] * len(strengths) if best.shares is None else best.shares
        masses = [mass(strengths, shares, part) for part in range(len(best.parts))]
        order = sorted(range(len(masses)), key=lambda part: (-masses[part], part))
        return [named[best.parts[part]] for part in order]
    return [score.concept for score in best_first if not score.parts][:LABELS]


def rival_confidence(best: Score) -> float:
    """Return a first, uncalibrated estimate in [0, 1] that a rival's label is right.

    The score itself where it may be a share or a probability; one half where it is on another scale or not known.
    """
    return float(best.score) if best.score is not None and 0 <= best.score <= 1 else 0.5


def run(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: pa.Table,
    exemplars: pa.Table,
    captions: pa.Table,
    scores: pa.Table,
    verdict: Verdict | None = None,
) -> pa.Table:
    """Return the DESCRIPTIONS table of our own method, sorted by unit.

    Parameters
    ----------
    facts : ``model``, ``layer``, ``probe`` and ``recipe`` of the layer.
    units : the requested units.
    topk : TOPK of the layer; columns ``unit`` and ``idle`` are enough.
    verdict : fitted weights, by which the scores are log odds; without, confidence is a rough estimate and nothing that
        has a candidate is withheld.
    """
    wording = dict(zip(pictures.places_of(captions), captions["caption"].to_pylist(), strict=True))
    texts = [wording[place] for place in pictures.places_of(exemplars)]
    shown: dict[int, list[tuple[int, Evidence]]] = {}
    keys = zip(exemplars["unit"].to_pylist(), exemplars["rank"].to_pylist(), strict=True)
    for (unit, rank), exemplar, text in zip(keys, tables.rows_of(exemplars, ListedExemplar), texts, strict=True):
        shown.setdefault(unit, []).append((rank, Evidence(exemplar, text)))
    candidates = _by_unit(scores)
    rows = []
    for row in _of_units(topk, units):
        best_first = ranked(candidates.get(row.unit, []))
        sure, withheld = 0.0, None
        if best_first and verdict is not None:
            odds, bimodality = best_first[0].score or 0.0, best_first[0].bimodality or 0.0
            sure, withheld = verdict.confidence(odds, bimodality), verdict.abstention(odds, bimodality)
        elif best_first:
            sure = confidence(best_first[0], sum(score.votes or 0 for score in best_first))
        evidence = [known for _, known in sorted(shown.get(row.unit, []), key=lambda pair: pair[0])]
        rows.append(_row(facts, row, best_first, sure, evidence, withheld))
    return tables.table(rows, schemas.DESCRIPTIONS)


def of_files(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: str | Path,
    scores: pa.Table,
    exemplars: Sequence[str | Path],
    captions: Sequence[str | Path],
    fitted: Sequence[str | Path] = (),
) -> pa.Table:
    """Return the DESCRIPTIONS table of our own method from the files of its tables: see :func:`run`.

    Parameters
    ----------
    fitted : the file of fitted weights; none where a recipe has no verdict.
    """
    return run(
        facts,
        units,
        tables.read(topk, schemas.TOPK, ["unit", "idle"]),
        tables.read(exemplars, schemas.EXEMPLARS),
        tables.read(captions, schemas.CAPTIONS),
        scores,
        load(fitted[0]) if fitted else None,
    )


def of_rival(
    facts: Mapping[str, str], units: Sequence[int], topk: str | Path, scores: pa.Table, shown: int
) -> pa.Table:
    """Return the DESCRIPTIONS table of another method, sorted by unit: without captions, exemplars are whole images.

    Parameters
    ----------
    topk : file of TOPK of the layer.
    scores : SCORES of the method, in whose order of candidates the labels come.
    shown : how many of a unit's most activating images are its exemplars.
    """
    candidates = _by_unit(scores)
    best = tables.read(topk, schemas.TOPK, tables.fields_of(UnitTopk))
    rows = []
    for row in _of_units(best, units):
        best_first = sorted(candidates.get(row.unit, []), key=lambda score: score.candidate)
        sure = rival_confidence(best_first[0]) if best_first else 0.0
        most = zip(row.image_ids[:shown], row.activations[:shown], strict=True)
        evidence = [Evidence(ListedExemplar(name, None, activation), None) for name, activation in most]
        rows.append(_row(facts, row, best_first, sure, evidence))
    return tables.table(rows, schemas.DESCRIPTIONS)


def _by_unit(scores: pa.Table) -> dict[int, list[Score]]:
    by_unit: dict[int, list[Score]] = {}
    for score in tables.rows_of(scores.drop_columns(["activations"]), Score):
        by_unit.setdefault(score.unit, []).append(score)
    return by_unit


def _of_units(topk: pa.Table, units: Sequence[int]) -> list[UnitTopk]:
    """The rows of units, sorted by unit."""
    by_unit = {row.unit: row for row in tables.rows_of(topk, UnitTopk)}
    return [by_unit[unit] for unit in sorted(units)]


def _row(
    facts: Mapping[str, str],
    unit: UnitTopk,
    best_first: Sequence[Score],
    confidence: float,
    evidence: Sequence[Evidence],
    withheld: str | None = None,
) -> Description:
    """A row of DESCRIPTIONS; a unit without candidates abstains, an idle one among them.

    Parameters
    ----------
    withheld : why the best candidate is not said; the confidence is that it would be right.
    """
    best = best_first[0] if best_first and withheld is None else None
    return Description(
        **facts,
        unit=unit.unit,
        label=best.concept if best else None,
        labels=labels(best_first, [known.exemplar.activation for known in evidence]) if best else [],
        confidence=confidence,
        abstained=None if best else unit.idle or withheld or "no_concept",
        score=best_first[0].score if best_first else None,
        candidates=[{field.name: getattr(score, field.name) for field in schemas.CANDIDATE} for score in best_first],
        exemplars=[known.exemplar._asdict() for known in evidence],
        captions=[known.caption for known in evidence],
    )


def write_csv(path: str | Path, rows: pa.Table) -> None:
    r"""Write the table for spreadsheets: lists joined by `` | ``, one file that appears whole or not at all.

    A ``|`` in what is joined is written ``\|``. A text that a spreadsheet would run as a formula gets an apostrophe
    before it, as in the site's export.
    """
    with replaced(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows.schema.names)
        for row in tables.rows_of(rows, Description):
            cells = row._asdict()
            cells["candidates"] = [
                f"{candidate['concept']}" + ("" if candidate["score"] is None else f" ({candidate['score']:.3f})")
                for candidate in row.candidates
            ]
            cells["captions"] = [text for text in row.captions if text is not None]
            cells["exemplars"] = [
                f"{exemplar['image_id']}" + (f" [{' '.join(map(str, exemplar['box']))}]" if exemplar["box"] else "")
                for exemplar in row.exemplars
            ]
            writer.writerow([_cell(value) for value in cells.values()])


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = " | ".join(text.replace("|", r"\|") for text in value)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value

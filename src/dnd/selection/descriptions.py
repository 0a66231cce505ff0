"""The final table of a layer: best labels, confidence, abstention and the evidence, one row per requested unit."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from dnd.io import pictures, schemas, tables
from dnd.io.files import replaced
from dnd.io.rows import Description, Explained, ListedExemplar, Score
from dnd.selection import ranking
from dnd.selection.explains import parts_of, told_apart
from dnd.selection.facets import mass
from dnd.selection.verdict import Verdict, features, load

LABELS = 3
CHANCE, LITTLE = "chance", "little"
"""Why a label is not said: those of other units explain the unit as well; it explains too little of the unit."""
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


def withheld(explained: Mapping[int, Explained], least: float) -> dict[int, str]:
    """Return unit -> why its label is not said, of units of a layer.

    Parameters
    ----------
    explained : unit -> what its label explains.
    least : smallest ``explains`` of what is said.
    """
    units = sorted(explained)
    apart = told_apart([explained[unit].chance for unit in units])
    chance = {unit: CHANCE for unit, better in zip(units, apart, strict=True) if not better}
    return {unit: LITTLE for unit in units if explained[unit].explains < least} | chance


def run(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: pa.Table,
    exemplars: pa.Table,
    captions: pa.Table,
    scores: pa.Table,
    explains: pa.Table | None = None,
    least: float = 0.0,
    verdict: Verdict | None = None,
) -> pa.Table:
    """Return the DESCRIPTIONS table of our own method, sorted by unit.

    Parameters
    ----------
    facts : ``model``, ``layer``, ``probe`` and ``recipe`` of the layer.
    units : the requested units.
    topk : TOPK of the layer; columns ``unit`` and ``idle`` are enough.
    explains : EXPLAINS of the layer; without, nothing that has a candidate is withheld.
    least : smallest ``explains`` of what is said.
    verdict : fitted weights that give confidence; without there is none.
    """
    wording = dict(zip(pictures.places_of(captions), captions["caption"].to_pylist(), strict=True))
    texts = [wording[place] for place in pictures.places_of(exemplars)]
    shown: dict[int, list[tuple[int, Evidence]]] = {}
    keys = zip(exemplars["unit"].to_pylist(), exemplars["rank"].to_pylist(), strict=True)
    for (unit, rank), exemplar, text in zip(keys, tables.rows_of(exemplars, ListedExemplar), texts, strict=True):
        shown.setdefault(unit, []).append((rank, Evidence(exemplar, text)))
    candidates = ranking.by_unit(scores, ours=True)
    explained = _explained(explains)
    reasons = withheld(explained, least)
    rows = []
    for row in _of_units(topk, units):
        best_first = candidates.get(row.unit, [])
        known = [exemplar for _, exemplar in sorted(shown.get(row.unit, []), key=lambda pair: pair[0])]
        sure = None
        if verdict is not None and best_first and row.unit in explained:
            sure = confidence(best_first, explained[row.unit].explains, verdict)
        rows.append(_row(facts, row, best_first, known, explained.get(row.unit), sure, reasons.get(row.unit)))
    return tables.table(rows, schemas.DESCRIPTIONS)


def confidence(best_first: Sequence[Score], explains: float, verdict: Verdict) -> float:
    """Return how sure a unit's best candidate is, from its row of SCORES and what it explains."""
    best = best_first[0]
    totals = [score.score or 0.0 for score in best_first]
    known = features(explains, best.precision or 0.0, best.drawn or 0.0, totals, len(parts_of(best.concept)))
    return verdict.confidence(known)


def _explained(explains: pa.Table | None) -> dict[int, Explained]:
    rows = [] if explains is None else tables.rows_of(explains, Explained)
    return {row.unit: row for row in rows}


def of_files(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: str | Path,
    scores: pa.Table,
    exemplars: Sequence[str | Path],
    captions: Sequence[str | Path],
    explains: Sequence[str | Path],
    least: float,
    fitted: Sequence[str | Path],
) -> pa.Table:
    """Return the DESCRIPTIONS table of our own method from the files of its tables: see :func:`run`.

    Parameters
    ----------
    explains : the file of EXPLAINS; none where no embedder tells what labels explain.
    fitted : the file of fitted weights; none where a recipe has no verdict.
    """
    return run(
        facts,
        units,
        tables.read(topk, schemas.TOPK, ["unit", "idle"]),
        tables.read(exemplars, schemas.EXEMPLARS),
        tables.read(captions, schemas.CAPTIONS),
        scores,
        tables.read(list(explains), schemas.EXPLAINS),
        least,
        load(fitted[0]) if fitted else None,
    )


def of_rival(
    facts: Mapping[str, str],
    units: Sequence[int],
    topk: str | Path,
    scores: pa.Table,
    shown: int,
    explains: Sequence[str | Path] = (),
) -> pa.Table:
    """Return the DESCRIPTIONS table of another method, sorted by unit: without captions, exemplars are whole images.

    Nothing that it says is withheld: what its labels explain is told.

    Parameters
    ----------
    topk : file of TOPK of the layer.
    scores : SCORES of the method, in whose order of candidates the labels come.
    shown : how many of a unit's most activating images are its exemplars.
    explains : the file of EXPLAINS, where an embedder tells what labels explain.
    """
    candidates = ranking.by_unit(scores, ours=False)
    explained = _explained(tables.read(list(explains), schemas.EXPLAINS))
    best = tables.read(topk, schemas.TOPK, tables.fields_of(UnitTopk))
    rows = []
    for row in _of_units(best, units):
        most = zip(row.image_ids[:shown], row.activations[:shown], strict=True)
        known = [Evidence(ListedExemplar(name, None, activation), None) for name, activation in most]
        rows.append(_row(facts, row, candidates.get(row.unit, []), known, explained.get(row.unit)))
    return tables.table(rows, schemas.DESCRIPTIONS)


def _of_units(topk: pa.Table, units: Sequence[int]) -> list[UnitTopk]:
    """The rows of units, sorted by unit."""
    by_unit = {row.unit: row for row in tables.rows_of(topk, UnitTopk)}
    return [by_unit[unit] for unit in sorted(units)]


def _row(
    facts: Mapping[str, str],
    unit: UnitTopk,
    best_first: Sequence[Score],
    evidence: Sequence[Evidence],
    explained: Explained | None,
    confidence: float | None = None,
    reason: str | None = None,
) -> Description:
    """A row of DESCRIPTIONS; a unit without candidates abstains, an idle one among them.

    Parameters
    ----------
    reason : why the best candidate is not said.
    """
    best = best_first[0] if best_first and reason is None else None
    return Description(
        **facts,
        unit=unit.unit,
        label=best.concept if best else None,
        labels=labels(best_first, [known.exemplar.activation for known in evidence]) if best else [],
        confidence=confidence,
        abstained=None if best else unit.idle or reason or "no_concept",
        explains=explained.explains if explained else None,
        explains_low=explained.explains_low if explained else None,
        explains_high=explained.explains_high if explained else None,
        bimodality=best_first[0].bimodality if best_first else None,
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

"""The part of the site that shows one layer: an index of its units, their evidence, and a sheet for papers."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.compute as pc
from tqdm import tqdm

from dnd.config import known_answers
from dnd.io import schemas, tables
from dnd.io.files import sync_tree
from dnd.report import contact_sheet, data_files, terms
from dnd.report.data_files import Index
from dnd.report.origin import origin
from dnd.report.thumbnails import drawings, thumbnails
from dnd.report.units import EXEMPLARS, PER_BLOCK, PER_SHEET, THUMBS, Part, Tables, make

NUMBERS = ["confidence", "explains", "explains_low", "explains_high", "bimodality", "score"]
SHORT = ["unit", "label", "abstained", *NUMBERS]


def run(
    out: Path,
    facts: Mapping[str, str],
    given: Tables,
    settings: Mapping[str, object],
    answers: Path | None = None,
    threads: int = 1,
) -> None:
    """Write the folder of a layer.

    Parameters
    ----------
    out : an empty or missing folder; files of an earlier one are removed.
    facts : ``name``, ``layer``, ``slug``, ``model``, ``probe``, ``recipe`` and ``method`` of the layer.
    settings : key -> value of what its recipe says beyond the defaults.
    answers : file of the model's known answers, where it has one.
    threads : processes at work; one works in this process.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    key = f"layers/{facts['name']}/{facts['slug']}"
    short = tables.read(given.descriptions, schemas.DESCRIPTIONS, SHORT)
    units = short["unit"].to_pylist()
    parts = _parts(given, units)
    with _pool(min(threads, len(parts))) as pool, TemporaryDirectory(prefix=".", dir=out) as folder:
        probe = thumbnails(Path(folder), _shown(given.descriptions), given.probe, EXEMPLARS.side, pool)
        made = pool.map(partial(make, out, key, given, probe, terms.load().abstentions), parts)
        spans = [span for span in tqdm(made, "pages", len(parts), unit="sheet", mininterval=5) if span]
        has_sheet = contact_sheet.write(out, facts, given.descriptions, probe)
    known = known_answers.load(answers).get(facts["layer"], {}) if answers else {}
    truths = [known.get(unit) for unit in units]
    texts, shown, unsaid = _texts(given.descriptions)
    data_files.write(out, f"{key}/search", texts, "search")
    labels, label = data_files.numbered(short["label"].to_pylist())
    reasons, abstained = data_files.numbered(short["abstained"].to_pylist())
    kinds, kind = data_files.numbered(truth.kind if truth else None for truth in truths)
    facets = _facets(given.facets, units)
    index = Index(
        **facts,
        unit=units,
        labels=labels,
        label=label,
        reasons=reasons,
        abstained=abstained,
        **{name: short[name].to_pylist() for name in NUMBERS},
        unsaid=unsaid,
        kinds=kinds,
        kind=kind,
        truth=[truth.label if truth and truth.nameable else None for truth in truths] if kinds else None,
        importance=_importance(given.importance, units),
        facets=facets,
        polysemantic=[int(count > 1) for count in facets],
        span=(min(low for low, _ in spans), max(high for _, high in spans)) if spans else None,
        thumbs={"per_sheet": PER_SHEET, "columns": THUMBS.columns, "side": THUMBS.side, "count": shown},
        units_per_block=PER_BLOCK,
        origin=origin(given, settings),
        settings=[(name, value if isinstance(value, str) else json.dumps(value)) for name, value in settings.items()],
        contact_sheet=has_sheet,
    )
    data_files.write(out, f"{key}/index", index.model_dump(), "index")
    sync_tree(out)


def _pool(threads: int) -> Executor:
    """Processes, started anew, since those that read tables must not fork; a single one would only take time."""
    if threads <= 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(threads, multiprocessing.get_context("spawn"))


def _shown(descriptions: Path) -> set[str]:
    """Ids of every exemplar's image."""
    names: set[str] = set()
    for group in tables.row_groups([descriptions], schemas.DESCRIPTIONS, ["exemplars"]):
        names.update(pc.unique(pc.struct_field(pc.list_flatten(group["exemplars"]), "image_id")).to_pylist())
    return names


def _parts(given: Tables, units: Sequence[int]) -> list[Part]:
    """The units in parts, each with the places of the images that were generated for it."""
    places = drawings(given.images)
    groups = tables.row_groups([given.descriptions], schemas.DESCRIPTIONS, ["candidates"])
    concepts = (
        {candidate["concept"] for candidate in row["candidates"]} for group in groups for row in group.to_pylist()
    )
    parts = []
    for number, first in enumerate(range(0, len(units), PER_SHEET)):
        shown = units[first : first + PER_SHEET]
        wanted = set().union(*(next(concepts) for _ in shown))
        parts.append(
            Part(number, (shown[0], shown[-1]), {name: places[name] for name in sorted(wanted) if name in places})
        )
    return parts


def _texts(descriptions: Path) -> tuple[dict[str, object], list[int], list[str | None]]:
    """What to search: distinct labels, candidates and captions with their rows.

    And of each row how many thumbnails it has, and the candidate that it does not say.
    """
    index = {kind: data_files.TextIndex() for kind in ("label", "candidate", "caption")}
    shown: list[int] = []
    unsaid: list[str | None] = []
    columns = ["label", "candidates", "exemplars", "captions"]
    for group in tables.row_groups([descriptions], schemas.DESCRIPTIONS, columns):
        for row in group.to_pylist():
            index["label"].add(len(shown), [row["label"]])
            concepts = [candidate["concept"] for candidate in row["candidates"]]
            unsaid.append(concepts[0] if concepts and row["label"] is None else None)
            index["candidate"].add(len(shown), concepts)
            index["caption"].add(len(shown), row["captions"])
            shown.append(min(len(row["exemplars"]), THUMBS.columns))
    return {kind: texts.columns for kind, texts in index.items()}, shown, unsaid


def _importance(files: Sequence[Path], units: Sequence[int]) -> list[float | None] | None:
    if not files:
        return None
    importance = tables.read(files, schemas.IMPORTANCE, ["unit", "absolute"])
    by_unit = dict(zip(importance["unit"].to_pylist(), importance["absolute"].to_pylist(), strict=True))
    return [by_unit.get(unit) for unit in units]


def _facets(files: Sequence[Path], units: Sequence[int]) -> list[int]:
    """How many facets each unit has."""
    counts = Counter(tables.read(files, schemas.FACETS, ["unit"])["unit"].to_pylist())
    return [counts[unit] for unit in units]

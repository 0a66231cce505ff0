"""Write two small runs that differ, with their sites: ``python tests/browser/sites.py FOLDER``, where `dnd` is."""

from __future__ import annotations

import sys
from pathlib import Path

from synthetic import write_run

from dnd.evaluation import agreement
from dnd.io import schemas, tables
from dnd.report import layer, site
from dnd.report.units import Tables

SETTINGS = {"exemplars.images": 10, "generator.model": "<b>hostile</b>/model"}


def build(folder: Path, run: str, shift: int) -> None:
    """Write a run's tables and its site."""
    own = folder / run
    written = write_run(own, shift)
    pages = []
    for (name, slug), paths in written.items():
        (row,) = tables.read(paths["descriptions"], schemas.DESCRIPTIONS, ["model", "layer", "probe", "recipe"])[
            :1
        ].to_pylist()
        facts = row | {"name": name, "slug": slug, "method": "dnd" if "exemplars" in paths else row["recipe"]}
        given = Tables(
            descriptions=paths["descriptions"],
            topk=paths["topk"],
            facets=[paths["facets"]],
            exemplars=[paths["exemplars"]] if "exemplars" in paths else [],
            scores=[paths["scores"]],
            images=[own / "images.parquet"] if "exemplars" in paths else [],
            probe=[own / "probe.parquet"],
            importance=[paths["importance"]],
        )
        pages.append(own / name / slug / "pages")
        layer.run(pages[-1], facts, given, SETTINGS, own / "known.json")
    measured = own / "evaluation.parquet"
    places = [(name, paths["descriptions"]) for (name, _), paths in written.items()]
    tables.write(measured, agreement.run(places, {"conceptnet": own / "known.json"}), schemas.EVALUATION)
    site.build(own / "report", run, pages, measured)


if __name__ == "__main__":
    build(Path(sys.argv[1]), "first", shift=0)
    build(Path(sys.argv[1]), "second", shift=1)

"""Networks of every family of timm and transformers, small and with random weights, against the table in models.md."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
page = runpy.run_path(str(DOCS / "families.py"))


@pytest.fixture(scope="module")
def outcomes():
    return list(page["outcomes"]())


def documented():
    """Library and family -> outcome, as the table has them."""
    table = (DOCS / "models.md").read_text().partition(page["START"])[2].partition(page["END"])[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {
        (families.partition(": ")[0], family): outcome
        for outcome, _, families in rows
        for family in families.partition(": ")[2].split(", ")
    }


def test_no_family_is_read_wrongly(outcomes):
    """Where heat maps are concentrated they lie in the textured place, in every layer that is read as places."""
    wrong = {family: result.wrong for _, family, result in outcomes if not isinstance(result, str) and result.wrong}
    assert not wrong


def test_whole_libraries_are_tried(outcomes):
    for library in ("timm", "transformers"):
        results = [result for name, _, result in outcomes if name == library]
        tried = [result for result in results if not isinstance(result, str)]
        assert len(tried) > 80, f"of {len(results)}"


def test_the_table_is_that_of_today(outcomes):
    today = {(library, family): page["verdict"](result)[0] for library, family, result in outcomes}
    assert documented() == today, "run `python docs/families.py`"

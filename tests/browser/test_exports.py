"""The units shown, as files."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shown import search, texts


@pytest.fixture
def chosen(described):
    """The units whose texts have ``star``, those that are labelled."""
    rows = described("ours/concepts")
    return [row for row in rows if row["label"] and any("star" in text for text in texts(row))]


def saved(open_site, ending):
    page = open_site("#/layer/ours/concepts?why=labelled")
    search(page, "star")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=ending).click()
    assert download.value.suggested_filename.endswith(f"concepts.{ending.lower()}")
    return download.value.path()


def read(path, ending):
    if ending == "JSON":
        return json.loads(path.read_text(encoding="utf-8"))
    if ending == "Parquet":
        return pq.read_table(pa.BufferReader(path.read_bytes())).to_pylist()
    rows = csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))
    return [row | {"unit": int(row["unit"]), "explains": float(row["explains"])} for row in rows]


@pytest.mark.parametrize("ending", ["CSV", "JSON", "Parquet"])
def test_a_file_holds_the_units_shown(open_site, chosen, ending):
    assert 5 < len(chosen) < 60
    rows = read(saved(open_site, ending), ending)
    assert [(row["unit"], row["label"]) for row in rows] == [(row["unit"], row["label"]) for row in chosen]
    for row, own in zip(rows, chosen, strict=True):
        for name in ("explains", "explains_low", "explains_high", "bimodality"):
            assert float(row[name]) == pytest.approx(own[name], rel=1e-3)
        assert row["confidence"] in (None, "")
        assert row["recipe"] == own["recipe"]


def test_what_is_not_said_is_in_the_file_as_well(open_site, described):
    page = open_site("#/layer/ours/concepts?why=chance")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="JSON").click()
    rows = {row["unit"]: row for row in described("ours/concepts")}
    for row in read(download.value.path(), "JSON"):
        own = rows[row["unit"]]
        assert (row["label"], row["unsaid"]) == (None, own["candidates"][0]["concept"])
        assert (row["abstained"], row["explains"]) == ("chance", pytest.approx(own["explains"], rel=1e-3))


@pytest.mark.parametrize("ending", ["CSV", "JSON", "Parquet"])
def test_hostile_texts_survive_the_way_into_a_file(open_site, described, ending):
    page = open_site("#/layer/hostile/blocks.1-odd-name")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=ending).click()
    labels = [row["label"] for row in read(download.value.path(), ending)]
    given = [row["label"] for row in described("hostile/blocks.1-odd-name")]
    if ending == "CSV":  # which spreadsheets open, and run what begins like a formula
        given = [f"'{label}" if label.startswith(tuple("=+-@\t\r\n")) else label for label in given]
    assert labels == given


def test_the_contact_sheet_is_there(open_site, results):
    page = open_site("#/layer/ours/concepts")
    page.get_by_role("button", name="Export").click()
    for item in page.get_by_role("menuitem", name="Contact sheet").all():
        assert (results / "first/report" / item.get_attribute("href")).stat().st_size > 10_000

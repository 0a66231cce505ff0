"""Sheets of a layer's labels for papers."""

import re

import numpy as np
import pytest
from pages import LAYERS, write_run, write_site
from PIL import Image

from dnd.io import schemas, tables
from dnd.report import contact_sheet, data_files

PDF_DATES = re.compile(rb"/(Creation|Mod)Date")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return write_site(folder, write_run(folder, LAYERS))


def test_contact_sheets_hold_the_most_confident_labels_and_no_date(site):
    for name, layer in LAYERS:
        folder = site / "layers" / name / layer
        assert Image.open(folder / "contact-sheet.png").format == "PNG"
        pdf = (folder / "contact-sheet.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and not PDF_DATES.search(pdf)
    few = np.asarray(Image.open(site / "layers/classes/fc/contact-sheet.png").convert("RGB"))
    many = np.asarray(Image.open(site / "layers/planted/concepts/contact-sheet.png").convert("RGB"))
    assert many.shape[1] > few.shape[1] and (many < 128).sum() > (few < 128).sum() > 0


def test_any_text_fits_a_contact_sheet(tmp_path):
    text = "\u202e\u200b日本 $x_1$ 🦓\n\x00</b>\ud800 " + 50 * "long "
    assert contact_sheet.printable(text, 30) == "日本 $x_1$ 🦓 </b> long long lon…"
    places = write_run(tmp_path, {("planted", "concepts"): LAYERS["planted", "concepts"][:1]}, probe=20)
    rows = tables.read(tmp_path / "planted/descriptions.parquet", schemas.DESCRIPTIONS).to_pylist()
    rows[0]["label"] = text.replace("\ud800", "")
    tables.write(
        tmp_path / "planted/descriptions.parquet", tables.table(rows, schemas.DESCRIPTIONS), schemas.DESCRIPTIONS
    )
    site = write_site(tmp_path, places)
    assert data_files.read(site / "layers/planted/concepts/index.js")["labels"] == [text.replace("\ud800", "")]
    assert (site / "layers/planted/concepts/contact-sheet.png").stat().st_size > 5000


def test_what_explains_most_comes_first_and_what_is_not_known_last(tmp_path, monkeypatch):
    places = write_run(tmp_path, {("planted", "concepts"): [("single", ("red",), [f"{i} x"]) for i in range(4)]})
    rows = tables.read(tmp_path / "planted/descriptions.parquet", schemas.DESCRIPTIONS).to_pylist()
    for row, explains in zip(rows, (0.2, None, 0.82, 0.2), strict=True):
        row["explains"] = explains
    path = tmp_path / "planted/descriptions.parquet"
    tables.write(path, tables.table(rows, schemas.DESCRIPTIONS), schemas.DESCRIPTIONS)
    drawn = []
    monkeypatch.setattr(contact_sheet.Figure, "add_axes", spied(drawn, contact_sheet.Figure.add_axes))
    write_site(tmp_path, places)
    abouts = [text.get_text() for text in drawn[0].texts if text.get_text().startswith("unit")]
    assert abouts == ["unit 2 · explains 0.82", "unit 0 · explains 0.20", "unit 3 · explains 0.20", "unit 1"]


def spied(returned, function):
    """A function that does the same and notes what it returns."""

    def noting(*given, **named):
        returned.append(function(*given, **named))
        return returned[-1]

    return noting

"""What a notebook shows of a unit."""

import shutil

from pages import write_run

from dnd import api
from dnd.io import schemas, tables

PLANTED = [("single", ("red",), ["red objects", "striped objects"]), ("dead", None, [])]


def test_the_picture_of_a_unit_says_what_is_known_of_its_label(tmp_path, monkeypatch):
    write_run(tmp_path, {("planted", "concepts"): PLANTED}, probe=20)
    for path in (tmp_path / "planted").glob("*.parquet"):
        shutil.copy(path, tmp_path)
    described = tables.read(tmp_path / "descriptions.parquet", schemas.DESCRIPTIONS)
    rows = []
    monkeypatch.setattr(api.notebook_sheet, "sheet", lambda given: rows.append([text for text, _ in given]))
    units = api.Descriptions(described, tmp_path)
    units.show(0)
    units.show(1)
    assert rows == [
        ["unit 0: red objects\nexplains 0.40", "red objects\nscore 2.40", "striped objects\nscore 1.90"],
        ["unit 1: dead"],
    ]

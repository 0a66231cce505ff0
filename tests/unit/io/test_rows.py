"""Rows: a named tuple holds what a row of its table holds."""

from dnd.io import rows, schemas, tables


def test_rows_of_every_kind_of_column_come_back(tmp_path):
    exemplars = [
        rows.Exemplar(0, 0, "a.png", [0, 0, 8, 8], 1.5, b"png", [0, 0, 4, 4]),
        rows.Exemplar(0, 1, "b.png", None, 0.5),
    ]
    listed = [row._asdict() for row in (rows.ListedExemplar("a.png", None, 1.5),)]
    candidate = rows.ListedCandidate("star", 1.0, None, None, None, 0.25, 0.5, 0.75, None, "captions")._asdict()
    description = rows.Description(
        *("net", "layer", "photos", "dnd", 3, "star", ["star"], None, None, 0.5, 0.25, 0.75, None, 1.0),
        *([candidate], listed, [None, "a star"]),
    )
    figure = rows.Figure("mine", "layer", None, "all", "dnd", "auc", 0.1)
    for schema, kept in (
        (schemas.EXEMPLARS, exemplars),
        (schemas.DESCRIPTIONS, [description]),
        (schemas.EVALUATION, [figure]),
    ):
        path = tmp_path / "table.parquet"
        tables.write(path, tables.table(kept, schema), schema)
        assert tables.rows(path, schema, type(kept[0])) == kept

"""Rows: every kind has the columns of its table."""

import pytest

from dnd.io import rows, schemas, tables

KINDS = {
    rows.Topk: schemas.TOPK,
    rows.Exemplar: schemas.EXEMPLARS,
    rows.Caption: schemas.CAPTIONS,
    rows.LookAlike: schemas.LOOK_ALIKES,
    rows.Asked: schemas.ANSWERS,
    rows.Concept: schemas.CONCEPTS,
    rows.RefinementRound: schemas.REFINEMENT_ROUNDS,
    rows.Picture: schemas.IMAGES,
    rows.Drawn: schemas.DRAWN,
    rows.Score: schemas.SCORES,
    rows.Facet: schemas.FACETS,
    rows.LineRound: schemas.LINE_ROUNDS,
    rows.Description: schemas.DESCRIPTIONS,
    rows.Figure: schemas.EVALUATION,
    rows.Comparison: schemas.COMPARISONS,
    rows.Pattern: schemas.PATTERNS,
    rows.Dissection: schemas.DISSECTION,
    rows.Importance: schemas.IMPORTANCE,
}


@pytest.mark.parametrize(("kind", "schema"), KINDS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_fields_are_the_columns_of_the_table(kind, schema):
    assert sorted(tables.fields_of(kind)) == sorted(schema.names)

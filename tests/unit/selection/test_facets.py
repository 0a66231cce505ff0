"""The several things that a unit responds to."""

import pyarrow as pa
import pytest

from dnd.io import schemas
from dnd.selection import facets


def described(*rows):
    """Rows of unit, label and activations by rank."""
    fields = pa.schema([schemas.DESCRIPTIONS.field(name) for name in ("unit", "label", "exemplars")])
    found = [
        {"unit": unit, "label": label}
        | {"exemplars": [{"image_id": str(rank), "box": None, "activation": one} for rank, one in enumerate(values)]}
        for unit, label, values in rows
    ]
    return pa.Table.from_pylist(found, schema=fields)


def scored(*rows):
    names = ("unit", "candidate", "concept", "parts", "shares")
    fields = pa.schema([schemas.SCORES.field(name) for name in names])
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=fields)


def found(described, scores):
    rows = facets.run(described, scores).to_pylist()
    return [(one["unit"], one["facet"], one["label"], one["exemplars"], pytest.approx(one["share"])) for one in rows]


def test_each_part_has_the_exemplars_that_show_it_best_and_their_share_of_the_activation():
    scores = scored(
        (0, 3, "stars", None, None),
        (0, 4, "red things", None, None),
        (0, 7, "red things or stars", [4, 3], [1, 0, 0, 1]),
        (1, 4, "elsewhere", None, None),
    )
    assert found(described((0, "red things or stars", [3.0, 5.0, 1.0, 1.0])), scores) == [
        (0, 0, "red things", [1, 2], 0.6),
        (0, 1, "stars", [0, 3], 0.4),
    ]


def test_the_larger_part_comes_first_and_equal_ones_as_the_label_has_them():
    parts = [(0, 0, "stars", None, None), (0, 1, "red things", None, None)]
    union = (0, 2, "stars or red things", [0, 1], [0, 1])
    for values, expected in (([1.0, 3.0], "red things"), ([3.0, 1.0], "stars"), ([2.0, 2.0], "stars")):
        assert found(described((0, union[2], values)), scored(*parts, union))[0][2] == expected


def test_one_thing_has_all_exemplars():
    assert found(described((4, "stars", [2.0, 1.0])), scored((4, 0, "stars", None, None))) == [
        (4, 0, "stars", [0, 1], 1.0)
    ]


def test_activations_below_zero_count_nothing():
    union = scored((0, 0, "a", None, None), (0, 1, "b", None, None), (0, 2, "a or b", [0, 1], [0, 1]))
    assert found(described((0, "a or b", [2.0, -1.0])), union) == [(0, 0, "a", [0], 1.0), (0, 1, "b", [1], 0.0)]
    assert [row[-1] for row in found(described((0, "a or b", [-1.0, -1.0])), union)] == [0.0, 0.0]


def test_a_unit_of_which_nothing_is_said_has_no_facet():
    assert found(described((0, None, [2.0])), scored((0, 0, "stars", None, None))) == []

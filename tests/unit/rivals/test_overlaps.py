"""How many pixels units and annotated concepts share, from the tables PATTERNS and OVERLAPS."""

import numpy as np
import pytest
from overlap_tables import patterns

from dnd.rivals.overlaps import iou, vocabulary


def test_the_iou_is_that_of_the_released_tables():
    """intersect / (truth + activation - intersect), and 0 for a label without pixels."""
    found = iou(np.array([1.0, 0.0, 0.0]), np.array([3.0, 0.0, 24924928.0]), np.array([5.0, 0.0, 10.0]))
    assert found.tolist() == pytest.approx([1 / 7, 0, 0])


def test_concepts_of_one_name_in_two_categories_are_two():
    known = vocabulary(patterns())
    assert list(zip(known.concepts, known.category, known.truth, strict=True)) == [
        ("park", "scene", 100),
        ("sky", "object", 100),
        ("sky", "scene", 50),
        ("street", "scene", 200),
        ("tree", "object", 60),
    ]
    assert known.leaves == ["park", "object sky", "scene sky", "street", "tree"]

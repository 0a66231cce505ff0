"""Which captions the leading concept leaves unexplained."""

import numpy as np
import pytest

from dnd.rest import unexplained


def test_captions_that_resemble_a_concept_clearly_less_are_left():
    assert unexplained([0.2, 0.9, 0.1, 0.8, 0.9, 0.15], gap=0.2) == [0, 2, 5]


def test_one_that_stands_out_is_left_alone():
    assert unexplained([0.8, 0.8, 0.1, 0.8], gap=0.2) == [2]


def test_groups_must_be_as_far_apart_as_the_gap():
    two = [0.8, 0.8, 0.6, 0.6]
    assert unexplained(two, gap=0.19) == [2, 3]
    assert unexplained(two, gap=0.21) == []


def test_one_heap_is_not_parted():
    # the best cut, after the third, explains 0.889 of a variance of 1.333
    assert unexplained([-2, -1, -1, 0, 0, 0, 1, 1, 2], gap=0.2) == []


@pytest.mark.parametrize("few", [[], [0.5], [0.5, 0.5], [0.7] * 10])
def test_captions_that_are_all_alike_leave_nothing(few):
    assert unexplained(few, gap=0) == []


def test_what_a_batch_changes_parts_nothing():
    noise = np.random.default_rng(0).normal(0, 1e-7, (20, 4))
    assert {str(unexplained(0.5 + one, gap=0)) for one in noise} == {"[]"}
    assert {str(unexplained(np.array([0.9, 0.9, 0.1, 0.1]) + one, gap=0.2)) for one in noise} == {"[2, 3]"}

"""Labels that know nothing of a unit: what any metric has to be read against."""

import pytest

from dnd.evaluation.baselines import RANDOM, baseline_labels, constant_label, shuffled


def test_baselines_know_the_labels_but_not_the_units():
    labels = {3: "a", 5: "a", 7: "b", 9: None}
    found = baseline_labels(labels, ["x", "y"])
    assert set(found["constant"].values()) == {"a"}
    assert sorted(map(str, found["shuffled"].values())) == sorted(map(str, labels.values()))
    assert set(found[RANDOM].values()) <= {"x", "y"}
    assert found == baseline_labels(labels, ["x", "y"])
    assert RANDOM not in baseline_labels(labels, [])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b", "b", None, None, None], "b"),
        (["b", "a"], "a"),
        ([None, None], None),
        ([], None),
    ],
)
def test_constant_label(labels, expected):
    assert constant_label(labels) == expected


def test_shuffling_keeps_the_labels_and_moves_them():
    labels = [str(i) for i in range(50)]
    found = shuffled(labels)
    assert sorted(found) == sorted(labels)
    assert found != labels
    assert found == shuffled(labels)
